"""Batches whose number is known before they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Batch = Mapping[str, np.ndarray]
"""An array for each feed, by its name."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Batches(Generic[Item]):
    """A batch for each of some items, such as files, read when it is its turn."""

    items: Sequence[Item]
    read: Callable[[Item], Batch]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Batch]:
        return map(self.read, self.items)
