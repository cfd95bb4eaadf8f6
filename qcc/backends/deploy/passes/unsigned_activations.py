"""unsigned-activations: 8 bits for values that cannot be negative, none of them for a sign."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.deploy.signs import non_negative
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.numerics import linear_range, max_int
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.quantizable import multiplies_by
from qcc.passes.zero_points import UNSIGNED

Grid = Literal["trained", "full"]


@options(frozen=True, config=OPTIONS)
class UnsignedActivations(EnginePass):
    """Quantize activations that cannot be negative to 0 .. 255.

    Before, behind relu, with x@scale = 4.0:

        x.quantized = quantize_linear(X=x, Scale=x@scale) {bit_length=8}

    After, as uint8 with zero point 0 computes it (9 bits with a sign that is never used):

        x.quantized = quantize_linear(X=x, Scale=x@scale) {bit_length=9, qmin=-256, qmax=255}

    With grid=trained, x@scale becomes 4.0 * 255 / 127: each integer stands for what it stood for, so that the
    rounding is the one that was frozen, but values beyond the scale are clipped at twice of it. With
    grid=full, x@scale stays: the steps are half as large, and values are clipped where they were.

    What a product of matrices multiplies by, its weight being the left operand, stays signed: engines have no
    kernels for unsigned bytes there.
    """

    name: ClassVar[str] = "unsigned-activations"

    grid: Grid = "trained"

    def apply(self, graph: Graph) -> PassResult:
        unsigned = non_negative(graph)
        chosen = [
            (op, pair)
            for op in graph.ops
            if op.type == "quantize_linear"
            and op.attr("bit_length", 8) == 8
            and op.input("X") in unsigned
            and (pair := _alone(op)) is not None
        ]
        lowest, highest = linear_range(UNSIGNED)
        for quantize, pair in chosen:
            for op in pair:
                for name, value in (("bit_length", UNSIGNED), ("qmin", lowest), ("qmax", highest)):
                    graph.set_attr(op, name, value)
            if self.grid == "trained":
                scale = quantize.input("Scale").name
                graph.weights[scale] = graph.weights[scale] * np.float32(max_int(UNSIGNED) / max_int(8))
        return PassResult(bool(chosen))


def _alone(quantize: Op) -> list[Op] | None:
    """A quantize op with the ops that read its integers; None where others use its scale or zero point."""
    readers = list(quantize.output("Y").consumers)
    ops = [quantize, *readers]
    plain = all(
        reader.type == "dequantize_linear" and not multiplies_by(reader.output("Y")) for reader in readers
    )
    told = {reader for slot in ("Scale", "ZeroPoint") for reader in quantize.input(slot).consumers}
    return ops if plain and told <= set(ops) else None
