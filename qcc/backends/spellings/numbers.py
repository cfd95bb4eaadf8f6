"""What is computed number by number, or of all numbers together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qcc._paddle import VarType
from qcc.backends.spellings.step import Step, Steps, cast, combined, product, reduced, scaled, weight
from qcc.ir.dtypes import dtype_name
from qcc.ir.nodes import Op, Var

_POWERS = frozenset(map(float, range(2, 9)))
"""Whole powers that are products."""


def addmm(op: Op) -> Steps:
    """beta * input + alpha * x @ y, without a sum of two maps, which engines would be given as a residual
    one; so lerp."""
    return (
        product("product", op.input("X"), op.input("Y")),
        scaled("scaled", "product", float(op.attr("Alpha", 1.0))),
        scaled("rest", op.input("Input"), -float(op.attr("Beta", 1.0)), shape=op.input("Input").shape),
        combined("sum", "sub", "scaled", "rest"),
    )


def of_truth(op: Op) -> Steps | None:
    """`~`, `&`, `|` and `^` of truth values, which Paddle writes as ops of bits."""
    out = op.output("Out")
    if any(var.dtype != VarType.BOOL for var in (*op.all_inputs(), out)):
        return None
    reads = {slot: op.input(slot) for slot in op.inputs if op.inputs[slot]}
    return (Step("truth", op.type.replace("bitwise", "logical"), reads, dtype="bool"),)


def dropout(op: Op) -> Steps | None:
    """In a test run a factor, where training has not scaled what it kept. Paddle's int8 kernels lose it."""
    if op.attr("dropout_implementation", "downgrade_in_infer") == "upscale_in_train":
        return None
    return (scaled("kept", op.input("X"), 1 - float(op.attr("dropout_prob", 0.5))),)


def increment(op: Op) -> Steps:
    return (scaled("next", op.input("X"), 1.0, float(op.attr("step", 1.0))),)


def floor_divide(op: Op) -> Steps | None:
    """The floor of a quotient, where Lite's kernel rounds towards zero; of integers what is rounded so, less
    one where the rest has another sign than what is divided by."""
    x, y, out, axis = op.input("X"), op.input("Y"), op.output("Out"), op.attr("axis", -1)
    if out.dtype == VarType.FP32:
        return (
            Step("quotient", "elementwise_div", {"X": x, "Y": y}, {"axis": axis}),
            Step("floor", "floor", {"X": "quotient"}),
        )
    if out.dtype not in (VarType.INT32, VarType.INT64) or x.dtype != out.dtype or y.dtype != out.dtype:
        return None
    dtype = dtype_name(out.dtype)

    def integers(name: str, kind: str, left: str | Var, right: str | Var, along: int = -1) -> Step:
        return Step(name, f"elementwise_{kind}", {"X": left, "Y": right}, {"axis": along}, dtype=dtype)

    def counted(name: str, kind: str, source: str | Var, shape: tuple[int, ...]) -> Steps:
        """One where a source is less, or greater, than zero."""
        told, types = f"{name}.told", {"in_dtype": int(VarType.BOOL), "out_dtype": int(out.dtype)}
        attrs = {"axis": -1, "force_cpu": False}
        return (
            Step(told, kind, {"X": source, "Y": "zero"}, attrs, shape, "bool"),
            Step(name, "cast", {"X": told}, types, shape, dtype),
        )

    return (
        integers("nearer", "div", x, y, axis),
        integers("whole", "mul", "nearer", y, axis),
        integers("rest", "sub", x, "whole"),
        weight("zero", np.zeros(1, dtype)),
        *counted("below", "less_than", "rest", out.shape),
        *counted("above", "greater_than", "rest", out.shape),
        *counted("turned", "less_than", y, y.shape),
        integers("difference", "sub", "above", "below"),
        integers("share", "mul", "difference", "turned", axis),
        integers("less", "add", "below", "share"),
        integers("floor", "sub", "nearer", "less"),
    )


def lerp(op: Op) -> Steps:
    """x + weight * (y - x)."""
    x = op.input("X")
    return (
        combined("difference", "sub", x, op.input("Y")),
        combined("share", "mul", "difference", op.input("Weight")),
        combined("sum", "sub", x, "share"),
    )


def logit(op: Op) -> Steps | None:
    """log(x / (1 - x)), where x is kept as far from 0 and 1 as is asked."""
    eps = float(op.attr("eps", 0.0))
    if eps > 0.5:
        return None
    kept = Step("kept", "clip", {"X": op.input("X")}, {"min": eps, "max": 1 - eps})
    source = "kept" if eps else op.input("X")
    return (
        *((kept,) if eps else ()),
        scaled("rest", source, -1.0, 1.0),
        combined("odds", "div", source, "rest"),
        Step("log", "log", {"X": "odds"}),
    )


def trunc(op: Op) -> Steps:
    """Towards zero: floor(max(x, 0)) - floor(max(-x, 0))."""
    x = op.input("X")
    return (
        Step("above", "relu", {"X": x}),
        Step("floor", "floor", {"X": "above"}),
        scaled("turned", x, -1.0),
        Step("below", "relu", {"X": "turned"}),
        Step("depth", "floor", {"X": "below"}),
        combined("sum", "sub", "floor", "depth"),
    )


def sign(op: Op) -> Steps:
    """(x > 0) - (x < 0)."""
    x, shape = op.input("X"), op.output("Out").shape
    return (
        weight("zero", np.zeros(1, np.float32)),
        _compared("greater_than", x, "zero", "above"),
        cast("one", "above", VarType.BOOL, shape),
        _compared("less_than", x, "zero", "below"),
        cast("other", "below", VarType.BOOL, shape),
        combined("sum", "sub", "one", "other"),
    )


def whole_power(op: Op) -> Steps | None:
    """A product. Lite's kernel of x86 takes a logarithm: a square of negative values is infinite there."""
    x, factor = op.input("X"), op.attr("factor", 1.0)
    if op.inputs.get("FactorTensor") or factor not in _POWERS:
        return None
    powers = [combined("power2", "mul", x, x)]
    for done in range(3, int(factor) + 1):
        powers.append(combined(f"power{done}", "mul", powers[-1].name, x))
    return tuple(powers)


def bmm(op: Op) -> Steps:
    """A product of matrices."""
    return (product("product", op.input("X"), op.input("Y")),)


def is_nan(op: Op) -> Steps:
    """It alone differs from itself."""
    return (_compared("not_equal", op.input("X"), op.input("X")),)


def is_infinite(op: Op) -> Steps:
    return _beside_infinity("equal", op)


def is_finite(op: Op) -> Steps:
    """Of NaN, that it is less than anything is wrong."""
    return _beside_infinity("less_than", op)


def amax(op: Op) -> Steps:
    return _reduced("reduce_max", op)


def amin(op: Op) -> Steps:
    return _reduced("reduce_min", op)


def frobenius_norm(op: Op) -> Steps:
    """The root of the sum of the squares."""
    x = op.input("X")
    return (
        combined("squares", "mul", x, x, x.shape),
        Step("sum", "reduce_sum", {"X": "squares"}, _axes(op)),
        Step("root", "sqrt", {"X": "sum"}),
    )


def norm_of_all(op: Op) -> Steps | None:
    """A p_norm of all elements, along the axis of a row of them: paddle2onnx takes the one that is told."""
    if not op.attr("asvector", False):
        return None
    row = Step("row", "reshape2", {"X": op.input("X")}, {"shape": [-1]}, (-1,))
    told = {name: op.attr(name) for name in ("porder", "epsilon")}
    attrs = {**told, "axis": 0, "keepdim": False, "asvector": False}
    return (
        row,
        Step("norm", "p_norm", {"X": "row"}, attrs, ()),
        Step("shaped", "reshape2", {"X": "norm"}, {"shape": list(op.output("Out").shape)}),
    )


def norm(op: Op) -> Steps | None:
    """paddle2onnx leaves the epsilon out, which is nothing where it is as small as usual, 1e-10."""
    return any_norm(op) if float(op.attr("epsilon", 1e-10)) >= 1e-9 else None


def any_norm(op: Op) -> Steps:
    """x / sqrt(sum(x^2) + epsilon) along an axis."""
    x, epsilon = op.input("X"), float(op.attr("epsilon", 1e-10))
    axis = op.attr("axis") % len(x.shape)
    total = reduced("sum", "sum", "squares", [axis], x)
    return (
        combined("squares", "mul", x, x),
        total,
        scaled("more", "sum", 1.0, epsilon, total.shape),
        Step("length", "sqrt", {"X": "more"}, {}, total.shape),
        combined("ratio", "div", x, "length"),
    )


def instance_norm(op: Op) -> Steps:
    """(x - mean) / sqrt(variance + epsilon), of each channel of each image, times a scale, plus a bias."""
    x = op.input("X")
    axes = range(2, len(x.shape))
    variance = reduced("variance", "mean", "squares", axes, x)
    steps = [
        reduced("mean", "mean", x, axes, x),
        combined("difference", "sub", x, "mean"),
        combined("squares", "mul", "difference", "difference"),
        variance,
        scaled("more", "variance", 1.0, float(op.attr("epsilon", 1e-5)), variance.shape),
        Step("deviation", "sqrt", {"X": "more"}, {}, variance.shape),
        combined("normed", "div", "difference", "deviation"),
    ]
    for slot, kind in (("Scale", "mul"), ("Bias", "add")):
        if op.inputs.get(slot):
            reads: dict[str, str | Var] = {"X": steps[-1].name, "Y": op.input(slot)}
            steps.append(Step(slot.lower(), f"elementwise_{kind}", reads, {"axis": 1}))
    return tuple(steps)


def square(op: Op) -> Steps:
    x = op.input("X")
    return (combined("square", "mul", x, x),)


def reciprocal(op: Op) -> Steps:
    return (weight("one", np.ones(1, np.float32)), combined("ratio", "div", "one", op.input("X")))


def logarithm(op: Op) -> Steps:
    """To the base that the op is named after."""
    base = int(op.type.removeprefix("log"))
    return (Step("log", "log", {"X": op.input("X")}), scaled("other", "log", 1 / math.log(base)))


def log1p(op: Op) -> Steps:
    """log(1 + x)."""
    return (scaled("more", op.input("X"), 1.0, 1.0), Step("log", "log", {"X": "more"}))


def mean(op: Op) -> Steps:
    """Of all there is."""
    axes = {"dim": [0], "keep_dim": False, "reduce_all": True, "in_dtype": -1, "out_dtype": -1}
    return (Step("mean", "reduce_mean", {"X": op.input("X")}, axes),)


def _beside_infinity(kind: str, op: Op) -> Steps:
    return (
        Step("size", "abs", {"X": op.input("X")}),
        weight("infinity", np.array([np.inf], np.float32)),
        _compared(kind, "size", "infinity"),
    )


def _compared(kind: str, x: str | Var, y: str | Var, name: str = "told") -> Step:
    return Step(name, kind, {"X": x, "Y": y}, {"axis": -1, "force_cpu": False}, dtype="bool")


def _reduced(kind: str, op: Op) -> Steps:
    return (Step("reduced", kind, {"X": op.input("X")}, _axes(op)),)


def _axes(op: Op) -> dict[str, Any]:
    return {name: op.attr(name) for name in ("dim", "keep_dim", "reduce_all", "in_dtype", "out_dtype")}
