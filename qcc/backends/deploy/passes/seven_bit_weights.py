"""seven-bit-weights: weights of which two fit into a sum of 16 bits, whatever the activations are."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, PassResult

_LARGEST = 64


@options(frozen=True, config=OPTIONS)
class SevenBitWeights(EnginePass):
    """Halve the integers of weights in QDQ form, and double their scales.

    Before:

        w.dequantized = dequantize_linear(X=w, Scale=w@scale, ZeroPoint=w@zero_point)

    After, with w = round(w / 2) and w@scale = 2 * w@scale:

        w.dequantized = dequantize_linear(X=w, Scale=w@scale, ZeroPoint=w@zero_point)

    Without VNNI, kernels clip the sum of two products of an activation, shifted to [0, 255] if it is signed,
    and a weight to 16 bits: 255 * (64 + 64) = 32640 is the most that two weights of 7 bits give. Ties round
    to even. Weights that are within [-64, 64] stay as they are.
    """

    name: ClassVar[str] = "seven-bit-weights"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if op.type != "dequantize_linear":
                continue
            weight, scale = op.input("X"), op.input("Scale")
            if not weight.persistable or weight.dtype != VarType.INT8:
                continue
            integers = graph.weights[weight.name]
            if np.abs(integers.astype(np.int32)).max(initial=0) > _LARGEST:
                graph.weights[weight.name] = np.rint(integers / 2).astype(np.int8)
                graph.weights[scale.name] = graph.weights[scale.name] * np.float32(2)
                modified = True
        return PassResult(modified)
