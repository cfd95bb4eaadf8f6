"""Weights and inputs that need not be stored: the same numbers for the same name, anywhere."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np


def weight(name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """The value of a parameter.

    Of one dimension: positive, as a variance must be. Of more: so that a layer's outputs are about as large
    as its inputs.
    """
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    if not dtype.startswith("float"):
        return rng.randint(0, 2, shape).astype(dtype)
    if len(shape) < 2:
        return rng.uniform(0.1, 1.0, shape).astype(dtype)
    fan_in = prod(shape[1:]) if len(shape) > 2 else shape[0]
    bound = sqrt(3.0 / fan_in)
    return rng.uniform(-bound, bound, shape).astype(dtype)


@dataclass(frozen=True)
class Input:
    """An input that is made from a seed, uniform between two bounds; of bool: half of them true."""

    seed: int
    shape: tuple[int, ...]
    dtype: str = "float32"
    low: float = -1.0
    high: float = 1.0

    def value(self) -> Any:
        rng = np.random.RandomState(self.seed)
        if self.dtype == "bool":
            return rng.uniform(0, 1, self.shape) < 0.5
        if self.dtype.startswith("int"):
            return rng.randint(int(self.low), int(self.high), self.shape).astype(self.dtype)
        return rng.uniform(self.low, self.high, self.shape).astype(self.dtype)


def picture(seed: int, height: int, width: int) -> Any:
    """Blocks of 8 x 8 pixels of one colour each, float32 [1, 3, height, width], between -1 and 1."""
    rng = np.random.RandomState(seed)
    blocks = rng.uniform(-1, 1, (1, 3, height // 8, width // 8)).astype("float32")
    return np.kron(blocks, np.ones((1, 1, 8, 8), "float32"))
