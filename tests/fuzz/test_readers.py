"""Mutants of every reader's files: each is read, or refused in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from harness import failures
from readers import Reader, readers

MUTANTS = 200
_NAMES = (
    "program",
    "two-feeds",
    "frozen",
    "paddle3",
    "naive-buffer",
    "parameters",
    "preprocessing",
    "graph-text",
    "arrays",
    "voc",
    "coco",
    "image",
    "checkpoint",
    "configuration",
    "slim-file",
    "preprocess",
)


@pytest.fixture(scope="module")
def all_readers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Reader]:
    found = readers(tmp_path_factory.mktemp("readers"))
    assert tuple(found) == _NAMES
    return found


@pytest.mark.parametrize("name", _NAMES)
def test_an_unchanged_file_is_read(all_readers: Mapping[str, Reader], name: str, tmp_path: Path) -> None:
    reader = all_readers[name]
    reader.read(reader.laid_out(tmp_path, 0, reader.files[0].read_bytes()))


@pytest.mark.parametrize("name", _NAMES)
def test_mutants(all_readers: Mapping[str, Reader], name: str) -> None:
    found = list(failures(all_readers[name], 1, MUTANTS))
    assert not found, "\n\n".join(f"{one.reader} {one.number}: {one.what}" for one in found[:5])
