"""A network as the training loop sees it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Network:
    """Static programs that share their parameters, and the names of their activations.

    `train` reads `train_feeds` and computes `loss`, one float32 number, and `train_outputs`; it has no
    backward part yet. `test` reads `test_feeds` and computes `outputs`. `startup` gives a first value to
    everything that `train` declares. `one_size`: whether all batches for `train` are of one size.
    """

    train: Any
    test: Any
    startup: Any
    train_feeds: tuple[str, ...]
    loss: str
    train_outputs: tuple[str, ...]
    test_feeds: tuple[str, ...]
    outputs: tuple[str, ...]
    one_size: bool = True


def is_one_size(feeds: Iterable[Sequence[int]]) -> bool:
    """Whether what is fed has one size, whatever the data, by its declared shapes [N, ...]: -1 is open."""
    return all(side >= 0 for shape in feeds for side in shape[1:])
