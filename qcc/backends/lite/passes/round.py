"""lite-round: quantize by float ops where the x86 kernel for it leaves elements out."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.lite.passes.int8_op import ACTIVATION_BITS, USUAL_LOWEST, lowest_of
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import max_int
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import free_prefix

ROUNDING_SHIFT = 1.5 * 2**23
_ELEMENTS_AT_ONCE = 32


@options(frozen=True, config=OPTIONS)
class LiteRound(LitePass):
    """Quantize and dequantize by float ops where the number of elements is no multiple of 32, or open.

    Before:

        x.int8 = calib(Input=x)  {scale = s}
        x.int8.float32 = calib(Input=x.int8)  {scale = s}

    After:

        x.scaled = scale(X=x)  {scale = 1 / s}
        x.clipped = clip(X=x.scaled)  {min = -127, max = 127}
        x.shifted = scale(X=x.clipped)  {scale = 1, bias = 12582912}
        x.rounded = scale(X=x.shifted)  {scale = 1, bias = -12582912}
        x.int8.float32 = scale(X=x.rounded)  {scale = s}

    The x86 kernel of calib works on 32 elements at once; of each 8 that are left over it writes 4. And
    it never writes -128, to which quantize_linear goes down; min is -128 there. Floats around 1.5 * 2^23
    have no places behind the point, so that adding it rounds: to even, where a tie is to go away from
    zero, which is why the first factor is the next float above 1 / s. There is a kernel for round, too; it
    takes a hundred times as long.
    """

    name: ClassVar[str] = "lite-round"

    def apply(self, graph: Graph) -> PassResult:
        left_out = [
            op for op in graph.ops if _quantizes(op) and not can_calib(op.input("Input"), lowest_of(op))
        ]
        for op in left_out:
            for reader in op.output("Out").consumers:
                if reader.type != "calib":
                    raise PassError(
                        f"{reader} reads {op.input('Input').name!r} as INT8, of which the x86 runtime's calib"
                        f" kernel leaves elements out: its shape is {list(op.input('Input').shape)}."
                    )
        for op in left_out:
            _rewrite(graph, op)
        return PassResult(bool(left_out))


def can_calib(var: Var, lowest: int) -> bool:
    """True when the x86 calib kernel quantizes a variable rightly.

    The elements of a sample (of all but the first dimension) must be a known multiple of 32, and the
    lowest integer -127.
    """
    sizes = var.shape[1:]
    known = len(var.shape) > 1 and all(size > 0 for size in sizes)
    if not known or lowest != USUAL_LOWEST:
        return False
    return int(np.prod(sizes, dtype=np.int64)) % _ELEMENTS_AT_ONCE == 0


def _quantizes(op: Op) -> bool:
    return op.type == "calib" and op.output("Out").dtype == VarType.INT8


def _rewrite(graph: Graph, quantize: Op) -> None:
    source, integers = quantize.input("Input"), quantize.output("Out")
    step, limits = np.float32(quantize.attr("scale")), (lowest_of(quantize), max_int(ACTIVATION_BITS))
    suffixes = (".scaled", ".clipped", ".shifted", ".rounded")
    prefix = free_prefix(graph, integers.name.removesuffix(".int8"), suffixes)
    scaled, clipped, shifted, rounded = (
        graph.add_var(prefix + suffix, "float32", source.shape) for suffix in suffixes
    )
    factor = np.nextafter(np.float32(1) / step, np.float32(np.inf))
    _add_scale(graph, source, scaled, quantize, factor=float(factor))
    attrs = {"min": float(limits[0]), "max": float(limits[1])}
    graph.add_op("clip", {"X": scaled}, {"Out": clipped}, attrs, before=quantize)
    _add_scale(graph, clipped, shifted, quantize, bias=ROUNDING_SHIFT)
    _add_scale(graph, shifted, rounded, quantize, bias=-ROUNDING_SHIFT)
    for dequantize in list(integers.consumers):
        result = dequantize.output("Out")
        graph.remove_op(dequantize)
        _add_scale(graph, rounded, result, quantize, factor=float(step))
    graph.remove_op(quantize)
    graph.remove_var(integers)


def _add_scale(
    graph: Graph, source: Var, result: Var, before: Op, factor: float = 1.0, bias: float = 0.0
) -> None:
    op = graph.add_op("scale", {"X": source}, {"Out": result}, {"scale": factor, "bias": bias}, before=before)
    graph.set_flag(op, "bias_after_scale", True)
