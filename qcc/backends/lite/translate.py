"""A lowered graph as a naive buffer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from qcc._paddle import VarType
from qcc.backends.lite.attributes import is_machinery, lite_attr
from qcc.backends.lite.file import NaiveBuffer
from qcc.backends.lite.passes.kernels import KERNEL_ATTR
from qcc.backends.lite.schema import (
    NUMPY_DTYPES,
    Attr,
    AttrKind,
    BlockDesc,
    LoDTensorDesc,
    OpDesc,
    ParamDesc,
    ParamTensor,
    ProgramDesc,
    TensorDesc,
    Var,
    VarDesc,
    VarKind,
    Version,
)
from qcc.backends.lite.schema import (
    VarType as LiteVarType,
)
from qcc.errors import PassError
from qcc.ir.dtypes import numpy_dtype
from qcc.ir.graph import Graph
from qcc.ir.nodes import EMPTY_NAME, Op
from qcc.ir.nodes import Var as GraphVar
from qcc.ir.program import OpProto

_FEED_KERNEL = "feed/def/1/4/2"
_FETCH_KERNEL = "fetch/def/1/4/2"
_KIND_OF_DTYPE = {dtype: kind for kind, dtype in NUMPY_DTYPES.items()}
_TENSOR_VERSION_FIELD = 1  # the tag of the union in ParamDesc


def to_naive_buffer(graph: Graph) -> NaiveBuffer:
    """What the file of a lowered graph holds: one block, and each weight that an op reads.

    Feeds and fetches keep their names and order. Variables, slots, attributes and parameters are
    sorted by name, so that equal graphs give equal bytes.

    Raises PassError for an op that names no kernel: the graph has not been lowered.
    """
    ops = [_interface("feed", column, "feed", name) for column, name in enumerate(graph.feeds)]
    ops += [_op(op) for op in graph.ops]
    ops += [_interface("fetch", column, name, "fetch") for column, name in enumerate(graph.fetches)]
    block = BlockDesc(idx=0, parent_idx=-1, vars=_variables(graph), ops=ops)
    program = ProgramDesc(blocks=[block], version=Version(graph.shell.version))
    return NaiveBuffer(program, _params(graph))


# ---------------------------------------------------------------------- operators


def _interface(kind: str, column: int, source: str, target: str) -> OpDesc:
    kernel = _FEED_KERNEL if kind == "feed" else _FETCH_KERNEL
    return OpDesc(
        type=kind,
        inputs=[Var("X", [source])],
        outputs=[Var("Out", [target])],
        attrs=[
            Attr(KERNEL_ATTR, AttrKind.STRING, s=kernel),
            Attr("col", AttrKind.INT, i=column),
        ],
    )


def _op(op: Op) -> OpDesc:
    message = OpProto.FromString(op.desc.serialize_to_string())
    attrs = [lite_attr(op, attr) for attr in message.attrs if not is_machinery(attr)]
    if not any(attr.name == KERNEL_ATTR for attr in attrs):
        raise PassError(f"{op} names no kernel of Paddle Lite: lower the graph first.")
    return OpDesc(
        type=op.type,
        inputs=_slots(op.inputs),
        outputs=_slots(op.outputs),
        attrs=sorted(attrs, key=lambda attr: attr.name.encode()),
    )


def _slots(slots: Mapping[str, list[GraphVar]]) -> list[Var]:
    filled = {
        slot: [var.name for var in variables if var.name != EMPTY_NAME] for slot, variables in slots.items()
    }
    names = sorted((slot for slot, arguments in filled.items() if arguments), key=str.encode)
    return [Var(slot, filled[slot]) for slot in names]


# ---------------------------------------------------------------------- variables


def _variables(graph: Graph) -> list[VarDesc]:
    described = {"feed": _holder("feed", VarKind.FEED_MINIBATCH)}
    described["fetch"] = _holder("fetch", VarKind.FETCH_LIST)
    for var in _used(graph):
        described.setdefault(var.name, _variable(graph, var))
    return [described[name] for name in sorted(described, key=str.encode)]


def _used(graph: Graph) -> Iterable[GraphVar]:
    interface = {*graph.feeds, *graph.fetches}
    for var in graph.vars:
        if var.name != EMPTY_NAME and (var.producer is not None or var.consumers or var.name in interface):
            yield var


def _holder(name: str, kind: VarKind) -> VarDesc:
    tensor = LoDTensorDesc(TensorDesc())
    return VarDesc(name, LiteVarType(kind, lod_tensor=tensor), persistable=True)


def _variable(graph: Graph, var: GraphVar) -> VarDesc:
    if not var.is_tensor:
        raise PassError(
            f"{var.name!r} is not a dense tensor, the only kind that a naive buffer of qcc holds."
        )
    # Paddle's float16 and so on are named alike by numpy; bfloat16 has no counterpart in Paddle Lite.
    if var.dtype == VarType.BF16:
        raise PassError(f"{var.name!r} is of type bfloat16, which Paddle Lite does not have.")
    kind = _KIND_OF_DTYPE[numpy_dtype(var.dtype)]
    tensor = LoDTensorDesc(TensorDesc(kind, var.shape))
    return VarDesc(
        var.name, LiteVarType(VarKind.LOD_TENSOR, lod_tensor=tensor), persistable=_is_weight(graph, var)
    )


def _is_weight(graph: Graph, var: GraphVar) -> bool:
    return var.persistable and var.name in graph.weights


def _params(graph: Graph) -> list[ParamDesc]:
    names = {var.name for var in _used(graph) if _is_weight(graph, var)}
    return [_param(name, graph.weights[name]) for name in sorted(names, key=str.encode)]


def _param(name: str, value: np.ndarray) -> ParamDesc:
    return ParamDesc(name=name, variable_type=_TENSOR_VERSION_FIELD, variable=ParamTensor.of(value))
