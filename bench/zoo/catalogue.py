"""Which networks the zoo has, and where they stand once they are built."""

from __future__ import annotations

from pathlib import Path

import yaml

from qcc.train.data.cache import cache_folder

HERE = Path(__file__).resolve().parent
NETWORKS = HERE / "networks.yml"


def home() -> Path:
    """The zoo's folder in the cache."""
    return cache_folder() / "zoo"


def python() -> Path:
    """The interpreter of the zoo's own environment."""
    return home() / "environment" / "bin" / "python"


def names() -> list[str]:
    """All networks, in the order of networks.yml."""
    return list(yaml.safe_load(NETWORKS.read_text(encoding="utf-8")))


def folder(name: str) -> Path:
    """Where a network is, or will be."""
    return home() / "networks" / name


def is_built(name: str) -> bool:
    return (folder(name) / "model.pdiparams").exists() and (folder(name) / "model.pdmodel").exists()


def failure(name: str) -> str | None:
    """Why a network could not be built; None when it was, or was not tried."""
    path = home() / "networks" / f"{name}.failed"
    return path.read_text(encoding="utf-8").strip() if path.exists() else None
