"""What a model is made of: interface, ops, weights, what is quantized, and what could be fetched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qcc._paddle import OpProtoHolder, VarType
from qcc.ir.dtypes import dtype_name
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.ir.program import BlockProto
from qcc.model import Model
from qcc.passes.frozen import integer_op
from qcc.passes.quantizable import KINDS, operands
from qcc.passes.round_trip import half_quantized
from qcc.passes.static_scales import dynamic_ops, is_unobserved
from qcc.quantization import op_name, quantized_op, scheme, state

# Ops whose output is usually what one wants of a network.
_RESULTS = (
    "multiclass_nms",
    "multiclass_nms2",
    "multiclass_nms3",
    "matrix_nms",
    "yolo_box",
    "softmax",
    "sigmoid",
    "arg_max",
    "top_k_v2",
    "ctc_align",
)

COULD_BE_QUANTIZED = "could be quantized"


@dataclass(frozen=True)
class Port:
    """A variable that can be fed or fetched; -1 in the shape is a size that the model leaves open."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class OpStatus:
    """An op that is quantized, or could be: which one, and how, or why not."""

    type: str
    output: str
    weight: str | None
    quantized: bool
    how: str


@dataclass(frozen=True)
class Candidate:
    """A variable that `save_out_nodes` could name, and why it may be meant."""

    port: Port
    op: str
    why: str


@dataclass(frozen=True)
class Block:
    """A block other than the main one: its number, and how many ops of each type it has."""

    index: int
    ops: Mapping[str, int]


@dataclass(frozen=True)
class Inspection:
    """See the module; `weights` maps dtypes to (number of tensors, bytes).

    `dynamic_scales` and `unobserved_scales` count the activations whose scale is measured at every run, and
    those whose scale has been neither trained nor measured.
    """

    state: str
    scheme: Mapping[str, Any]
    dynamic_scales: int
    unobserved_scales: int
    feeds: tuple[Port, ...]
    fetches: tuple[Port, ...]
    ops: Mapping[str, int]
    quantizable: tuple[OpStatus, ...]
    weights: Mapping[str, tuple[int, int]]
    blocks: tuple[Block, ...]
    candidates: tuple[Candidate, ...]


def inspect(model: Model) -> Inspection:
    """Look at a model; nothing is run."""
    graph = model.graph
    return Inspection(
        state=state(graph),
        scheme=scheme(graph),
        dynamic_scales=len(list(dynamic_ops(graph))),
        unobserved_scales=sum(is_unobserved(graph, op) for op in graph.ops),
        feeds=tuple(_port(graph.versions(name)[0]) for name in graph.feeds),
        fetches=tuple(_port(graph.var(name)) for name in graph.fetches),
        ops=_counts(op.type for op in graph.ops),
        quantizable=tuple(_statuses(graph)),
        weights=_weights(model),
        blocks=tuple(_blocks(graph)),
        candidates=tuple(_candidates(graph)),
    )


def _port(var: Var) -> Port:
    return Port(var.name, dtype_name(var.dtype) if var.is_tensor else "?", var.shape)


def _counts(names: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _weights(model: Model) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for name, array in model.weights.items():
        dtype = dtype_name(model.graph.var(name).dtype) if name in model.graph else str(array.dtype)
        count, size = found.get(dtype, (0, 0))
        found[dtype] = (count + 1, size + array.nbytes)
    return dict(sorted(found.items()))


# ---------------------------------------------------------------------- quantized, or why not


def _statuses(graph: Graph) -> Iterator[OpStatus]:
    for op in graph.ops:
        if op.type not in KINDS:
            continue
        output = op_name(op)
        found = quantized_op(graph, op)
        if found is not None:
            activation = found.activation_type or "static scale"
            how = f"{found.form}, weight {found.weight_type} {found.weight_bits} bits"
            how += f", activation {activation} {found.activation_bits} bits"
            yield OpStatus(op.type, output, found.weight, True, how)
        else:
            possible = operands(op)
            weight = None if possible is None else possible.weight.name
            yield OpStatus(op.type, output, weight, False, _why_float(op))


def _why_float(op: Op) -> str:
    kind = KINDS[op.type]
    if op.attr("skip_quant", False):
        return "marked skip_quant"
    if integer_op(op) is not None:
        return "reads the integers of a quantize op, and no dequantize op follows it: the model is damaged"
    half = half_quantized(op)
    if half is not None:
        return f"only {half.source.name!r} is quantized, so that it computes in float"
    if operands(op) is not None:
        return COULD_BE_QUANTIZED
    sides = [var for slot in (kind.data, kind.weight) for var in op.inputs.get(slot, ())]
    weights = [var for var in sides if var.persistable]
    if not weights:
        return "no input of it is a weight"
    if len(weights) == len(sides):
        return "all its inputs are weights"
    other = next((var for var in sides if var.dtype != VarType.FP32), None)
    if other is not None:
        return f"{other.name!r} is {dtype_name(other.dtype)}, not float32"
    return "its weight is not where an op of this type has it"


def _blocks(graph: Graph) -> Iterator[Block]:
    for data in graph.shell.blocks:
        block = BlockProto.FromString(data)
        yield Block(block.idx, _counts(op.type for op in block.ops))


# ---------------------------------------------------------------------- what could be fetched


def _candidates(graph: Graph) -> Iterator[Candidate]:
    last = {op.type: op for op in graph.ops if op.type in _RESULTS}
    for op in graph.ops:
        for var in _main_outputs(op):
            why = _why_fetch(graph, op, var, last)
            if why:
                yield Candidate(_port(var), op.type, ", ".join(why))


def _why_fetch(graph: Graph, op: Op, var: Var, last: Mapping[str, Op]) -> list[str]:
    if var.persistable or not var.is_tensor or graph.var(var.name) is not var:
        return []
    why = ["fetched"] if var.name in graph.fetches else []
    if not any(written.consumers for written in op.all_outputs()):
        why.append("nothing reads it")
    if last.get(op.type) is op:
        why.append(f"the last {op.type}")
    copies = [reader for reader in var.consumers if _is_copy(reader)]
    if any(reader.output("Out").name in graph.fetches for reader in copies):
        why.append("what is fetched is a copy of it")
    return why


def _is_copy(op: Op) -> bool:
    """The scale by 1 that Paddle puts behind every output when it saves a model."""
    return op.type == "scale" and op.attr("scale") == 1.0 and op.attr("bias", 0.0) == 0.0


def _main_outputs(op: Op) -> Iterator[Var]:
    """Outputs without those that exist for the backward pass only, such as `XShape`."""
    inner = set()
    if op.type in OpProtoHolder.instance().op_proto_map:
        proto = OpProtoHolder.instance().get_op_proto(op.type)
        inner = {output.name for output in proto.outputs if output.intermediate}
    for slot, variables in op.outputs.items():
        if slot not in inner:
            yield from variables
