"""The model that most commands are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest
from lite_commands import small

import qcc


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with the small frozen model."""
    qcc.save(small()[0], tmp_path / "model", check=False)
    return tmp_path / "model"
