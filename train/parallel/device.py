"""The device that a process trains and evaluates on."""

from __future__ import annotations

from typing import Any

from qcc._paddle import core
from qcc.errors import ConfigError
from qcc.train.parallel.environment import gpu_number


def choose_device(use_gpu: bool) -> Any:
    """The Paddle place to compute on: a GPU if `use_gpu` says so and Paddle is built with CUDA, else the CPU.

    Of several processes of one machine each has a GPU of its own. Raises ConfigError when there is no GPU
    for this one.
    """
    if not use_gpu or not core.is_compiled_with_cuda():
        return core.CPUPlace()
    number, found = gpu_number(), core.get_cuda_device_count()
    if number >= found:
        raise ConfigError(
            f"use_gpu is true, but Paddle finds {found} GPUs where this process needs number {number}: start"
            " fewer processes, look at CUDA_VISIBLE_DEVICES and the driver, or set use_gpu=false."
        )
    return core.CUDAPlace(number)


def device_notes(use_gpu: bool) -> list[str]:
    """What a person who has set `use_gpu` should know."""
    if not use_gpu or core.is_compiled_with_cuda():
        return []
    return [
        "use_gpu is true, but the Paddle here is built without CUDA, so the CPU is used; paddlepaddle-gpu is"
        " the one for GPUs."
    ]


def is_cpu(device: Any) -> bool:
    """Whether a Paddle place is the CPU."""
    return isinstance(device, core.CPUPlace)
