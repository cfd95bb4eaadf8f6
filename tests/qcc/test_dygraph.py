"""Who trains in dygraph mode and uses qcc in between is in dygraph mode afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nets
import numpy as np
import pytest

import qcc
from qcc._paddle import paddle, static_mode
from qcc.model import Model

PIPELINE = "transform{weight_type=channel_wise_abs_max,activation_type=abs_max},freeze,prune"
INPUTS = {"image": np.random.default_rng(0).standard_normal((2, 3, 12, 12)).astype(np.float32)}


@pytest.fixture
def model() -> Model:
    """A small float model."""
    return nets.build(nets.residual_net)["test"]


@pytest.fixture
def dygraph(model: Model) -> Iterator[None]:
    """Dygraph mode, in which Paddle starts."""
    paddle.disable_static()
    yield
    assert paddle.in_dynamic_mode()
    paddle.enable_static()


def test_compiling_running_and_saving(model: Model, dygraph: None, tmp_path: Path) -> None:
    layer = paddle.nn.Linear(2, 1)
    loss = layer(paddle.ones([1, 2])).sum()
    frozen = qcc.PassManager.parse(PIPELINE).run(model)
    qcc.save(frozen, tmp_path)
    loaded = qcc.load(tmp_path)
    paddle.enable_static()
    (expected,) = frozen.run(INPUTS)
    paddle.disable_static()
    np.testing.assert_array_equal(loaded.run(INPUTS)[0], expected)
    loss.backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy(), np.ones((2, 1)))


def test_program_is_whole(model: Model, dygraph: None) -> None:
    program, scope = model.to_program(), paddle.static.Scope()
    model.write_weights(scope, overwrite=True)
    again = qcc.from_program(program, scope, model.feeds, model.fetches, for_test=True)
    assert [op.type for op in program.global_block().ops] == [op.type for op in model.graph.ops]
    assert [str(op) for op in again.graph.ops] == [str(op) for op in model.graph.ops]


def test_mode_comes_back_after_an_error_with_its_own_tracer(dygraph: None) -> None:
    tracer = paddle.framework._dygraph_tracer()

    @static_mode()
    def fail() -> None:
        assert not paddle.in_dynamic_mode()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert paddle.framework._dygraph_tracer() is tracer


def test_static_mode_stays_static(model: Model) -> None:
    model.run(INPUTS)
    assert not paddle.in_dynamic_mode()
