"""Whether a model can be deployed with Paddle Lite, and how much of it will run in int8."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qcc.backends.lite.export import lower
from qcc.backends.lite.passes.kernels import KERNEL_ATTR
from qcc.errors import PassError
from qcc.model import Model
from qcc.passes import PassManager
from qcc.passes.fake_quant import FUSED_OPS, QUANTIZE_OPS
from qcc.passes.instruments import OpCount
from qcc.passes.static_scales import StaticScales, dynamic_ops, is_dynamic
from qcc.passes.unpack import Unpack
from qcc.quantization import state
from qcc.targets.lite import Arch, find_kernel

_SCHEME = "transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max}"
_STAND_IN = 1.0


@dataclass(frozen=True)
class Report:
    """A model on a device: its kernels, and those of them that compute in int8, each with its number.

    `notes` say what a user should know; `quantized` is False when quantization was only assumed.
    """

    arch: Arch
    quantized: bool
    kernels: dict[str, int]
    int8: dict[str, int]
    notes: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """What to tell the user."""
        yield f"every op has a kernel of Paddle Lite on {self.arch}: {_counted(self.kernels)}."
        if not self.quantized:
            yield f"the model is float; what follows is for the scheme {_SCHEME}."
        yield f"in int8: {_counted(self.int8) or 'nothing'}."
        yield from self.notes


def check(model: Model, arch: Arch) -> Report:
    """Lower a model, in any form, without writing anything.

    What has not happened yet is assumed: a float model is quantized with a usual scheme, a transformed one
    frozen, and scales that are not known yet are set to 1.

    Raises PassError with all ops that have no kernel, or whatever else stands in the way.
    """
    notes: list[str] = []
    model = PassManager((Unpack(),)).run(model) if state(model.graph) == "weight-only" else model
    quantized = state(model.graph) != "float"
    prepared = _frozen(model, quantized)
    if is_dynamic(prepared.graph):
        notes.append("its activations' scales are measured at every run: export it with --calibrate DATA.")
        prepared = _with_stand_ins(prepared)
    counts = OpCount()
    lowered = lower(prepared, arch, instruments=(counts,))
    notes += [note for change in counts.changes for note in change.result.notes]
    kernels = [kernel for op in lowered.graph.ops if (kernel := find_kernel(op.attr(KERNEL_ATTR)))]
    return Report(
        arch,
        quantized,
        Counter(kernel.op for kernel in kernels),
        Counter(kernel.op for kernel in kernels if kernel.precision == "int8" and kernel.op != "calib"),
        tuple(notes),
    )


def _frozen(model: Model, quantized: bool) -> Model:
    if not quantized:
        model = PassManager.parse(_SCHEME).run(model)
    if state(model.graph) != "transformed":
        return model
    model = model.copy()
    for op in model.graph.ops:
        if op.type in (*QUANTIZE_OPS, *FUSED_OPS) and "InScale" in op.inputs:
            model.weights[op.input("InScale").name] = np.full(1, _STAND_IN, np.float32)
        elif op.type == "quantize_linear" and not op.input("X").persistable:
            model.weights[op.input("Scale").name] = np.full(1, _STAND_IN, np.float32)
    try:
        return PassManager.parse("freeze").run(model)
    except PassError as error:
        raise PassError(str(error.__cause__ or error)) from error


def _with_stand_ins(model: Model) -> Model:
    scales = tuple(f"{op.input('X').name}={_STAND_IN}" for op in dynamic_ops(model.graph))
    return PassManager((StaticScales(scales=scales),)).run(model)


def _counted(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(numbers.items()))
