"""Digests of arrays, by which one set of them is told from another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

_DIGITS = 16


def digest_of(arrays: Mapping[str, Any]) -> str:
    """A digest of the names, dtypes, shapes and values of arrays, in whatever order they come."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:_DIGITS]
