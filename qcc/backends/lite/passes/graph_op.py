"""An op of a graph as the rules of `qcc.backends.lite.rules` see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qcc.backends.lite.passes.int8_op import int8_op
from qcc.backends.lite.rules.view import Shape
from qcc.ir.dtypes import dtype_name
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.targets.lite import PRECISION_OF_DTYPE


@dataclass(frozen=True)
class GraphOp:
    """See `OpView`."""

    graph: Graph
    op: Op

    @property
    def type(self) -> str:
        return self.op.type

    @property
    def computes_int8(self) -> bool:
        found = int8_op(self.op)
        return found is not None and self.graph.weights[found.weight.name].dtype == np.int8

    @property
    def writes_int8(self) -> bool | None:
        return None

    def attr(self, name: str, default: Any = None) -> Any:
        return self.op.attr(name, default)

    def shape(self, slot: str) -> Shape | None:
        var = self._first(slot)
        return None if var is None else var.shape

    def element(self, slot: str) -> str | None:
        var = self._first(slot)
        if var is None:
            return None
        name = dtype_name(var.dtype)
        return PRECISION_OF_DTYPE.get(name, name)

    def weight(self, slot: str) -> np.ndarray | None:
        var = self._first(slot)
        return None if var is None or not var.persistable else self.graph.weights.get(var.name)

    def is_shared(self, slot: str) -> bool:
        var = self._first(slot)
        return var is not None and len(var.consumers) > 1

    def source(self, slot: str) -> GraphOp | None:
        var = self._first(slot)
        return None if var is None or var.producer is None else GraphOp(self.graph, var.producer)

    def _first(self, slot: str) -> Var | None:
        return next(iter(self.op.inputs.get(slot, ())), None)
