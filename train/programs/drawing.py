"""What Paddle's kernels draw in a training step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from qcc._paddle import core, paddle


@contextmanager
def drawing(*key: int) -> Iterator[None]:
    """Let what is drawn in the block depend on the key alone; afterwards the caller draws as if nothing had
    been."""
    # Kernels draw from generators that are global. Paddle seeds those of all devices, and gives and takes
    # states of the current device only, which need not be the one that trains.
    on_cpu = core.default_cpu_generator()
    before, on_gpus = on_cpu.get_state(), paddle.get_cuda_rng_state()
    # Not NumPy's SeedSequence, which takes longer than all else here, in every step.
    paddle.seed(int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little"))
    try:
        yield
    finally:
        on_cpu.set_state(before)
        paddle.set_cuda_rng_state(on_gpus)
