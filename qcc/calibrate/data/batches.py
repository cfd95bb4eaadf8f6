"""Batches whose number is known before they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Batch = Mapping[str, np.ndarray]
"""An array for each feed, by its name."""

Item = TypeVar("Item")


def name_of(item: object) -> str:
    """What people call the item that a batch is read from: a file, or several."""
    return ", ".join(map(str, item)) if isinstance(item, tuple) else str(item)


def spread(found: Sequence[Item], samples: int) -> list[Item]:
    """At most so many of them, evenly spread."""
    if len(found) <= samples:
        return list(found)
    return [found[index * len(found) // samples] for index in range(samples)]


def digest_of(batches: Iterable[Batch]) -> str:
    """What tells batches from others: a checksum of their names and values, in hexadecimal."""
    digest = hashlib.sha256()
    for batch in batches:
        for name, array in sorted(batch.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Batches(Generic[Item]):
    """A batch for each of some items, such as files, read when it is its turn."""

    items: Sequence[Item]
    read: Callable[[Item], Batch]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Batch]:
        return map(self.read, self.items)
