"""Weights and inputs that need not be stored: the same numbers for the same name, anywhere."""

from __future__ import annotations

import zlib
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


def numbers(seed: int, shape: tuple[int, ...], dtype: str, low: float = -1.0, high: float = 1.0) -> Any:
    """An input, uniform between two bounds; bool: half of them."""
    rng = np.random.RandomState(seed)
    if dtype == "bool":
        return rng.uniform(0, 1, shape) < 0.5
    if dtype.startswith("int"):
        return rng.randint(int(low), int(high), shape).astype(dtype)
    return rng.uniform(low, high, shape).astype(dtype)
