"""Where the batches come from that statistics are collected on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qcc.backends.samples import make_inputs
from qcc.calibrate.data.arrays import read_batches
from qcc.calibrate.data.batches import Batch, Batches, name_of, spread
from qcc.calibrate.data.images import batch_size, find_images, image_batches, others_beside
from qcc.calibrate.data.preprocess import Preprocess
from qcc.errors import DataError
from qcc.model import Model

_OPEN_SIZE = 224


@dataclass(frozen=True)
class Source:
    """`batches`, and `record`, what is told and recorded about them. `total`: how many batches there are,
    where that is known before they are read."""

    batches: Iterable[Batch]
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int | None:
        return len(self.batches) if isinstance(self.batches, Batches) else None

    def repeatable(self) -> Source:
        """A source whose batches can be gone through again: batches that come once are held in memory."""
        if isinstance(self.batches, Batches):
            return self
        return Source(list(self.batches), self.record)

    @property
    def identity(self) -> list[str]:
        """What tells this source from another one, and from itself after a file has changed."""
        if not isinstance(self.batches, Batches):
            return []
        files = [
            part for item in self.batches.items for part in (item if isinstance(item, tuple) else (item,))
        ]
        return [_identity(part) for part in files]

    def used(self, batches: int) -> int:
        """How many of what was found so many batches hold: images, or batches themselves."""
        items = self.batches.items if isinstance(self.batches, Batches) else ()
        return batches * (len(items[0]) if items and isinstance(items[0], tuple) else 1)

    @property
    def items(self) -> list[str]:
        """What the batches are read from, by name, where that is known before they are read."""
        return [name_of(item) for item in self.batches.items] if isinstance(self.batches, Batches) else []


def _identity(item: object) -> str:
    if not isinstance(item, Path):
        return str(item)
    found = item.stat() if item.exists() else None
    return f"{item} {found and found.st_size} {found and found.st_mtime_ns}"


def array_source(model: Model, data: Path, samples: int) -> Source:
    """The batches of numpy's files, at most so many of them, evenly spread.  Raises DataError."""
    batches = read_batches(model, data)
    if not batches.items:
        raise DataError(f"{data} holds no arrays.")
    chosen = spread(batches.items, samples)
    return Source(
        Batches(chosen, batches.read),
        {"kind": "arrays", "path": str(data), "found": len(batches.items), "used": len(chosen)},
    )


def image_source(
    model: Model, data: Path, samples: int, preprocess: Preprocess, said_by: Path | None
) -> Source:
    """The images of a folder or a list, evenly spread, at most so many of them, but those of one batch at
    least; `said_by`: the file that says how they are prepared.  Raises DataError."""
    found = find_images(data)
    batches = image_batches(model, spread(found, max(samples, batch_size(model))), preprocess)
    record = {
        "kind": "images",
        "path": str(data),
        "found": len(found),
        "used": sum(map(len, batches.items)),
        "others": others_beside(data),
        "preprocess": preprocess.model_dump(mode="json"),
        "preprocess_from": None if said_by is None else str(said_by),
    }
    return Source(batches, record)


def random_source(model: Model, samples: int) -> Source:
    """Noise: standard normal numbers where the model takes images or other floats, the same at every run."""
    inputs = make_inputs(model, _OPEN_SIZE)
    largest = max(inputs.values(), key=lambda value: value.size).size

    def noise(number: int) -> Batch:
        random = np.random.default_rng(number)
        return {
            name: random.standard_normal(value.shape).astype(value.dtype)
            if value.dtype.kind == "f" and value.size == largest
            else value
            for name, value in inputs.items()
        }

    return Source(Batches(range(samples), partial(noise)), {"kind": "random", "used": samples})
