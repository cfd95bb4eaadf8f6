"""constant-arguments: what an op is told by tensors that never change, told by its attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import OpProtoHolder, VarType
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.ir.program import AttrType
from qcc.passes.base import OPTIONS, Pass, PassResult, check_test_graph
from qcc.passes.fold_constants import fold
from qcc.passes.rewrite import drop_if_unused, is_weight

_LIMITS = np.iinfo(np.int32)


@options(frozen=True, config=OPTIONS)
class ConstantArguments(Pass):
    """Say in attributes what ops read from tensors that depend on no input.

    Before:

        six = fill_constant() {shape=[1], value=6.0}
        y = clip(X=x, Max=six, Min=zero) {max=3.4e38, min=-3.4e38}
        z = pad3d(X=y, Paddings=sides) {paddings=[]}
        s = reduce_sum(X=z) {dim=vars(axis)}

    After, with weights zero = [0.0], sides = [0, 1, 0, 1, 0, 0] and axis = [1]:

        y = clip(X=x) {max=6.0, min=0.0}
        z = pad3d(X=y) {paddings=[0, 1, 0, 1, 0, 0]}
        s = reduce_sum(X=z) {dim=[1]}

    Paddle's kernels take the tensor where there is one. Engines look at the attribute alone, or refuse the
    tensor: OpenVINO and oneDNN do not clip then, Paddle Lite multiplies by 1, and neither pads. X2Paddle
    writes such tensors for most arguments.
    """

    name: ClassVar[str] = "constant-arguments"

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        read = {
            var
            for op in graph.ops
            for variables in (*(one.read(op) for one in _arguments(op)), *op.pointed.values())
            for var in variables
        }
        modified = fold(graph, _MOST, lambda op: not read.isdisjoint(op.all_outputs())).modified
        for op in graph.ops:
            modified |= _tell(graph, op)
            modified |= _tell_pointed(graph, op)
        return PassResult(modified)


_MOST = 1 << 10
"""Elements: an argument has a few."""


@dataclass(frozen=True)
class _Argument:
    """`slots`: where tensors tell it, the first that is there; `value`: the attribute's, from all numbers."""

    slots: tuple[str, ...]
    attr: str
    value: Callable[[Op, np.ndarray], Any]

    def read(self, op: Op) -> Sequence[Var]:
        return next((op.inputs[slot] for slot in self.slots if op.inputs.get(slot)), ())


def _number(_: Op, values: np.ndarray) -> float:
    return float(values[0])


def _integers(_: Op, values: np.ndarray) -> list[int]:
    """Ends beyond all sizes stay beyond them."""
    return [int(value) for value in np.clip(values, _LIMITS.min, _LIMITS.max)]


def _factors(op: Op, values: np.ndarray) -> list[float]:
    """One for each dimension of a map."""
    sides = len(op.input("X").shape) - 2
    return [float(value) for value in (np.repeat(values, sides) if len(values) == 1 else values)]


_AXES = (_Argument(("AxesTensorList", "AxesTensor"), "axes", _integers),)
_ARGUMENTS: Mapping[str, tuple[_Argument, ...]] = {
    "clip": (_Argument(("Min",), "min", _number), _Argument(("Max",), "max", _number)),
    "pad3d": (_Argument(("Paddings",), "paddings", _integers),),
    "scale": (_Argument(("ScaleTensor",), "scale", _number),),
    "squeeze2": _AXES,
    "strided_slice": tuple(
        _Argument((f"{name}sTensor", f"{name}sTensorList"), f"{name.lower()}s", _integers)
        for name in ("Start", "End", "Stride")
    ),
    "unsqueeze2": _AXES,
} | {
    f"{kind}_interp_v2": (_Argument(("Scale",), "scale", _factors),)
    for kind in ("bicubic", "bilinear", "linear", "nearest", "trilinear")
}


def _arguments(op: Op) -> Iterator[_Argument]:
    """Those that tensors tell and attributes can: there, numbers are of 32 bits."""
    for argument in _ARGUMENTS.get(op.type, ()):
        exact = argument.value is not _number or op.input("X").dtype == VarType.FP32
        if exact and argument.read(op):
            yield argument


def _tell(graph: Graph, op: Op) -> bool:
    found = list(_arguments(op))
    known = [one for one in found if _is_known(graph, one.read(op))]
    for argument in known:
        read = list(argument.read(op))
        values = _values(graph, read)
        for slot in argument.slots:
            if op.inputs.get(slot):
                graph.set_input(op, slot, [])
        graph.set_attr(op, argument.attr, argument.value(op, values))
        _drop(graph, read)
    if known and known == found and op.attr("infer_flags", None):
        graph.set_attr(op, "infer_flags", [1] * len(op.attr("infer_flags")))
    return bool(known)


def _tell_pointed(graph: Graph, op: Op) -> bool:
    """Attributes that name the tensors which hold their values."""
    if not op.pointed:
        return False
    proto = OpProtoHolder.instance().op_proto_map.get(op.type)
    kinds = {} if proto is None else {attr.name: attr.type for attr in proto.attrs}
    known = [
        (name, list(variables))
        for name, variables in op.pointed.items()
        if kinds.get(name) in _SETTERS and _is_known(graph, variables)
    ]
    for name, variables in known:
        _SETTERS[kinds[name]](graph, op, name, _values(graph, variables))
        _drop(graph, variables)
    return bool(known)


_SETTERS: Mapping[int, Callable[[Graph, Op, str, np.ndarray], None]] = {
    AttrType.INT: lambda graph, op, name, values: graph.set_attr(op, name, int(values[0])),
    AttrType.INTS: lambda graph, op, name, values: graph.set_attr(op, name, _integers(op, values)),
    AttrType.LONG: lambda graph, op, name, values: graph.set_long(op, name, int(values[0])),
    AttrType.FLOAT: lambda graph, op, name, values: graph.set_attr(op, name, float(values[0])),
}
"""By the kind of attribute that Paddle's registry has for the name."""


def _is_known(graph: Graph, variables: Iterable[Var]) -> bool:
    return all(is_weight(graph, var) and graph.weights[var.name].size for var in variables)


def _values(graph: Graph, variables: Iterable[Var]) -> np.ndarray:
    return np.concatenate([graph.weights[var.name].reshape(-1) for var in variables])


def _drop(graph: Graph, variables: Iterable[Var]) -> None:
    for var in dict.fromkeys(variables):
        drop_if_unused(graph, var)
