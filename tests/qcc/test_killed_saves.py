"""A process that is killed while it saves leaves the old model or the new one, whenever that happens."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from killed import killed_at_each_change
from lite_commands import small

import qcc
from qcc.backends.lite.export import export
from qcc.backends.lite.file import read_naive_buffer
from qcc.files import clear
from qcc.model import Model
from qcc.train.freeze import freeze_to


def another(model: Model) -> Model:
    """The same model with other weights of the same names and shapes."""
    other = model.copy()
    for name, value in other.weights.items():
        other.weights[name] = np.sign(value).astype(value.dtype) if value.ndim == 4 else value
    return other


def save(model: Model, folder: Path) -> None:
    qcc.save(model, folder, check=False)


def save_for_lite(model: Model, folder: Path) -> None:
    export(model, folder / "model.nb", check=False)


def save_forms(model: Model, folder: Path) -> None:
    freeze_to(model, folder, check=False)


def weights(folder: Path) -> list[bytes]:
    """What loads from a folder: all its weights."""
    return [qcc.load(folder).weights[name].tobytes() for name in sorted(qcc.load(folder).weights)]


def weights_for_lite(folder: Path) -> list[bytes]:
    return [param.variable.data.tobytes() for param in read_naive_buffer(folder / "model.nb").params]


def weights_of_forms(folder: Path) -> list[list[bytes]]:
    return [weights(folder / form) for form in ("float", "int8", "qdq")]


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (save, lambda folder: [weights(folder)]),
        (save_for_lite, lambda folder: [weights_for_lite(folder)]),
        pytest.param(save_forms, weights_of_forms, marks=pytest.mark.slow),
    ],
    ids=["save", "export", "freeze"],
)
def test_a_killed_save(
    write: Callable[[Model, Path], None], read: Callable[[Path], list[list[bytes]]], tmp_path: Path
) -> None:
    model, _ = small()
    new = another(model)
    write(model, tmp_path / "old")
    write(new, tmp_path / "new")
    before, after = read(tmp_path / "old"), read(tmp_path / "new")
    folder = tmp_path / "folder"
    shutil.copytree(tmp_path / "old", folder)
    found = []
    for _ in killed_at_each_change(folder, lambda: write(new, folder)):
        found.append(read(folder))
        assert found[-1] in (before, after)
        clear(folder)
        assert list(folder.rglob(".qcc-*")) == []
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "old", folder)
    assert (found[0], found[-1]) == (before, after)
