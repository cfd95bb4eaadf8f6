"""Activations."""

from __future__ import annotations

import math

import numpy as np

from qcc._paddle import VarType
from qcc.backends.spellings.step import Step, Steps, combined, reduced, reshaped, scaled, weight
from qcc.ir.nodes import Op

_THRESHOLD = 20.0
"""Above this softplus is its input, up to the rounding of float32: no larger one makes a difference."""


BUILT_IN = {
    "hard_swish": {"threshold": 6.0, "scale": 6.0, "offset": 3.0},
    "relu6": {"threshold": 6.0},
    "swish": {"beta": 1.0},
}
"""The parameters that Paddle 2.6 computes with, whatever the attributes say, which others go by."""


def as_paddle_computes(op: Op) -> Steps | None:
    built_in = BUILT_IN[op.type]
    if all(op.attr(name, value) == value for name, value in built_in.items()):
        return None
    return (Step("same", op.type, {"X": op.input("X")}, built_in),)


def softplus(op: Op) -> Steps | None:
    """log(1 + exp(beta * x)) / beta, and x where beta * x is above the threshold. Files have the one with a
    beta of 1."""
    x = op.input("X")
    beta, threshold = float(op.attr("beta", 1.0)), float(op.attr("threshold", _THRESHOLD))
    if beta == 0 or (beta, threshold) == (1.0, _THRESHOLD):
        return None
    soft = (
        scaled("scaled", x, beta),
        Step("soft", "softplus", {"X": "scaled"}, {"beta": 1.0, "threshold": _THRESHOLD}),
        scaled("narrow", "soft", 1 / beta),
    )
    if threshold >= _THRESHOLD:
        return soft
    return (
        *soft,
        weight("threshold", np.array([threshold], np.float32)),
        Step("linear", "greater_than", {"X": "scaled", "Y": "threshold"}, {"axis": -1}, dtype="bool"),
        Step("chosen", "where", {"Condition": "linear", "X": x, "Y": "narrow"}),
    )


def gelu(op: Op) -> Steps | None:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))), without a sum of two maps, which engines would
    be given as a residual one."""
    if not op.attr("approximate", False):
        return None
    x, factor = op.input("X"), math.sqrt(2 / math.pi)
    return (
        combined("square", "mul", x, x),
        scaled("bent", "square", factor * 0.044715, factor),
        combined("inner", "mul", x, "bent"),
        Step("tanh", "tanh", {"X": "inner"}),
        scaled("share", "tanh", 0.5, 0.5),
        combined("product", "mul", x, "share"),
    )


def celu(op: Op) -> Steps | None:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)), which is alpha * elu(x / alpha)."""
    alpha = float(op.attr("alpha", 1.0))
    if alpha <= 0:
        return None
    return (
        scaled("scaled", op.input("X"), 1 / alpha),
        Step("elu", "elu", {"X": "scaled"}, {"alpha": 1.0}),
        scaled("wide", "elu", alpha),
    )


def stanh(op: Op) -> Steps:
    """b * tanh(a * x)."""
    return (
        scaled("scaled", op.input("X"), float(op.attr("scale_a"))),
        Step("tanh", "tanh", {"X": "scaled"}),
        scaled("wide", "tanh", float(op.attr("scale_b"))),
    )


def expm1(op: Op) -> Steps:
    """exp(x) - 1."""
    return (Step("exp", "exp", {"X": op.input("X")}), scaled("less", "exp", 1.0, -1.0))


def rrelu(op: Op) -> Steps | None:
    """What is random while it trains has the slope in the middle otherwise."""
    if not op.attr("is_test", False):
        return None
    alpha = (float(op.attr("lower")) + float(op.attr("upper"))) / 2
    return (Step("leaky", "leaky_relu", {"X": op.input("X")}, {"alpha": alpha}),)


def prelu(op: Op) -> Steps | None:
    """max(0, x) - alpha * max(0, -x), with an alpha for all, for each channel or for each element."""
    x, alpha = op.input("X"), op.input("Alpha")
    if op.attr("data_format", "NCHW") != "NCHW":
        return None
    axis = 1 if op.attr("mode") == "channel" and len(alpha.shape) == 1 else -1
    return (
        Step("above", "relu", {"X": x}),
        scaled("turned", x, -1.0),
        Step("below", "relu", {"X": "turned"}),
        Step("share", "elementwise_mul", {"X": "below", "Y": alpha}, {"axis": axis}),
        combined("sum", "sub", "above", "share"),
    )


def maxout(op: Op) -> Steps | None:
    """The largest of each `groups` channels that follow one another."""
    x, groups = op.input("X"), op.attr("groups")
    axis = op.attr("axis", 1) % len(x.shape)
    channels = x.shape[axis]
    split = (*x.shape[:axis], channels // groups, groups, *x.shape[axis + 1 :])
    if channels < 1 or sum(size < 1 for size in split[1:]) > 1:
        return None
    fp32, kept = int(VarType.FP32), (*split[: axis + 1], 1, *split[axis + 2 :])
    attrs = {"dim": [axis + 1], "keep_dim": True, "reduce_all": False, "in_dtype": fp32, "out_dtype": fp32}
    return (
        reshaped("split", x, split),
        Step("largest", "reduce_max", {"X": "split"}, attrs, kept),
        reshaped("joined", "largest", op.output("Out").shape),
    )


def soft_relu(op: Op) -> Steps:
    """log(1 + exp(x)), of an x between -threshold and threshold."""
    threshold = float(op.attr("threshold", 40.0))
    return (
        Step("kept", "clip", {"X": op.input("X")}, {"min": -threshold, "max": threshold}),
        Step("soft", "softplus", {"X": "kept"}, {"beta": 1.0, "threshold": _THRESHOLD}),
    )


def brelu(op: Op) -> Steps:
    """Kept between two values, as hardtanh does it."""
    kept = {"min": float(op.attr("t_min", 0.0)), "max": float(op.attr("t_max", 24.0))}
    return (Step("kept", "clip", {"X": op.input("X")}, kept),)


def mish(op: Op) -> Steps:
    """x * tanh(log(1 + exp(x)))."""
    x = op.input("X")
    return (
        Step("soft", "softplus", {"X": x}, {"beta": 1.0, "threshold": _THRESHOLD}),
        Step("tanh", "tanh", {"X": "soft"}),
        combined("product", "mul", x, "tanh"),
    )


def selu(op: Op) -> Steps:
    """scale * (max(0, x) + min(0, alpha * (exp(x) - 1)))."""
    return (
        Step("elu", "elu", {"X": op.input("X")}, {"alpha": float(op.attr("alpha"))}),
        scaled("wide", "elu", float(op.attr("scale"))),
    )


def softsign(op: Op) -> Steps:
    """x / (1 + |x|)."""
    x = op.input("X")
    return (
        Step("size", "abs", {"X": x}),
        scaled("more", "size", 1.0, 1.0),
        combined("share", "div", x, "more"),
    )


def log_sigmoid(op: Op) -> Steps:
    """-log(1 + exp(-x))."""
    return (
        scaled("turned", op.input("X"), -1.0),
        Step("soft", "softplus", {"X": "turned"}, {"beta": 1.0, "threshold": _THRESHOLD}),
        scaled("back", "soft", -1.0),
    )


def log_softmax(op: Op) -> Steps | None:
    """x - max(x) - log(sum(exp(x - max(x)))) along an axis; None where there is none."""
    x = op.input("X")
    if not x.shape:
        return None
    axis = op.attr("axis", -1) % len(x.shape)
    total = reduced("sum", "sum", "exp", [axis], x)
    return (
        reduced("largest", "max", x, [axis], x),
        combined("below", "sub", x, "largest"),
        Step("exp", "exp", {"X": "below"}),
        total,
        Step("log", "log", {"X": "sum"}, {}, total.shape),
        combined("share", "sub", "below", "log"),
    )
