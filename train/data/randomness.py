"""Randomness that depends on what is drawn for, not on who draws it or when.

A counter-based generator (Philox, Salmon et al. 2011) is keyed with (seed, epoch, index), so that the
number of workers, their order, and a restart in the middle of an epoch change nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_SAMPLES = 2**32 - 1
_ORDER = MAX_SAMPLES  # an index that no sample has
_BATCHES = 1 << 32  # a bit that no seed has


def sample_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Generator for everything random about sample `index` in `epoch`."""
    return _generator(seed, epoch, index)


def batch_generator(seed: int, epoch: int, batch: int) -> np.random.Generator:
    """Generator for what a whole batch has in common; its draws have nothing to do with any sample's."""
    return _generator(seed | _BATCHES, epoch, batch)


def epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order, int64 [count], in which `epoch` visits samples 0 to count - 1."""
    return _generator(seed, epoch, _ORDER).permutation(count)


def _generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    key = np.array([seed, (epoch << 32) | index], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
