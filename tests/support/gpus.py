"""Marks for what only the CUDA build of Paddle, or a machine with GPUs, can show."""

from __future__ import annotations

import pytest

from qcc._paddle import core

GPUS = core.get_cuda_device_count() if core.is_compiled_with_cuda() else 0

needs_cuda_build = pytest.mark.skipif(
    not core.is_compiled_with_cuda(), reason="Paddle here is built without CUDA; try paddlepaddle-gpu"
)


def needs_gpus(count: int) -> pytest.MarkDecorator:
    """Skip where Paddle finds fewer GPUs."""
    return pytest.mark.skipif(count > GPUS, reason=f"needs {count} GPUs, and Paddle finds {GPUS}")
