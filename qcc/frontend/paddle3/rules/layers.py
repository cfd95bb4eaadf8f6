"""Convolutions, linear layers, normalization and recurrent layers."""

from __future__ import annotations

import math
from typing import Any

from qcc.frontend.paddle3.by_table import convert_by_table
from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.int_arrays import one_by_one
from qcc.frontend.paddle3.output import OutOp, Unsupported
from qcc.frontend.paddle3.program import Tensor, Type
from qcc.frontend.paddle3.rules.registry import rule
from qcc.frontend.paddle3.tables import find, rows


@rule("batch_norm", "sync_batch_norm")
def batch_norm(call: Call) -> None:
    """The running mean and variance are changed in place: outputs of the same names. Paddle 2.6 ends in a
    segmentation fault where scale or bias is absent, which are 1 and 0.
    """
    statistics = {
        "SavedMean": call.out("saved_mean"),
        "SavedVariance": call.out("saved_variance"),
        "ReserveSpace": call.outs("reserve_space"),
    }
    mean, variance = call["mean"], call["variance"]
    each = call.type("mean")
    call.bind("mean_out", mean)
    call.bind("variance_out", variance)
    inputs = {
        "X": call["x"],
        "Mean": mean,
        "Variance": variance,
        "Scale": call.optional("scale") or call.full(1, each),
        "Bias": call.optional("bias") or call.full(0, each),
    }
    outputs = {"Y": call.out("out"), "MeanOut": mean, "VarianceOut": variance, **statistics}
    attrs = {
        name: call.attr(name)
        for name in ("epsilon", "is_test", "momentum", "trainable_statistics", "use_global_stats")
    }
    call.emit("batch_norm", inputs, outputs, data_layout=call.attr("data_format"), **attrs)


def _biased(call: Call, legacy: str, inputs: dict[str, Any], **attrs: Any) -> OutOp:
    """A convolution, and its bias, where it has one, by an op of its own; the convolution."""
    bias = call.optional("bias") if "bias" in call.operand_names else None
    if bias is None:
        return call.emit(legacy, inputs, {"Output": call.out("out")}, **attrs)
    plain = call.new_variable(call.result_type("out"))
    op = call.emit(legacy, inputs, {"Output": plain}, **attrs)
    axis = -1 if str(attrs["data_format"]).endswith("C") else 1
    call.emit("elementwise_add", {"X": plain, "Y": bias}, {"Out": call.out("out")}, axis=axis)
    return op


_CONVOLUTION = ("strides", "paddings", "padding_algorithm", "dilations", "groups", "data_format")


@rule("depthwise_conv2d_bias", "depthwise_conv3d_bias")
def convolution(call: Call) -> None:
    legacy = call.short.removesuffix("_bias")
    if legacy == "depthwise_conv3d":
        legacy = "conv3d"
    attrs = {name: call.attr(name) for name in _CONVOLUTION}
    inputs = {"Input": call["input"], "Filter": call["filter"]}
    _biased(call, legacy, inputs, **attrs)


@rule("conv2d_transpose", "depthwise_conv2d_transpose", "conv2d_transpose_bias")
def transposed_convolution(call: Call) -> None:
    """Where a run computes the size of the output, 2.6 has the variables of it as an attribute."""
    attrs = {name: call.attr(name) for name in (*_CONVOLUTION, "output_padding")}
    numbers = call.numbers("output_size") if "output_size" in call else ()
    pointed = {"output_size": one_by_one(call, "output_size")} if numbers is None else {}
    if numbers is not None:
        attrs["output_size"] = list(numbers)
    inputs = {"Input": call["x"], "Filter": call["filter"]}
    _biased(call, call.short.removesuffix("_bias"), inputs, **attrs).pointed = pointed


@rule("deformable_conv")
def deformable_convolution(call: Call) -> None:
    """Without a mask it is another op in 2.6."""
    names = ("strides", "paddings", "dilations", "deformable_groups", "groups", "im2col_step")
    attrs = {name: call.attr(name) for name in names}
    inputs = {
        "Input": call["x"],
        "Offset": call["offset"],
        "Filter": call["filter"],
        "Mask": call.optional("mask"),
    }
    legacy = "deformable_conv" if "mask" in call else "deformable_conv_v1"
    call.emit(legacy, inputs, {"Output": call.out("out")}, **attrs)


@rule("unpool")
def unpooling(call: Call) -> None:
    convert_by_table(call, find(rows(), call.op.name), unpooling_type="max")


_POOLING = (
    "strides", "paddings", "ceil_mode", "exclusive", "data_format", "pooling_type", "global_pooling",
    "adaptive", "padding_algorithm",
)  # fmt: skip


@rule("lp_pool2d")
def norm_pooling(call: Call) -> None:
    """(sum of x**p)**(1/p) over windows, where the sum is an average that divides by the window's size."""
    kind, power = call.result_type("out"), call.real("norm_type")
    attrs = {name: call.attr(name) for name in _POOLING} | {"pooling_type": "avg", "exclusive": False}
    kernel = call.integers("kernel_size")
    if len(kernel) != 2 or attrs["global_pooling"] or attrs["adaptive"] or power == 0:
        raise Unsupported("Paddle 2.6 computes it for windows of one given size")
    if attrs["ceil_mode"] or attrs["padding_algorithm"] == "SAME" or not math.isfinite(power):
        # Its averages divide by what of a window is on the map.
        raise Unsupported("Paddle 2.6 computes it of whole windows, and with a finite norm")
    raised = call.new("pow", {"X": call["x"]}, call.type("x"), factor=power)
    mean = call.new("pool2d", {"X": raised}, kind, ksize=kernel, **attrs)
    total = call.new("scale", {"X": mean}, kind, scale=float(kernel[0] * kernel[1]))
    call.emit("pow", {"X": total}, {"Out": call.out("out")}, factor=1 / power)


@rule("linear_v2")
def linear(call: Call) -> None:
    kind = call.result_type("out")
    inputs = {"X": call["input"], "Y": call["weight"]}
    transposed = call.flag("transpose_weight", False)
    attrs: dict[str, Any] = {"trans_x": False, "trans_y": transposed}
    bias = call.optional("bias")
    if bias is None:
        call.emit("matmul_v2", inputs, {"Out": call.out("out")}, **attrs)
        return
    product = call.new("matmul_v2", inputs, kind, **attrs)
    call.emit("elementwise_add", {"X": product, "Y": bias}, {"Out": call.out("out")})


@rule("fused_gemm_epilogue")
def gemm_epilogue(call: Call) -> None:
    """act(x y + bias): what 2.6 does in one op on GPUs alone."""
    kind = call.result_type("out")
    inputs = {"X": call["x"], "Y": call["y"]}
    attrs = {"trans_x": call.attr("trans_x"), "trans_y": call.attr("trans_y")}
    activation = call.text("activation")
    if activation not in ("none", "relu", "gelu"):
        raise Unsupported(f"it computes {activation!r}")
    product = call.new("matmul_v2", inputs, kind, **attrs)
    if activation == "none":
        call.emit("elementwise_add", {"X": product, "Y": call["bias"]}, {"Out": call.out("out")})
        return
    added = call.new("elementwise_add", {"X": product, "Y": call["bias"]}, kind)
    call.emit(activation, {"X": added}, {"Out": call.out("out")})


@rule("matmul_with_flatten")
def matmul_with_flatten(call: Call) -> None:
    attrs = {name: call.attr(name) for name in ("x_num_col_dims", "y_num_col_dims")}
    call.emit("mul", {"X": call["x"], "Y": call["y"]}, {"Out": call.out("out")}, **attrs)


@rule("legacy_matmul")
def legacy_matmul(call: Call) -> None:
    attrs = {
        "transpose_X": call.attr("transpose_x"),
        "transpose_Y": call.attr("transpose_y"),
        "alpha": call.attr("alpha", 1.0),
    }
    call.emit("matmul", {"X": call["x"], "Y": call["y"]}, {"Out": call.out("out")}, **attrs)


@rule("fc", "gemm_epilogue")
def fully_connected(call: Call) -> None:
    attrs = {name: call.attr(name) for name in ("in_num_col_dims", "activation_type", "padding_weights")}
    inputs = {"Input": call["input"], "W": call["w"], "Bias": call.optional("bias")}
    call.emit("fc", inputs, {"Out": call.out("out")}, **attrs)


@rule("baddbmm")
def baddbmm(call: Call) -> None:
    """beta * input + alpha * x y; with a beta of 0 the input is not looked at, which may hold anything."""
    kind = call.result_type("out")
    product = call.new("bmm", {"X": call["x"], "Y": call["y"]}, kind)
    if call.real("beta") == 0:
        call.emit("scale", {"X": product}, {"Out": call.out("out")}, scale=call.attr("alpha"))
        return
    scaled = call.new("scale", {"X": product}, kind, scale=call.attr("alpha"))
    added = call.new("scale", {"X": call["input"]}, call.type("input"), scale=call.attr("beta"))
    call.emit("elementwise_add", {"X": scaled, "Y": added}, {"Out": call.out("out")})


@rule("einsum")
def einsum(call: Call) -> None:
    """An axis of size 1 beside a larger one goes, which Paddle 2.6 does not broadcast.

    dij,djk->dik of x[2, 3, 4] and y[1, 4, 5]  ->  dij,jk->dik of x and squeeze(y, 0)
    """
    equation = call.text("equation").replace(" ", "")
    operands, arrow, result = equation.partition("->")
    terms, given = operands.split(","), call.elements("x")
    large = {
        letter
        for term, (_, kind) in zip(terms, given, strict=False)
        if isinstance(kind, Tensor)
        for letter, size in zip(term, kind.shape, strict=False)
        if size != 1
    }
    names = []
    for place, (name, kind) in enumerate(given):
        single = _single_axes(terms[place], kind, large) if place < len(terms) else []
        if single and isinstance(kind, Tensor):
            name = _squeezed(call, name, kind, single)
            terms[place] = "".join(letter for at, letter in enumerate(terms[place]) if at not in single)
        names.append(name)
    outputs = {
        slot: call.outs(output)
        for slot, output in (("Out", "out"), ("InnerCache", "inner_cache"), ("XShape", "xshape"))
    }
    call.emit("einsum", {"Operands": names}, outputs, equation=f"{','.join(terms)}{arrow}{result}")


def _single_axes(term: str, kind: Type, large: set[str]) -> list[int]:
    if not isinstance(kind, Tensor) or len(term) != len(kind.shape):
        return []
    return [at for at, size in enumerate(kind.shape) if size == 1 and term[at] in large]


def _squeezed(call: Call, name: str, kind: Tensor, axes: list[int]) -> str:
    left = Tensor(kind.dtype, tuple(size for at, size in enumerate(kind.shape) if at not in axes))
    squeezed, x_shape = call.new_variable(left), call.new_variable(Tensor(kind.dtype, (0, *kind.shape)))
    call.emit("squeeze2", {"X": name}, {"Out": squeezed, "XShape": x_shape}, axes=axes)
    return squeezed


@rule("fast_ln")
def fast_layer_norm(call: Call) -> None:
    """On GPUs layer_norm in one kernel."""
    inputs = {"X": call["x"], "Scale": call["scale"], "Bias": call["bias"]}
    outputs = {"Y": call.out("y"), "Mean": call.out("mean"), "Variance": call.out("invvar")}
    axis = len(call.type("x").shape) - 1
    call.emit("layer_norm", inputs, outputs, epsilon=call.attr("epsilon"), begin_norm_axis=axis)


@rule("add_group_norm_silu")
def add_group_norm_silu(call: Call) -> None:
    """silu(group_norm(x + residual)), and the sum, too."""
    kind = call.type("x")
    x = call["x"]
    if "residual" in call:
        x = call.new("elementwise_add", {"X": x, "Y": call["residual"]}, kind)
        call.bind("residual_out", x)
    names = {"epsilon": "epsilon", "groups": "groups", "data_layout": "data_format"}
    attrs = {legacy: call.attr(name) for legacy, name in names.items()}
    inputs = {"X": x, "Scale": call.optional("scale"), "Bias": call.optional("bias")}
    outputs = {"Mean": call.out("mean"), "Variance": call.out("variance")}
    last = call.out("y")
    if call.text("activation") not in ("", "silu"):
        raise Unsupported("its activation is not silu")
    if not call.text("activation"):
        call.emit("group_norm", inputs, {"Y": last, **outputs}, **attrs)
        return
    normed = call.new_variable(kind)
    call.emit("group_norm", inputs, {"Y": normed, **outputs}, **attrs)
    call.emit("silu", {"X": normed}, {"Out": last})


@rule("embedding_with_scaled_gradient")
def embedding(call: Call) -> None:
    """The scale is one of gradients."""
    inputs = {"Ids": call["x"], "W": call["weight"]}
    call.emit("lookup_table_v2", inputs, {"Out": call.out("out")}, padding_idx=call.attr("padding_idx"))


@rule("rms_norm", "fast_rms_norm")
def rms_norm(call: Call) -> None:
    """x / sqrt(mean(x**2) + epsilon) * scale, which 2.6 has on GPUs alone; the mean is of float32."""
    kind, scale = call.type("x"), call.type("scale")
    shape = call.integers("normalized_shape", []) or list(scale.shape)
    axes = list(range(len(kind.shape) - len(shape), len(kind.shape)))
    if call.result("invvar") is not None and call.op.results[1].id in call.state.last_use:
        raise Unsupported("its second result is for training")
    kept = Tensor(kind.dtype, tuple(1 if axis in axes else size for axis, size in enumerate(kind.shape)))
    square = call.new("square", {"X": call["x"]}, kind)
    mean = call.new("reduce_mean", {"X": square}, kept, dim=axes, keep_dim=True, reduce_all=False)
    moved = call.new("scale", {"X": mean}, kept, scale=1.0, bias=call.attr("epsilon"))
    root = call.new("rsqrt", {"X": moved}, kept)
    even = call.new("elementwise_mul", {"X": call["x"], "Y": root}, kind)
    call.emit("elementwise_mul", {"X": even, "Y": call["scale"]}, {"Out": call.out("y")}, axis=axes[0] or -1)


@rule("rnn")
def rnn(call: Call) -> None:
    """The state of the dropout, which no file holds, is none of the operands of 2.6."""
    names = (
        "dropout_prob",
        "is_bidirec",
        "input_size",
        "hidden_size",
        "num_layers",
        "mode",
        "seed",
        "is_test",
    )
    attrs = {name: call.attr(name) for name in names}
    if not attrs["is_test"]:
        raise Unsupported("it is a layer in training")
    inputs = {
        "Input": call["x"],
        "PreState": call.all("pre_state"),
        "WeightList": call.all("weight_list"),
        "SequenceLength": call.optional("sequence_length"),
    }
    outputs = {
        "Out": call.out("out"),
        "DropoutState": call.out("dropout_state_out", Tensor("uint8", (0,))),
        "State": call.outs("state"),
        "Reserve": call.out("reserve", Tensor("uint8", (0,))),
    }
    call.emit("rnn", inputs, outputs, **attrs)
