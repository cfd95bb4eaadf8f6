"""Training on the transformed graph. The public names below are looked up when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcc.train.fitting import FitResult, fit
    from qcc.train.models.network import Network
    from qcc.train.unlabelled import quantize_unlabelled

__all__ = ["FitResult", "Network", "fit", "quantize_unlabelled"]

_HOMES = {
    "FitResult": "qcc.train.fitting",
    "Network": "qcc.train.models.network",
    "fit": "qcc.train.fitting",
    "quantize_unlabelled": "qcc.train.unlabelled",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'qcc.train' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
