"""Types of options that name what is written or read, and say what would be right where they are refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


class _Folder(click.Path):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if os.path.isfile(value):
            self.fail(f"{os.fspath(value)!r} is a file: name a folder, there or not.", param, ctx)
        return super().convert(value, param, ctx)


class _File(click.Path):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if os.path.isdir(value):
            self.fail(f"{os.fspath(value)!r} is a folder: name a file.", param, ctx)
        return super().convert(value, param, ctx)


FOLDER = _Folder(file_okay=False, path_type=Path)
FILE = _File(dir_okay=False, path_type=Path)
