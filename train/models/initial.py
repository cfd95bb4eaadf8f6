"""Initial weights as a pure function of (seed, name, shape)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def kaiming_normal(seed: int, name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """Normal values of variance 2 / fan-in (He et al. 2015, arXiv:1502.01852), float32 of `shape`.

    `shape` is a convolution's [out, in / groups, H, W] or a matrix [in, out]. Paddle's own initialisers
    draw from one generator in the order in which the executor happens to run them.
    """
    fan_in = math.prod(shape[1:]) if len(shape) == 4 else shape[0]
    name_key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    random = np.random.Generator(np.random.Philox(key=np.array([seed, name_key], np.uint64)))
    return random.standard_normal(tuple(shape), np.float32) * np.float32(math.sqrt(2 / fan_in))
