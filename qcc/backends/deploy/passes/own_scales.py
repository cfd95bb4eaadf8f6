"""own-scales: each activation is rounded by its own scale, not by that of its neighbours."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.onednn_rounding import (
    ACTIVATIONS,
    CONVOLUTIONS,
    FUSED,
    ends_a_convolution,
    is_unsigned,
    scale_of,
)
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult, check_free
from qcc.passes.rewrite import only_reader, scales_nothing
from qcc.passes.round_trip import rounded_from
from qcc.quantization import quantized_ops

_KEEPING = {
    "transpose2": "X",
    "reshape2": "X",
    "nearest_interp": "X",
    "nearest_interp_v2": "X",
    "split": "X",
    "slice": "Input",
    "pool2d": "X",
}
"""Ops that Paddle takes for such as keep their input's scale, with the slot of that input."""

_HANDING = (*_KEEPING, "concat", "scale")

_NARROWING = ("split", "slice", "pool2d")
"""Those of which the output may have a smaller range than the input."""


@options(frozen=True, config=OPTIONS)
class OwnScales(EnginePass):
    """Keep Paddle from rounding an activation by the scale of another.

    Before, in QDQ form, with x@scale = 2.0 and y@scale = 6.0:

        x.quantized = quantize_linear(X=x, Scale=x@scale)
        y = concat(X=[x, z])
        y.quantized = quantize_linear(X=y, Scale=y@scale)
        a, b = split(X=v)
        a.quantized = quantize_linear(X=a, Scale=a@scale)
        t = elementwise_add(X=s, Y=v)

    After, where s comes from a convolution:

        x.own = clip(X=x) {min=-2.0, max=2.0}
        x.quantized = quantize_linear(X=x.own, Scale=x@scale)
        y = concat(X=[x, z])
        y.quantized = quantize_linear(X=y, Scale=y@scale)
        a, b = split(X=v)
        a.quantized = quantize_linear(X=a, Scale=a@scale)
        t.X.alone = clip(X=s) {min=-3.4e38, max=3.4e38}
        t = elementwise_add(X=t.X.alone, Y=v)

    Paddle's `compute_propagate_scales_mkldnn_pass` hands scales on: that of a concat to what it joins, and
    that of ops that keep values to both sides. So x above would be rounded in steps three times as large. No
    scale is handed on through a clip, nor through a relu, which is the copy of what a relu gives: for these
    Paddle takes 255 steps. Neither changes what the quantize op behind it gives.

    Where an output is a part of the input (split, slice), or a mean of it (pool2d), the input gets a scale
    that is too small for it. That does no harm but where a convolution adds it to its sums, or it is such a
    sum: it would be clipped. So would be negative sums where what is added cannot be negative, since the
    kernel gives them its type. And where either has no scale, the convolution that adds is computed in float.
    A clip that clips nothing keeps the addition out of the convolution, which runs in int8.

    A scale op multiplies where it should divide to hand a scale to its input. Where that is a convolution's
    output, `cpu_quantize_squash_pass` keeps that in integers, and clipped; so a copy is read there, too.
    """

    name: ClassVar[str] = "own-scales"

    def apply(self, graph: Graph) -> PassResult:
        own = _own_scales(graph)
        handing = [op for op in graph.ops if op.type in _HANDING]
        copied: list[Var] = []
        # Where one scale is no longer handed on, another may take its place.
        while found := list(dict.fromkeys(_concerned(own, given := _given(own, handing), handing))):
            copied += found
            for var in found:
                del own[var]
        alone = list(_wrong_sums(graph, given))
        for var in copied:
            check_free(graph, next(_quantizers(var)), [f"{var.name}.own"])
        for op, slot in alone:
            check_free(graph, op, [_alone(op, slot)])
        for var in copied:
            _read_copy(graph, var)
        for op, slot in alone:
            _add_alone(graph, op, slot)
        return PassResult(bool(copied or alone))


@dataclass(frozen=True)
class _Scale:
    """What Paddle takes a variable's scale for, whose it is, and whether it may be too small."""

    value: float
    unsigned: bool
    origin: Var
    narrowed: bool = False


def _own_scales(graph: Graph) -> dict[Var, float]:
    return {op.input("X"): scale_of(graph, op, "Scale") for op in graph.ops if op.type == "quantize_linear"}


def _given(own: Mapping[Var, float], handing: Sequence[Op]) -> dict[Var, _Scale]:
    """Every variable's scale as Paddle's pass leaves it, which repeats itself while ops wait for one."""
    given = {var: _Scale(value, is_unsigned(var), var) for var, value in own.items()}
    waiting: list[Op] = []
    while (left := [op for op in handing if not _hand_on(op, given)]) != waiting:
        waiting = left
    return given


def _hand_on(op: Op, given: dict[Var, _Scale]) -> bool:
    """False for an op that hands on a scale, and has none so far."""
    if op.type == "concat":
        out = op.output("Out")
        for var in op.inputs["X"] if out in given else ():
            given[var] = replace(given[out], unsigned=given.get(var, given[out]).unsigned)
        return True
    source, out = op.input(_KEEPING.get(op.type, "X")), next(iter(op.all_outputs()))
    if op.type == "scale":
        _scale_on(op, source, out, given)
        return True
    if source in given:
        given[out] = given[source]
    elif out in given:
        given[source] = replace(given[out], narrowed=given[out].narrowed or op.type in _NARROWING)
    return source in given


def _scale_on(op: Op, source: Var, out: Var, given: dict[Var, _Scale]) -> None:
    """As Paddle has it, which forgets the bias, and multiplies to get from the output to the input."""
    factor = abs(float(op.attr("scale", 1.0)))
    for known, other in ((source, out), (out, source)):
        if known in given and other not in given:
            found = given[known]
            narrowed = found.narrowed or not scales_nothing(op)
            given[other] = replace(found, value=found.value * factor, narrowed=narrowed)


def _concerned(own: Mapping[Var, float], given: Mapping[Var, _Scale], handing: Sequence[Op]) -> Iterator[Var]:
    """Activations that get another scale than their own, or another number of steps, and those that give
    theirs to a convolution's output of which a scale op reads a multiple."""
    for var, value in own.items():
        if (given[var].value, given[var].unsigned) != (value, is_unsigned(var)):
            yield var
    for op in handing:
        if op.type == "scale" and not op.attr("bias", 0.0):
            scale = given.get(op.input("X"))
            if scale is not None and scale.narrowed and _is_of_a_convolution(op.input("X").producer):
                yield scale.origin


def _is_of_a_convolution(op: Op | None) -> bool:
    while op is not None and op.type in ACTIVATIONS:
        op = op.input("X").producer
    return ends_a_convolution(op)


def _wrong_sums(graph: Graph, given: Mapping[Var, _Scale]) -> Iterator[tuple[Op, str]]:
    """Additions that go wrong in the convolution whose output they read, or for which one in int8 is computed
    in float, and the slot of that output."""
    in_int8 = {one.op for one in quantized_ops(graph)}
    for op in graph.ops:
        if op.type != "elementwise_add":
            continue
        result = _activated(graph, op)
        for slot, other in (("X", "Y"), ("Y", "X")):
            summand = op.input(other)
            if summand in given and result in given:
                if ends_a_convolution(op.input(slot).producer) and _clash(given, summand, result):
                    yield op, slot
            elif not summand.persistable:
                convolution = _convolution(graph, op.input(slot))
                if convolution in in_int8 and _adds(graph, convolution, summand):
                    yield op, slot


def _clash(given: Mapping[Var, _Scale], summand: Var, result: Var) -> bool:
    scales = given[summand], given[result]
    signs = {is_unsigned(summand), is_unsigned(result), *(scale.unsigned for scale in scales)}
    return len(signs) > 1 or any(scale.narrowed for scale in scales)


def _convolution(graph: Graph, var: Var) -> Op | None:
    """The convolution that gives a variable, with a bias or norm if any, which one op alone reads."""
    while only_reader(graph, var) is not None and var.producer is not None:
        if var.producer.type in CONVOLUTIONS:
            return var.producer
        if var.producer.type not in FUSED:
            break
        var = var.producer.input("X")
    return None


def _adds(graph: Graph, convolution: Op, summand: Var) -> bool:
    """Whether `conv_elementwise_add_mkldnn_fuse_pass` lets a convolution add: what stands before it; or what
    another one gives that reads what stands before it, but not the same."""
    other = _convolution(graph, summand)
    if other is None:
        return _stands_before(summand, convolution)
    read = rounded_from(other.input("Input"))
    return read is not rounded_from(convolution.input("Input")) and _stands_before(read, convolution)


def _stands_before(var: Var, op: Op) -> bool:
    """Whether an op depends on a variable that is near. All others would make the pass quadratic, and blocks
    that something is added to are short."""
    seen, waiting = {op}, deque([op])
    while waiting and len(seen) < _NEAR:
        for read in waiting.popleft().all_inputs():
            if read is var:
                return True
            if read.producer is not None and read.producer not in seen:
                seen.add(read.producer)
                waiting.append(read.producer)
    return False


_NEAR = 64
"""Ops, with those that quantize and dequantize."""


def _activated(graph: Graph, op: Op) -> Var:
    """What an addition and the activation behind it give."""
    reader = only_reader(graph, op.output("Out"))
    return op.output("Out") if reader is None or reader.type not in ACTIVATIONS else reader.output("Out")


def _quantizers(var: Var) -> Iterator[Op]:
    return (op for op in var.consumers if op.type == "quantize_linear")


def _read_copy(graph: Graph, var: Var) -> None:
    quantizers, name = list(_quantizers(var)), f"{var.name}.own"
    if is_unsigned(var):
        copy = graph.add_var_like(name, var)
        graph.add_op("relu", {"X": var}, {"Out": copy}, {"op_role": 0}, before=quantizers[0])
    else:
        copy = _clipped(graph, var, name, scale_of(graph, quantizers[0], "Scale"), quantizers[0])
    for quantize in quantizers:
        graph.set_input(quantize, "X", [copy])


def _alone(op: Op, slot: str) -> str:
    return f"{op.output('Out').name}.{slot}.alone"


def _add_alone(graph: Graph, op: Op, slot: str) -> None:
    largest = float(np.finfo(np.float32).max)
    graph.set_input(op, slot, [_clipped(graph, op.input(slot), _alone(op, slot), largest, op)])


def _clipped(graph: Graph, var: Var, name: str, limit: float, before: Op) -> Var:
    copy = graph.add_var_like(name, var)
    attrs = {"min": -limit, "max": limit, "op_role": 0}
    graph.add_op("clip", {"X": var}, {"Out": copy}, attrs, before=before)
    return copy
