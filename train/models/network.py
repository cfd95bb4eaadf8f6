"""A network as the training loop sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Network:
    """Static programs that share their parameters, and the names of their activations.

    `train` reads `train_feeds` and computes `loss`, one float32 number, and `train_outputs`; it has no
    backward part yet. `test` reads `test_feeds` and computes `outputs`. `startup` gives a first value to
    everything that `train` declares.
    """

    train: Any
    test: Any
    startup: Any
    train_feeds: tuple[str, ...]
    loss: str
    train_outputs: tuple[str, ...]
    test_feeds: tuple[str, ...]
    outputs: tuple[str, ...]
