"""What an application must set for an engine, as text to be pasted and as a record."""

from __future__ import annotations

import json
from typing import Any

from qcc.targets.table import Option, Target


def record(target: Target) -> dict[str, Any]:
    """What `qcc.json` says about the engine that a model was written for."""
    return {
        "target": target.name,
        "engine": target.engine,
        "processor": target.processor,
        "python": code(target, "python"),
        "cpp": code(target, "cpp"),
    }


def code(target: Target, language: str) -> list[str]:
    """The lines that set the options, in "python" or "cpp"."""
    return [_line(target, option, language) for option in target.options]


def _line(target: Target, option: Option, language: str) -> str:
    quoted = ", ".join(json.dumps(op) for op in target.int8_ops)
    text: str = getattr(option, language)
    mark = "#" if language == "python" else "//"
    line = text.replace("{ops}", f"{{{quoted}}}")
    return line if option.processors == "all" else f"{line}  {mark} {option.processors}"
