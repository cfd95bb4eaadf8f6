"""What ops that choose among boxes have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from onnx import GraphProto, ValueInfoProto, helper

from qcc._paddle import VarType
from qcc.backends.onnx.boxes.nodes import Nodes
from qcc.ir.dtypes import numpy_dtype
from qcc.ir.nodes import Op, Var


@dataclass(frozen=True)
class BoxOp(ABC):
    """An op that was taken out of a graph: what it reads and writes, by slot and name."""

    by_image: ClassVar[bool] = True
    """Whether it reads a dimension that runs along the images of a batch, which are to be one."""

    reads: Mapping[str, tuple[str, ...]]
    writes: Mapping[str, tuple[str, ...]]
    dtypes: Mapping[str, VarType]

    @classmethod
    @abstractmethod
    def of(cls, op: Op) -> BoxOp:
        """What an op is."""

    @staticmethod
    def why_not(op: Op) -> str | None:
        """Why an op of this kind has no form in ONNX; None where it has one."""
        del op
        return None

    @staticmethod
    def names(op: Op) -> dict[str, Any]:
        """The fields of the base."""
        return {
            "reads": {slot: _names(variables) for slot, variables in op.inputs.items()},
            "writes": {slot: _names(variables) for slot, variables in op.outputs.items()},
            "dtypes": {var.name: var.dtype for var in op.all_outputs()},
        }

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(name for names in self.writes.values() for name in names)

    def append(self, graph: GraphProto) -> None:
        """Append its ops, for a batch of one image."""
        self._append(Nodes(graph, f"{self.outputs[0]}.by"))

    @abstractmethod
    def _append(self, add: Nodes) -> None:
        """Append what computes each output."""

    def output_info(self, name: str) -> ValueInfoProto:
        """What ONNX is told of an output."""
        (slot,) = (slot for slot, names in self.writes.items() if name in names)
        value: ValueInfoProto = helper.make_tensor_value_info(name, self.kind(name), self._shape(slot))
        return value

    @abstractmethod
    def _shape(self, slot: str) -> Sequence[int | str]:
        """The shape of what is written in a slot."""

    def read(self, slot: str) -> str:
        """The name of the only variable in a slot that is read."""
        (name,) = self.reads[slot]
        return name

    def written(self, slot: str) -> tuple[str, ...]:
        """The names of what is written in a slot: none where the op lacks it."""
        return self.writes.get(slot, ())

    def kind(self, name: str) -> int:
        """ONNX's number for the type of an output."""
        return helper.np_dtype_to_tensor_dtype(numpy_dtype(self.dtypes[name]))


def pixel_offset(op: Op) -> float:
    """By how much a box is wider than its corners are apart: by a pixel where it is one of pixels."""
    return 1.0 if op.attr("pixel_offset", True) else 0.0


def _names(variables: Sequence[Var]) -> tuple[str, ...]:
    return tuple(var.name for var in variables)
