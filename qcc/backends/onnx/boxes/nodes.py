"""Nodes that are added to an ONNX graph one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import GraphProto, helper, numpy_helper


class Nodes:
    """Appends nodes to a graph, and names what they write."""

    def __init__(self, graph: GraphProto, prefix: str) -> None:
        self._graph, self._prefix, self._count = graph, prefix, 0

    def __call__(self, kind: str, *inputs: str, out: str | None = None, **attrs: Any) -> str:
        """The name of what a new node writes: `out`, or one made up."""
        name = out or self._name()
        self._graph.node.append(helper.make_node(kind, list(inputs), [name], **attrs))
        return name

    def several(self, kind: str, *inputs: str, outputs: int, **attrs: Any) -> list[str]:
        """The names of what a new node writes, where that is more than one value."""
        names = [self._name() for _ in range(outputs)]
        self._graph.node.append(helper.make_node(kind, list(inputs), names, **attrs))
        return names

    def constant(self, value: np.ndarray) -> str:
        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def integers(self, *values: int) -> str:
        """A constant of one dimension, int64, as sizes and axes are."""
        return self.constant(np.array(values, np.int64))

    def real(self, value: float) -> str:
        """A constant without dimensions, float32."""
        return self.constant(np.array(value, np.float32))

    def size(self, name: str, axis: int) -> str:
        """The size of an axis, int64 of shape [1]."""
        return self("Gather", self("Shape", name), self.integers(axis), axis=0)

    def _name(self) -> str:
        self._count += 1
        return f"{self._prefix}.{self._count}"
