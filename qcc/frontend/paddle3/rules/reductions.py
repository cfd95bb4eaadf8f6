"""What takes an axis away: sums, means, extremes, and statistics that 2.6 has to compose."""

from __future__ import annotations

import math
from typing import Any

from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.program import DType, Tensor
from qcc.frontend.paddle3.rules.registry import rule

_LEGACY = {
    name: f"reduce_{name}" for name in ("all", "amax", "amin", "any", "max", "mean", "min", "prod", "sum")
}


@rule(*_LEGACY)
def reduce(call: Call) -> None:
    """No axis, or all of them, is `reduce_all` in 2.6; `amax` and `amin` go by the axes alone."""
    axes = call.integers("axis") if "axis" in call.op.attrs else call.axes("axis")
    attrs: dict[str, Any] = {}
    if "dtype" in call.op.attrs and not call.dtype().name.startswith("Undefined"):
        source = call.type("x").dtype
        attrs = {"in_dtype": DType(source), "out_dtype": call.dtype()}
    whole = call.flag("reduce_all", False) or _all_axes(axes, call.type("x"))
    if whole and call.short in ("amax", "amin"):
        axes = list(range(len(call.type("x").shape)))
    call.emit(
        _LEGACY[call.short],
        {"X": call["x"]},
        {"Out": call.out("out")},
        dim=axes or [0],
        keep_dim=call.flag("keepdim"),
        reduce_all=whole,
        **attrs,
    )


def _all_axes(axes: list[int], kind: Tensor) -> bool:
    rank = len(kind.shape)
    return not axes or len({axis % rank for axis in axes if rank}) == rank


def _mean(call: Call, x: str, kind: Tensor, axes: list[int], keep: bool, like: Tensor) -> str:
    return call.new(
        "reduce_mean", {"X": x}, like, dim=axes or [0], keep_dim=keep, reduce_all=_all_axes(axes, kind)
    )


def _kept(kind: Tensor, axes: list[int]) -> Tensor:
    """The type of a reduction that leaves its axes in, of size 1."""
    rank = len(kind.shape)
    gone = {axis % rank for axis in axes} if axes else set(range(rank))
    return Tensor(kind.dtype, tuple(1 if axis in gone else size for axis, size in enumerate(kind.shape)))


def _count(kind: Tensor, axes: list[int]) -> int:
    rank = len(kind.shape)
    sizes = [kind.shape[axis % rank] for axis in axes] if axes else list(kind.shape)
    count = 1
    for size in sizes:
        if size < 0:
            raise Unsupported("it divides by n - 1, where n is a size that only a run knows")
        count *= size
    return count


@rule("variance", "var", "std")
def variance(call: Call) -> None:
    """The sum of (x - mean(x))**2 over n - correction, and its root for `std`; `variance` corrects nothing.

    The way of `paddle.var`.
    """
    kind, result, axes = call.type("x"), call.result_type("out"), call.integers("axis")
    keep, whole = call.flag("keepdim"), _all_axes(axes, call.type("x"))
    mean = _mean(call, call["x"], kind, axes, True, _kept(kind, axes))
    off = call.new("elementwise_sub", {"X": call["x"], "Y": mean}, kind)
    square = call.new("square", {"X": off}, kind)
    reduced: dict[str, Any] = {"dim": axes or [0], "keep_dim": keep, "reduce_all": whole}
    total = call.new("reduce_sum", {"X": square}, result, **reduced)
    number = call.full(max(_count(kind, axes) - _correction(call), 0.0), Tensor(kind.dtype, ()))
    last = {"Out": call.out("out")}
    if call.short != "std":
        call.emit("elementwise_div", {"X": total, "Y": number}, last)
        return
    call.emit("sqrt", {"X": call.new("elementwise_div", {"X": total, "Y": number}, result)}, last)


def _correction(call: Call) -> float:
    if call.short == "variance":
        return 0.0
    unbiased, correction = call.flag("unbiased", True), call.real("correction", 1.0)
    return correction if unbiased else 0.0


@rule("reduce_as")
def reduce_as(call: Call) -> None:
    """The sum over the axes that `target` lacks or has once."""
    kind, target = call.type("x"), call.type("target")
    lead = len(kind.shape) - len(target.shape)
    once = [
        lead + axis for axis, size in enumerate(target.shape) if size == 1 and kind.shape[lead + axis] != 1
    ]
    if any(size < 0 and kind.shape[lead + axis] >= 0 for axis, size in enumerate(target.shape)):
        raise Unsupported("which axes it sums over is known only when it runs")
    x = call["x"]
    if once:
        x = call.new("reduce_sum", {"X": x}, _kept(kind, once), dim=once, keep_dim=True, reduce_all=False)
    if lead:
        axes = list(range(lead))
        whole = lead == len(kind.shape)
        call.emit(
            "reduce_sum", {"X": x}, {"Out": call.out("out")}, dim=axes, keep_dim=False, reduce_all=whole
        )
    else:
        call.bind("out", x)


@rule("max_with_index", "min_with_index")
def extreme_with_index(call: Call) -> None:
    largest = call.short.startswith("max")
    axis, keep, flat = call.integer("dim"), call.flag("keepdim"), call.flag("flatten", False)
    call.emit(
        "reduce_max" if largest else "reduce_min",
        {"X": call["x"]},
        {"Out": call.out("values")},
        dim=[axis],
        keep_dim=keep,
        reduce_all=flat,
    )
    attrs = {"axis": axis, "keepdims": keep, "flatten": flat, "dtype": DType("int64")}
    call.emit("arg_max" if largest else "arg_min", {"X": call["x"]}, {"Out": call.out("indices")}, **attrs)


@rule("median", "nanmedian")
def median(call: Call) -> None:
    """2.6 knows the median that skips NaN; the other one is NaN where there is any."""
    if call.text("mode", "avg") != "avg":
        raise Unsupported("Paddle 2.6 gives the mean of the two elements in the middle")
    axes, keep, kind = call.integers("axis"), call.flag("keepdim"), call.result_type("out")
    last = call.out("out")
    result = last if call.short == "nanmedian" else call.new_variable(kind)
    outputs = {"Out": result, "MedianIndex": call.outs("medians")}
    call.emit("nanmedian", {"X": call["x"]}, outputs, axis=axes, keepdim=keep)
    if result == last:
        return
    truth = kind.with_dtype("bool")
    where = call.new("isnan_v2", {"X": call["x"]}, call.type("x").with_dtype("bool"))
    whole = _all_axes(axes, call.type("x"))
    some = call.new("reduce_any", {"X": where}, truth, dim=axes or [0], keep_dim=keep, reduce_all=whole)
    nan = call.new("fill_any_like", {"X": result}, kind, value=math.nan)
    call.emit("where", {"Condition": some, "X": nan, "Y": result}, {"Out": last})


@rule("matrix_rank")
def matrix_rank(call: Call) -> None:
    attrs = {name: call.attr(name) for name in ("tol", "hermitian", "use_default_tol")}
    call.emit("matrix_rank", {"X": call["x"]}, {"Out": call.out("out")}, **attrs)


@rule("nansum")
def nansum(call: Call) -> None:
    kind = call.type("x")
    axes, dtype = call.integers("axis"), call.dtype("dtype", DType("Undefined"))
    if not dtype.name.startswith("Undefined") and dtype.name != kind.dtype:
        raise Unsupported("it sums in another data type")
    truth = call.new("isnan_v2", {"X": call["x"]}, kind.with_dtype("bool"))
    zero = call.new("fill_any_like", {"X": call["x"]}, kind, value=0.0)
    kept = call.new("where", {"Condition": truth, "X": zero, "Y": call["x"]}, kind)
    call.emit(
        "reduce_sum",
        {"X": kept},
        {"Out": call.out("out")},
        dim=axes or [0],
        keep_dim=call.flag("keepdim"),
        reduce_all=_all_axes(axes, kind),
    )


@rule("svdvals")
def svdvals(call: Call) -> None:
    kind = call.result_type("s")
    sides = {"U": call.new_variable(kind), "VH": call.new_variable(kind)}
    call.emit("svd", {"X": call["x"]}, {"S": call.out("s"), **sides}, full_matrices=False)


@rule("slogdet_v2")
def slogdet(call: Call) -> None:
    """2.6 gives both as one tensor, the sign first."""
    kind = call.result_type("sign")
    both = call.new("slogdeterminant", {"Input": call["x"]}, Tensor(kind.dtype, (2, *kind.shape)))
    for index, name in enumerate(("sign", "logdet")):
        attrs = {"starts": [index], "ends": [index + 1], "decrease_axis": [0], "infer_flags": [1]}
        call.emit("slice", {"Input": both}, {"Out": call.out(name)}, axes=[0], **attrs)
