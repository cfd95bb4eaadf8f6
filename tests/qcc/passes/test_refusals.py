"""What passes refuse: each with a sentence that names op and reason, before the first edit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from agreement import observe
from qat_nets import convolutions, matrices

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Var
from qcc.model import Model
from qcc.passes import PassManager
from qcc.passes.quantizable import operands

STATIC = "transform{weight_type=channel_wise_abs_max}"
CONV = r"Op\(conv2d -> conv2d_0.tmp_0"


def prepared(pipeline: str) -> Model:
    """The convolutional net after some passes, with scales observed."""
    net = convolutions()
    model = net.test_model()
    for step in pipeline.split(";") if pipeline else ():
        model = PassManager.parse(step).run(model)
        for name, value in (
            observe(model, net.test_model(), net.batch()).items() if "freeze" not in step else ()
        ):
            model.weights[name] = value
    return model


def add(name: str) -> Callable[[Graph], None]:
    """An edit that adds a variable of this name, which somebody reads."""

    def edit(graph: Graph) -> None:
        taken = graph.add_var(name, "float32", (1,), np.ones(1, np.float32))
        graph.add_op("relu", {"X": taken}, {"Out": graph.add_var(f"{name}.out", "float32", (1,))}, {})

    return edit


def fetch(name: str) -> Callable[[Graph], None]:
    """An edit that fetches one more variable."""

    def edit(graph: Graph) -> None:
        graph.fetches = (*graph.fetches, name)

    return edit


def read(name: str) -> Callable[[Graph], None]:
    """An edit that adds a float reader of a variable."""

    def edit(graph: Graph) -> None:
        var = graph.var(name)
        graph.add_op("relu", {"X": var}, {"Out": graph.add_var(f"{name}.relu", "float32", var.shape)}, {})

    return edit


def spoil(name: str, value: float) -> Callable[[Graph], None]:
    """An edit that puts a value into a weight."""

    def edit(graph: Graph) -> None:
        weight = graph.weights[name].copy()
        weight.reshape(-1)[0] = value
        graph.weights[name] = weight

    return edit


def nothing(graph: Graph) -> None:
    """No edit."""


TAKEN = "needs a new variable '{}', but the graph has one of that name."
CASES = [
    # transform
    ("", add("x.quantized"), STATIC, f"{CONV}.*" + TAKEN.format("x.quantized")),
    ("", add("x.quantized.dequantized"), STATIC, f"{CONV}.*" + TAKEN.format("x.quantized.dequantized")),
    ("", add("fc_0.w_0@scale"), STATIC, r"Op\(mul -> fc_0.tmp_0\) " + TAKEN.format("fc_0.w_0@scale")),
    ("transform{op_types=[mul]}", nothing, "transform{weight_bits=4,op_types=[mul]}", None),
    # freeze
    ("", nothing, "freeze", "the graph has no quantized op: run transform first."),
    (STATIC, add("conv2d_0.tmp_0.accumulator"), "freeze", TAKEN.format("conv2d_0.tmp_0.accumulator")),
    (STATIC, spoil("conv2d_0.w_0", np.nan), "freeze", f"{CONV}.* reads weight 'conv2d_0.w_0', whose values"),
    (STATIC, spoil("conv2d_0.w_0", np.inf), "freeze", f"{CONV}.* reads weight 'conv2d_0.w_0', whose values"),
    (STATIC, spoil("x@scale", np.nan), "freeze", f"{CONV}.* reads 'x', whose scale 'x@scale' was never obs"),
    (STATIC, spoil("x@scale", 0.001), "freeze", f"{CONV}.* reads 'x', whose scale 'x@scale' was never obs"),
    *(
        (STATIC, edit(name), "freeze", f"cannot be frozen: '{name}' would be removed, but {why}")
        for name in (
            "conv2d_0.w_0.quantized",
            "conv2d_0.w_0.quantized.dequantized",
            "conv2d_0.w_0@scale",
        )
        for edit, why in ((fetch, "it is fetched."), (read, r"Op\(relu -> .*\) reads it."))
    ),
    # int8
    ("", nothing, "int8", "the graph has no frozen op: run freeze first."),
    (STATIC, nothing, "int8", "the graph has no frozen op: run freeze first."),
    (f"{STATIC};freeze", add("conv2d_0.w_0.int8"), "int8", TAKEN.format("conv2d_0.w_0.int8")),
    (f"{STATIC};freeze", fetch("conv2d_0.w_0"), "int8", "cannot become INT8, since it is fetched."),
    (f"{STATIC};freeze", read("conv2d_0.w_0"), "int8", r"cannot become INT8, since Op\(relu -> .*\) reads"),
    (f"{STATIC};freeze", spoil("conv2d_0.w_0", 0.5), "int8", "'conv2d_0.w_0' holds no integers"),
    (f"{STATIC};freeze", spoil("conv2d_0.w_0", np.nan), "int8", "'conv2d_0.w_0' holds no integers"),
    (f"{STATIC};freeze", spoil("conv2d_0.w_0", np.inf), "int8", "'conv2d_0.w_0' holds no integers"),
    (f"{STATIC};freeze", spoil("conv2d_0.w_0", 200), "int8", "which INT8 cannot hold: quantize with weight"),
    # qdq
    ("", nothing, "qdq", "the graph has no frozen op: run freeze first."),
    (STATIC, nothing, "qdq", "the graph has no frozen op: run freeze first."),
    (
        "transform{activation_type=abs_max};freeze",
        nothing,
        "qdq",
        "'x', whose scale is measured at every run",
    ),
    *(
        (f"{STATIC};freeze", add(name), "qdq", TAKEN.format(name))
        for name in (
            "x@zero_point",
            "x.quantized.dequantized",
            "conv2d_0.w_0.int8",
            "conv2d_0.w_0.int8@scale",
            "conv2d_0.w_0.int8@zero_point",
            "conv2d_0.w_0.int8.dequantized",
        )
    ),
    *(
        (f"{STATIC};freeze", edit("conv2d_0.tmp_0.accumulator"), "qdq", f"would be removed, but {why}")
        for edit, why in ((fetch, "it is fetched."), (read, r"Op\(relu -> .*\) reads it."))
    ),
    (f"{STATIC};freeze", fetch("conv2d_0.w_0"), "qdq", "cannot become INT8, since it is fetched."),
    # unpack
    (f"{STATIC};freeze;int8", add("conv2d_0.w_0"), "unpack", TAKEN.format("conv2d_0.w_0")),
]


@pytest.mark.parametrize(("before", "edit", "step", "sentence"), CASES)
def test_refused_without_a_trace(
    before: str, edit: Callable[[Graph], None], step: str, sentence: str | None
) -> None:
    graph = prepared(before).graph
    edit(graph)
    program, weights = graph.to_proto().SerializeToString(), dict(graph.weights)
    action = PassManager.parse(step).passes[0]
    if sentence is None:
        assert not action.apply(graph).modified
    else:
        with pytest.raises(PassError, match=sentence):
            action.apply(graph)
    assert graph.to_proto().SerializeToString() == program
    assert graph.weights.keys() == weights.keys()
    assert all(graph.weights[name] is array for name, array in weights.items())


def test_one_variable_quantized_in_two_ways_is_refused() -> None:
    net = matrices()
    model = PassManager.parse("transform{op_types=[mul]}").run(net.test_model())
    conflict = net.test_model()
    PassManager.parse("transform{skip_vars=[turned]}").apply(conflict.graph)
    before = conflict.graph.to_proto()
    with pytest.raises(PassError) as raised:
        PassManager.parse("transform{activation_bits=4}").passes[0].apply(conflict.graph)
    assert str(raised.value) == (
        "Op(matmul_v2 -> matmul_v2_1.tmp_0) wants 'relu_0.tmp_0' quantized as 4-bit moving_average_abs_max,"
        " but another op has it as 8-bit moving_average_abs_max; keep one of them float with skip_vars."
    )
    assert conflict.graph.to_proto() == before
    # With the same wish, the second transform uses the quantizer of the first.
    joined = PassManager.parse("transform{skip_vars=[turned]},transform").run(net.test_model())
    assert joined.graph.to_proto().blocks[0].ByteSize() > model.graph.to_proto().blocks[0].ByteSize()
    readers = joined.graph.var("relu_0.tmp_0.quantized.dequantized").consumers
    assert [op.type for op in readers] == ["matmul_v2", "matmul_v2"]


def test_a_weight_shared_along_two_axes_has_scales_along_one() -> None:
    model = matrices().test_model()
    graph = model.graph
    out = graph.var(graph.fetches[0])
    square = graph.add_var("square", "float32", (3, 3), np.eye(3, dtype=np.float32))
    for turn in (False, True):
        result = graph.add_var_like(f"{out.name}.{turn}", out)
        graph.add_op(
            "matmul_v2", {"X": out, "Y": square}, {"Out": result}, {"trans_x": False, "trans_y": turn}
        )
        out = result
    graph.fetches = (out.name,)
    products = [op for op in PassManager.parse(STATIC).run(model).graph.ops if op.type == "matmul_v2"]
    assert [op.input("Y").name for op in products[-2:]] == ["square.quantized.dequantized", "square"]
    per_tensor = PassManager.parse("transform{activation_type=abs_max}").run(model)
    with pytest.raises(PassError, match=r"'square' is shared by .* whose channels run along different axes"):
        PassManager.parse("freeze{weight_type=channel_wise_abs_max}").run(per_tensor)


# ---------------------------------------------------------------------- what stays float


def conv(model: Model) -> tuple[Graph, Var]:
    """The graph and the weight of its first convolution."""
    return model.graph, model.graph.var("conv2d_0.w_0")


def test_a_weight_that_the_program_writes_is_no_weight() -> None:
    graph, weight = conv(convolutions().test_model())
    op = next(iter(weight.consumers))
    written = graph.add_version(weight)
    graph.add_op("scale", {"X": weight}, {"Out": written}, {"scale": 2.0}, before=op)
    assert operands(op) is not None
    graph.replace_input(op, weight, written)
    assert operands(op) is None


def test_a_third_input_keeps_an_op_float() -> None:
    graph, weight = conv(convolutions().test_model())
    op = next(iter(weight.consumers))
    graph.set_input(op, "Bias", [graph.var("conv2d_2.b_0")])
    assert operands(op) is None


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_only_float32_is_quantized(dtype: str) -> None:
    graph, weight = conv(convolutions().test_model())
    op = next(iter(weight.consumers))
    value = graph.weights[weight.name].astype(dtype)
    graph.set_input(op, "Filter", [graph.add_var("other", dtype, value.shape, value)])
    assert operands(op) is None


def test_two_weights_or_none_keep_an_op_float() -> None:
    model = matrices().test_model()
    graph = model.graph
    of_two = graph.var("matmul_v2_2.tmp_0").producer
    assert not any(var.persistable for var in of_two.all_inputs())
    assert operands(of_two) is None
    plain = next(iter(graph.var("plain").consumers))
    graph.set_input(plain, "X", [graph.var("old")])
    assert operands(plain) is None
