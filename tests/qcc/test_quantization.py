"""What is quantized is read back from any form of a graph."""

from __future__ import annotations

import pytest
import qat_nets
from frozen_models import frozen, transformed

import qcc
from qcc.quantization import quantized_ops, scheme, state

SCHEMES = [
    ("abs_max", "abs_max", 8, 8),
    ("channel_wise_abs_max", "moving_average_abs_max", 8, 8),
    ("channel_wise_abs_max", "range_abs_max", 4, 7),
    ("abs_max", "moving_average_abs_max", 5, 6),
]


def pipeline(weight: str, activation: str, weight_bits: int, activation_bits: int) -> str:
    return (
        f"transform{{weight_type={weight},activation_type={activation},"
        f"weight_bits={weight_bits},activation_bits={activation_bits}}}"
    )


@pytest.mark.parametrize("case", SCHEMES, ids=str)
def test_the_scheme_of_every_form(case: tuple[str, str, int, int]) -> None:
    net = qat_nets.convolutions()
    wanted = {
        "weight_type": [case[0]],
        "activation_type": [case[1]],
        "weight_bits": [case[2]],
        "activation_bits": [case[3]],
        "ops": {"conv2d": 3, "mul": 1},
    }
    model = transformed(net, pipeline(*case))
    assert state(model.graph) == "transformed"
    assert scheme(model.graph) == wanted
    model = frozen(net, pipeline(*case))
    assert state(model.graph) == "frozen"
    assert scheme(model.graph) == wanted
    model = qcc.PassManager.parse("int8").run(model)
    assert state(model.graph) == "int8"
    assert scheme(model.graph) == wanted
    if case[1] != "abs_max":
        model = qcc.PassManager.parse("qdq").run(model)
        assert state(model.graph) == "qdq"
        # QDQ does not record how the scale was found.
        assert scheme(model.graph) == {**wanted, "activation_type": ["static"]}


def test_float_model() -> None:
    graph = qat_nets.convolutions().test_model().graph
    assert state(graph) == "float"
    assert list(quantized_ops(graph)) == []
    assert scheme(graph)["ops"] == {}


def test_training_graph_is_transformed() -> None:
    model = qcc.PassManager.parse("transform").run(qat_nets.matrices().train_model())
    assert state(model.graph) == "transformed"


def test_weights_are_named() -> None:
    net = qat_nets.weight_on_the_left()
    (found,) = quantized_ops(transformed(net, "transform{weight_type=abs_max}").graph)
    assert (found.weight, found.weight_type) == ("weight", "abs_max")
    (found,) = quantized_ops(frozen(net, "transform{weight_type=abs_max}").graph)
    assert (found.op.type, found.weight) == ("matmul_v2", "weight")


def test_mixed_forms_are_all_named() -> None:
    model = frozen(qat_nets.convolutions())
    packed = qcc.PassManager.parse("int8").run(model)
    graph = model.graph
    found = next(iter(quantized_ops(packed.graph)))
    value = packed.weights[found.weight]
    stored = graph.add_var(found.weight, "int8", value.shape, value)
    op = next(iter(quantized_ops(graph))).op
    graph.set_input(op, "Filter", [stored])
    assert state(graph) == "frozen+int8"
