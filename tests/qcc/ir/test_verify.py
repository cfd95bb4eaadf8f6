"""Each rule of a graph, broken on purpose, gives its sentence."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from agreement import observe
from qat_nets import convolutions

from qcc.errors import VerifyError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.ir.verify import verify, verify_changes
from qcc.model import Model
from qcc.passes import PassManager


@pytest.fixture(scope="module")
def float_model() -> Model:
    return convolutions().test_model()


@pytest.fixture(scope="module")
def frozen_model() -> Model:
    net = convolutions()
    pipeline = "transform{weight_type=channel_wise_abs_max}"
    model = PassManager.parse(pipeline).run(net.test_model())
    for name, value in observe(model, net.test_model(), net.batch()).items():
        model.weights[name] = value
    return PassManager.parse("freeze").run(model)


def producer(graph: Graph, name: str) -> Op:
    op = graph.var(name).producer
    assert op is not None
    return op


def both_say(graph: Graph, sentence: str) -> None:
    """The check of what changed and the check of everything refuse with this sentence."""
    for check in (verify_changes, verify):
        with pytest.raises(VerifyError, match=f"^{re.escape(sentence)}$"):
            check(graph)


def test_what_a_frontend_and_the_passes_make_is_right(float_model: Model, frozen_model: Model) -> None:
    verify(float_model.graph)
    verify(frozen_model.graph)


# ---------------------------------------------------------------------- 1: inputs are there


def test_rule_1_an_input_without_producer(float_model: Model) -> None:
    graph = float_model.copy().graph
    graph.remove_op(producer(graph, "relu_0.tmp_0"))
    both_say(
        graph,
        "Op(conv2d -> conv2d_1.tmp_0) reads 'relu_0.tmp_0', which no op produces and no feed provides.",
    )


def test_rule_1_data_that_nobody_feeds(float_model: Model) -> None:
    graph = float_model.copy().graph
    graph.feeds = ()
    with pytest.raises(VerifyError, match="reads 'x', which no op produces and no feed provides"):
        verify(graph)


def test_rule_1_an_input_that_was_removed_from_the_graph(float_model: Model) -> None:
    graph = float_model.copy().graph
    op = producer(graph, "fc_0.tmp_1")
    stray = graph.add_var_like("stray", graph.var("fc_0.tmp_0"))
    graph.remove_var(stray)
    graph.replace_input(op, graph.var("fc_0.tmp_0"), stray)
    both_say(graph, "Op(elementwise_add -> fc_0.tmp_1) reads 'stray', which is not in the graph.")


def test_rule_1_a_weight_without_a_value(float_model: Model) -> None:
    graph = float_model.copy().graph
    del graph.weights["fc_0.b_0"]
    both_say(graph, "Op(elementwise_add -> fc_0.tmp_1) reads weight 'fc_0.b_0', which has no value.")


def test_rule_1_an_output_that_two_ops_write(float_model: Model) -> None:
    graph = float_model.copy().graph
    first, second = producer(graph, "fc_0.tmp_0"), producer(graph, "fc_0.tmp_1")
    second.outputs["Out"] = first.outputs["Out"]
    graph.changed[second] = None
    both_say(
        graph,
        "Op(elementwise_add -> fc_0.tmp_0) writes 'fc_0.tmp_0',"
        " which Op(mul -> fc_0.tmp_0) produces as well.",
    )


# ---------------------------------------------------------------------- 2: weights


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.zeros((3, 4), np.float32), "float32[3, 4]"),
        (np.zeros((8, 4), np.float64), "float64[8, 4]"),
        (np.zeros((8, 4), np.int8), "int8[8, 4]"),
        (np.float32(1), "float32[]"),
    ],
)
def test_rule_2_a_weight_of_another_shape_or_dtype(value: np.ndarray, told: str, float_model: Model) -> None:
    graph = float_model.copy().graph
    graph.weights["fc_0.w_0"] = value
    both_say(graph, f"weight 'fc_0.w_0' is declared float32[8, 4] but its value is {told}.")


def test_rule_2_a_scalar_may_be_held_without_dimensions(float_model: Model) -> None:
    graph = float_model.copy().graph
    var = graph.add_var("one", "float32", (1,), np.ones(1, np.float32))
    graph.add_op("relu", {"X": var}, {"Out": graph.add_var_like("out", var)}, {})
    graph.weights["one"] = np.float32(1)
    verify(graph)


# ---------------------------------------------------------------------- 3: edges


def test_rule_3_an_input_that_does_not_know_its_reader(float_model: Model) -> None:
    graph = float_model.copy().graph
    op = producer(graph, "fc_0.tmp_1")
    del op.input("X").consumers[op]
    graph.changed[op] = None
    both_say(
        graph, "Op(elementwise_add -> fc_0.tmp_1) reads 'fc_0.tmp_0', which does not know it as a reader."
    )


def lose(graph: Graph, op: Op) -> None:
    """Take an op out of the graph without telling its neighbours."""
    graph._order = tuple(other for other in graph.ops if other is not op)
    del graph._ops[op]


def test_rule_3_an_input_whose_producer_is_gone(float_model: Model) -> None:
    graph = float_model.copy().graph
    lose(graph, producer(graph, "fc_0.tmp_0"))
    del graph.var("pool2d_0.tmp_0").consumers[producer(graph, "fc_0.tmp_0")]
    graph.changed[producer(graph, "fc_0.tmp_1")] = None
    both_say(
        graph,
        "Op(elementwise_add -> fc_0.tmp_1) reads 'fc_0.tmp_0', whose producer Op(mul -> fc_0.tmp_0) is not"
        " in the graph.",
    )


def test_rule_3_an_output_whose_reader_is_gone(float_model: Model) -> None:
    graph = float_model.copy().graph
    lose(graph, producer(graph, "fc_0.tmp_1"))
    graph.fetches = ("fc_0.tmp_0",)
    graph.changed[producer(graph, "fc_0.tmp_0")] = None
    both_say(
        graph,
        "Op(mul -> fc_0.tmp_0) writes 'fc_0.tmp_0', whose reader Op(elementwise_add -> fc_0.tmp_1) is not"
        " in the graph.",
    )


# ---------------------------------------------------------------------- 4: order


def test_rule_4_a_cycle(float_model: Model) -> None:
    graph = float_model.copy().graph
    graph.replace_input(
        producer(graph, "batch_norm_0.tmp_3"), graph.var("conv2d_0.tmp_0"), graph.var("relu_1.tmp_0")
    )
    for check in (verify_changes, verify):
        with pytest.raises(VerifyError, match=r"^the graph has a cycle through Op\(batch_norm -> .*\)\.$"):
            check(graph)


def test_rule_4_an_op_that_reads_what_it_writes(float_model: Model) -> None:
    graph = float_model.copy().graph
    op = producer(graph, "fc_0.tmp_1")
    graph.replace_input(op, graph.var("fc_0.tmp_0"), op.output("Out"))
    both_say(graph, "the graph has a cycle through Op(elementwise_add -> fc_0.tmp_1).")


def test_rule_4_a_value_read_after_it_was_overwritten(float_model: Model) -> None:
    """The old value's reader would have to come before the op that needs the reader's result."""
    graph = float_model.copy().graph
    hidden, out = graph.var("relu_0.tmp_0"), graph.var("fc_0.tmp_1")
    graph.add_op("relu", {"X": out}, {"Out": graph.add_version(hidden)}, {})
    verify(graph)
    late = graph.add_op(
        "relu", {"X": graph.var("relu_0.tmp_0")}, {"Out": graph.add_var_like("late", hidden)}, {}
    )
    verify(graph)
    assert graph.ops[-1] is late
    graph.add_op(
        "elementwise_add",
        {"X": hidden, "Y": graph.var("late")},
        {"Out": graph.add_var_like("both", hidden)},
        {"axis": -1},
    )
    with pytest.raises(VerifyError, match="the graph has a cycle through"):
        verify_changes(graph)


# ---------------------------------------------------------------------- 5: feeds and fetches


def test_rule_5_a_feed_that_does_not_exist(float_model: Model) -> None:
    graph = float_model.copy().graph
    graph.feeds = ("x", "y")
    both_say(graph, "feed 'y' is not a variable of the graph.")


def test_rule_5_a_fetch_that_does_not_exist(float_model: Model) -> None:
    graph = float_model.copy().graph
    graph.fetches = ("nowhere",)
    both_say(graph, "fetch 'nowhere' is not a variable of the graph.")


def test_rule_5_a_fetch_that_nobody_computes(float_model: Model) -> None:
    graph = float_model.copy().graph
    graph.remove_op(producer(graph, "fc_0.tmp_1"))
    both_say(graph, "fetch 'fc_0.tmp_1' is a variable that no op produces and no feed provides.")


def test_rule_5_feeds_and_weights_may_be_fetched(float_model: Model) -> None:
    graph = float_model.copy().graph
    graph.fetches = ("x", "fc_0.w_0")
    verify(graph)


# ---------------------------------------------------------------------- 6: scales


def activation_scale(graph: Graph, value: float) -> str:
    graph.weights["x@scale"] = np.array([value], np.float32)
    return "scale 'x@scale' of Op(fake_quantize_moving_average_abs_max -> x.quantized, x@scale)"


def channel_scale(graph: Graph, value: float) -> str:
    scale = graph.weights["conv2d_0.w_0@scale"].copy()
    scale[5] = value
    graph.weights["conv2d_0.w_0@scale"] = scale
    return "scale 'conv2d_0.w_0@scale' of Op(fake_channel_wise_dequantize_max_abs -> conv2d_0.tmp_0)"


@pytest.mark.parametrize("spoil", [activation_scale, channel_scale])
@pytest.mark.parametrize(
    ("value", "told"), [(0.0, "0.0"), (-1.5, "-1.5"), (np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")]
)
def test_rule_6_scales_are_finite_and_positive(
    spoil: Callable[[Graph, float], str], value: float, told: str, frozen_model: Model
) -> None:
    graph = frozen_model.copy().graph
    where = spoil(graph, value)
    both_say(graph, f"{where} holds {told}, where scales must be finite and positive.")
    verify(graph, scales=False)


def test_rule_6_in_the_qdq_form(frozen_model: Model) -> None:
    graph = PassManager.parse("qdq").run(frozen_model).graph
    graph.weights["fc_0.w_0.int8@scale"] = np.zeros(4, np.float32)
    both_say(
        graph,
        "scale 'fc_0.w_0.int8@scale' of Op(dequantize_linear -> fc_0.w_0.int8.dequantized) holds 0.0,"
        " where scales must be finite and positive.",
    )


# ---------------------------------------------------------------------- the journal


def test_what_passed_is_not_checked_again(float_model: Model) -> None:
    graph = float_model.copy().graph
    graph.weights["fc_0.b_0"] = np.ones(4, np.float32)
    graph.replace_input(producer(graph, "fc_0.tmp_1"), graph.var("fc_0.b_0"), graph.var("conv2d_2.b_0"))
    verify_changes(graph)
    assert not graph.changed
    assert not graph.weights.changed


def test_a_copy_inherits_what_is_still_to_be_checked(float_model: Model) -> None:
    graph = float_model.copy().graph
    graph.remove_op(producer(graph, "relu_0.tmp_0"))
    graph.weights["fc_0.b_0"] = np.ones(9, np.float32)
    twin = graph.copy()
    assert [str(op) for op in twin.changed] == [str(op) for op in graph.ops if op in graph.changed]
    assert all(twin.has_op(op) for op in twin.changed)
    with pytest.raises(VerifyError, match=r"relu_0\.tmp_0"):
        verify_changes(twin)
    assert "fc_0.b_0" in twin.weights.changed
