"""qcc's passes on programs that Paddle's passes have made already."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import assert_same_integers
from both import Both, Scheme
from paddle_passes import paddle_int8
from qat_nets import convolutions

import qcc
from qcc.model import Model
from qcc.passes import PassManager

SCHEMES = [
    Scheme("channel_wise_abs_max", "moving_average_abs_max"),
    Scheme("abs_max", "range_abs_max"),
    Scheme("abs_max", "moving_average_abs_max", 5, 7),
]


def run(pipeline: str, model: Model) -> Model:
    return PassManager.parse(pipeline).run(model)


def from_paddle(both: Both) -> Model:
    fetch = [both.net.output]
    return qcc.from_program(both.graph.to_program(), both.scope, [both.net.feed], fetch, for_test=True)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_transformed_by_paddle(scheme: Scheme) -> None:
    both = Both.transformed(convolutions(), scheme)
    model = from_paddle(both)
    assert not PassManager.parse(scheme.text).apply(model.copy().graph).modified
    frozen = run("freeze", model)
    assert_same_integers(model, frozen, both.net.batch(7))
    ours = run("freeze", both.model)
    assert np.array_equal(frozen.run(both.net.batch())[0], ours.run(both.net.batch())[0])


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_frozen_by_paddle(scheme: Scheme) -> None:
    both = Both.transformed(convolutions(), scheme)
    ours = run("freeze", both.model)
    both.freeze()
    model = from_paddle(both)
    assert not PassManager.parse("freeze").apply(model.copy().graph).modified
    assert not PassManager.parse(scheme.text).apply(model.copy().graph).modified
    (expected,) = model.run(both.net.batch())
    for pipeline in ("int8", "int8,unpack", "prune"):
        assert np.array_equal(run(pipeline, model).run(both.net.batch())[0], expected)
    for pipeline in ("qdq", "int8,qdq,prune"):
        (output,) = run(pipeline, model).run(both.net.batch())
        assert np.array_equal(output, run(pipeline, ours).run(both.net.batch())[0])


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_converted_to_int8_by_paddle(scheme: Scheme) -> None:
    both = Both.transformed(convolutions(), scheme)
    ours = run("freeze", both.model)
    both.freeze()
    paddle_int8(both.graph, both.scope)
    model = from_paddle(both)
    assert model.weights["fc_0.w_0.int8"].dtype == np.int8
    assert not PassManager.parse("int8").apply(model.copy().graph).modified
    (expected,) = ours.run(both.net.batch())
    for pipeline in ("int8", "unpack", "prune"):  # running it unpacks it, which Paddle itself cannot
        assert np.array_equal(run(pipeline, model).run(both.net.batch())[0], expected)
