"""eight-bit-grid: integers of fewer than 8 bits in the 8-bit range, for engines that know no other."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import max_int
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.fake_quant import LINEAR_OPS
from qcc.passes.zero_points import right_instead


@options(frozen=True, config=OPTIONS)
class EightBitGrid(EnginePass):
    """Let QDQ ops of fewer than 8 bits say 8, with scales that give the same values.

    Before, with w@scale = 0.63:

        w.dequantized = dequantize_linear(X=w, Scale=w@scale, ZeroPoint=w@zero_point) {bit_length=7}

    After, with w@scale = 0.63 * 127 / 63:

        w.dequantized = dequantize_linear(X=w, Scale=w@scale, ZeroPoint=w@zero_point) {bit_length=8}

    The integers, and what they stand for, stay: integer * scale / 63 = integer * (scale * 127 / 63) / 127.
    Engines take 127 for the largest integer whatever the attribute says. An activation's integers may then
    go beyond the range that was trained, where they were clipped before.
    """

    name: ClassVar[str] = "eight-bit-grid"

    def apply(self, graph: Graph) -> PassResult:
        bits: dict[Var, int] = {}
        narrow: list[Op] = []
        for op in graph.ops:
            if op.type not in LINEAR_OPS:
                continue
            scale, own = op.input("Scale"), int(op.attr("bit_length", 8))
            if bits.setdefault(scale, own) != own:
                raise PassError(f"{op} reads {scale.name!r} with {own} bits, another op with {bits[scale]}.")
            if own > 8:
                right = right_instead(own, "quantize with 8 or fewer")
                raise PassError(f"{op} has {own} bits, more than engines run: {right}.")
            if own < 8:
                narrow.append(op)
        for scale, own in bits.items():
            if own < 8:
                factor = np.float32(max_int(8)) / np.float32(max_int(own))
                graph.weights[scale.name] = graph.weights[scale.name] * factor
        for op in narrow:
            graph.set_attr(op, "bit_length", 8)
            for name in ("qmin", "qmax"):
                graph.remove_attr(op, name)
        return PassResult(bool(narrow))
