"""fuse-activations: activations that are spelled out in several ops, as the one op that they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, Pass, PassResult, check_test_graph
from qcc.passes.out_thresholds import ATTRIBUTE
from qcc.passes.rewrite import RECTIFIERS, is_fetched, is_weight, only_reader, remove_op, set_attrs


@options(frozen=True, config=OPTIONS)
class FuseActivations(Pass):
    """Write an activation that is spelled out as the one op that it is: hard_sigmoid, hard_swish, swish,
    gelu, mish, relu, relu6 or leaky_relu.

    Before, with weights three = [3.0] and six = [6.0]:

        a = elementwise_add(X=x, Y=three)
        b = clip(X=a) {max=6.0, min=0.0}
        c = elementwise_mul(X=x, Y=b)
        y = elementwise_div(X=c, Y=six)

        d = sigmoid(X=z)
        u = elementwise_mul(X=z, Y=d)

        p = prelu(X=q, Alpha=slope)

    After, where slope = [0.25]:

        y = hard_swish(X=x) {offset=3.0, scale=6.0, threshold=6.0}
        u = swish(X=z) {beta=1.0}
        p = leaky_relu(X=q) {alpha=0.25}

    Engines fuse the op into the convolution before it, where they round each of several by itself, and
    channels are balanced through it. Factors and summands may be weights of one element or `scale` ops, and
    stand in any order; a number counts as the one of the formula up to the rounding of float32. So does the
    result. A clip from 0 to 6, or from 0 to nowhere, as ONNX has them, is a relu6 or a relu: of these alone
    engines, and other passes, know that nothing of theirs is negative. A silu becomes a swish: oneDNN fuses
    that alone, and of what is far below zero Paddle's gradient of silu is NaN. A prelu whose slopes are all
    equal, as that of Paddle's default and PyTorch's is, becomes a leaky_relu, which engines fuse as well.
    Left is what others read in between, and what is no float32.
    """

    name: ClassVar[str] = "fuse-activations"

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        modified = False
        for op in list(graph.ops):
            written = _write_leaky(graph, op) if op.type == "prelu" else _write_whole(graph, op)
            modified = written or modified
        return PassResult(modified)


_ROUNDING = 1e-6
"""Numbers of float32 that are computed one from the other differ by less, relatively."""
_UNBOUNDED = float(np.finfo(np.float32).max)
"""The limit of a clip that has none."""
_LONGEST = 4
"""Factors and summands that are looked through one behind the other: formulas have one or two. All would make
the pass quadratic where many activations read a long chain."""


@dataclass(frozen=True)
class _Line:
    """`slope` * `source` + `offset`, computed by `ops`."""

    source: Var
    slope: float = 1.0
    offset: float = 0.0
    ops: tuple[Op, ...] = ()


@dataclass(frozen=True)
class _Formula:
    """`factor` * `bend`(`slope` * x + `offset`) + `summand`, and that times x where `gates`.

    Bends are "clip", between 0 and 1, "relu", "sigmoid", "erf" and "tanh(softplus)". `out` is its value and
    `ops` are what computes it, with those that lead to it.
    """

    bend: str
    line: _Line
    out: Var
    ops: tuple[Op, ...]
    factor: float = 1.0
    summand: float = 0.0
    gates: bool = False


def _near(value: float, wanted: float) -> bool:
    return math.isclose(value, wanted, rel_tol=_ROUNDING, abs_tol=0.0)


def _activation(formula: _Formula) -> tuple[str, Mapping[str, Any]] | None:
    """Type and attributes of the op that a formula is; None for another one.

    Paddle computes hard_swish and swish with these parameters, whatever their attributes say.
    """
    line = formula.line
    if formula.bend == "relu":
        as_it_is = (line.slope, line.offset, formula.factor, formula.summand) == (1.0, 0.0, 1.0, 0.0)
        return ("relu", {}) if as_it_is and not formula.gates else None
    if formula.bend == "clip":
        if formula.summand or line.slope <= 0:
            return None
        if not formula.gates and line.offset == 0 and _near(line.slope, 1 / 6) and _near(formula.factor, 6.0):
            return "relu6", {"threshold": 6.0}
        if not _near(formula.factor, 1.0):
            return None
        if not formula.gates:
            return "hard_sigmoid", {"slope": line.slope, "offset": line.offset}
        is_swish = _near(line.slope, 1 / 6) and _near(line.offset, 0.5)
        return ("hard_swish", {"threshold": 6.0, "scale": 6.0, "offset": 3.0}) if is_swish else None
    if not formula.gates or line.offset:
        return None
    slope, factor, summand = _GATES[formula.bend][0]
    is_one = _near(line.slope, slope) and _near(formula.factor, factor)
    if not is_one or not (_near(formula.summand, summand) if summand else formula.summand == 0):
        return None
    return _GATES[formula.bend][1:]


_GATES: Mapping[str, tuple[tuple[float, float, float], str, Mapping[str, Any]]] = {
    "sigmoid": ((1.0, 1.0, 0.0), "swish", {"beta": 1.0}),
    "erf": ((math.sqrt(0.5), 0.5, 0.5), "gelu", {"approximate": False}),
    "tanh(softplus)": ((1.0, 1.0, 0.0), "mish", {"threshold": 20.0}),
}
"""x * (factor * bend(slope * x) + summand): slope, factor and summand, and the op that it is. Gelu is that of
Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415, mish that of Misra 2019,
https://arxiv.org/abs/1908.08681."""


def _clip(op: Op, line: _Line) -> _Formula | None:
    """Of a clip or a relu6: what is clipped at 6 has the factor 6."""
    if op.type == "relu6":
        low, high = 0.0, 6.0  # as Paddle computes it, whatever its attribute says
    elif any(op.inputs.get(slot) for slot in ("Min", "Max")):
        return None
    else:
        low, high = float(op.attr("min")), float(op.attr("max"))
    if low != 0 or not high > 0:
        return None
    if high >= _UNBOUNDED:
        return _Formula("relu", line, op.output("Out"), (*line.ops, op))
    line = replace(line, slope=line.slope / high, offset=line.offset / high)
    return _Formula("clip", line, op.output("Out"), (*line.ops, op), factor=high)


def _hard_sigmoid(op: Op, line: _Line) -> _Formula:
    slope, offset = float(op.attr("slope", 0.2)), float(op.attr("offset", 0.5))
    line = replace(line, slope=slope * line.slope, offset=slope * line.offset + offset)
    return _Formula("clip", line, op.output("Out"), (*line.ops, op))


def _smooth(op: Op, line: _Line) -> _Formula:
    return _Formula(op.type, line, op.output("Out"), (*line.ops, op))


def _silu(op: Op, line: _Line) -> _Formula | None:
    """x * sigmoid(x) at once, of what stands before it as it is."""
    return None if line.ops else _Formula("sigmoid", line, op.output("Out"), (op,), gates=True)


def _tanh(op: Op, line: _Line) -> _Formula | None:
    soft = line.source.producer
    if line.ops or soft is None or soft.type != "softplus":
        return None
    if (soft.attr("beta", 1.0), soft.attr("threshold", 20.0)) != (1.0, 20.0):
        return None
    return _Formula("tanh(softplus)", _Line(soft.input("X")), op.output("Out"), (soft, op))


_BENDS: Mapping[str, Callable[[Op, _Line], _Formula | None]] = {
    "clip": _clip,
    "relu6": _clip,
    "hard_sigmoid": _hard_sigmoid,
    "sigmoid": _smooth,
    "silu": _silu,
    "erf": _smooth,
    "tanh": _tanh,
}


def _lines(graph: Graph, var: Var) -> Iterator[_Line]:
    """A variable as a line of itself, and of those before it."""
    line = _Line(var)
    yield line
    for _ in range(_LONGEST):
        op = line.source.producer
        step = None if op is None else _linear(graph, op)
        if op is None or step is None:
            return
        source, slope, offset = step
        line = _Line(source, line.slope * slope, line.slope * offset + line.offset, (op, *line.ops))
        yield line


def _linear(graph: Graph, op: Op) -> tuple[Var, float, float] | None:
    """Of an op that multiplies by a number or adds one: what it reads, the factor, and the summand."""
    if op.type == "scale":
        if op.inputs.get("ScaleTensor"):
            return None
        factor, summand = float(op.attr("scale", 1.0)), float(op.attr("bias", 0.0))
        after = op.attr("bias_after_scale", True)
        return op.input("X"), factor, summand if after else factor * summand
    if op.type not in _WITH_A_NUMBER:
        return None
    x, y = op.input("X"), op.input("Y")
    for data, number, turned in ((x, y, False), (y, x, True)):
        if is_weight(graph, number) and len(data.shape) == len(op.output("Out").shape):
            value = graph.weights[number.name]
            if value.size == 1 and not is_weight(graph, data):
                step = _WITH_A_NUMBER[op.type](float(value.reshape(-1)[0]), turned)
                return None if step is None else (data, *step)
    return None


def _quotient(number: float, turned: bool) -> tuple[float, float] | None:
    return None if turned or number == 0 else (1 / number, 0.0)


_WITH_A_NUMBER: Mapping[str, Callable[[float, bool], tuple[float, float] | None]] = {
    "elementwise_add": lambda number, turned: (1.0, number),
    "elementwise_sub": lambda number, turned: (-1.0, number) if turned else (1.0, -number),
    "elementwise_mul": lambda number, turned: (number, 0.0),
    "elementwise_div": _quotient,
}
"""The factor and the summand, of a number that is the right operand, or the left one."""


def _whole(graph: Graph, op: Op) -> _Formula | None:
    """The formula with this bend in it that is an activation, and is written in more than one op, or in
    another one: with a gate if there is such a one, and then the longest."""
    if op.type not in _BENDS or op.output("Out").dtype != VarType.FP32:
        return None
    bent = (_BENDS[op.type](op, line) for line in _lines(graph, op.input("X")))
    found = [
        formula
        for start in bent
        if start is not None
        for formula in _longer(graph, start)
        if _is_better(op, formula)
    ]
    return max(found, key=lambda formula: (formula.gates, len(formula.ops)), default=None)


def _is_better(op: Op, formula: _Formula) -> bool:
    activation = _activation(formula)
    if activation is None:
        return False
    return len(formula.ops) > 1 or op.type == "silu" or (op.type == "clip" and activation[0] in RECTIFIERS)


def _longer(graph: Graph, formula: _Formula) -> Iterator[_Formula]:
    """A formula, and what the ops behind it that alone read it make of it."""
    yield formula
    for _ in range(_LONGEST):
        reader = only_reader(graph, formula.out)
        longer = None if reader is None else _with(graph, formula, reader)
        if longer is None:
            return
        yield longer
        formula = longer


def _with(graph: Graph, formula: _Formula, op: Op) -> _Formula | None:
    step = _linear(graph, op)
    if step is not None:
        _, slope, offset = step
        if formula.gates and offset:
            return None
        return replace(
            formula,
            out=op.output("Out"),
            ops=(*formula.ops, op),
            factor=slope * formula.factor,
            summand=slope * formula.summand + offset,
        )
    if op.type != "elementwise_mul" or formula.gates:
        return None
    others = [var for var in (op.input("X"), op.input("Y")) if var is not formula.out]
    if len(others) != 1:
        return None
    gated = _gated(graph, others[0], formula.line.source)
    if gated is None or gated.offset:
        return None
    return replace(
        formula,
        out=op.output("Out"),
        ops=(*formula.ops, *gated.ops, op),
        factor=gated.slope * formula.factor,
        summand=gated.slope * formula.summand,
        gates=True,
    )


def _gated(graph: Graph, var: Var, source: Var) -> _Line | None:
    """A variable as a line of this source; None for one of another."""
    return next((line for line in _lines(graph, var) if line.source is source), None)


def _write_whole(graph: Graph, op: Op) -> bool:
    """Write the activation that has this bend, if there is one, as the op that it is; whether that was so."""
    formula = _whole(graph, op)
    if formula is None:
        return False
    activation = _activation(formula)
    assert activation is not None
    *before, last = dict.fromkeys(formula.ops)
    _write(graph, last, formula.line.source, *activation)
    for one in reversed(before):
        if not any(var.consumers or is_fetched(graph, var) for var in one.all_outputs()):
            remove_op(graph, one)
    return True


def _write_leaky(graph: Graph, op: Op) -> bool:
    """Write a prelu with one slope as a leaky_relu; whether it is one."""
    alpha = op.input("Alpha")
    if op.output("Out").dtype != VarType.FP32 or not is_weight(graph, alpha):
        return False
    slopes = graph.weights[alpha.name].reshape(-1)
    if not np.isfinite(slopes).all() or np.any(slopes != slopes[0]):
        return False
    _write(graph, op, op.input("X"), "leaky_relu", {"alpha": float(slopes[0])})
    return True


def _write(graph: Graph, last: Op, source: Var, kind: str, attrs: Mapping[str, Any]) -> None:
    """Let an op of this kind compute what the last of some gives."""
    noted = {} if last.attr(ATTRIBUTE, None) is None else {ATTRIBUTE: last.attr(ATTRIBUTE)}
    out = last.output("Out")
    graph.set_output(last, "Out", [])
    made = graph.add_op(kind, {"X": source}, {"Out": out}, {"op_role": 0}, before=last)
    set_attrs(graph, made, {**attrs, **noted})
    remove_op(graph, last)
