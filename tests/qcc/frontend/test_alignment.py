"""What training alone draws: a layer's two traces are brought together, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qcc
from qcc._paddle import dygraph_mode, paddle, static_mode
from qcc.errors import GraphError
from qcc.frontend.alignment import align
from qcc.frontend.layer import Traced, trace
from qcc.model import Model
from qcc.passes.quantizable import operands

nn, functional = paddle.nn, paddle.nn.functional
SPEC = [paddle.static.InputSpec([None, 3, 8, 8], name="image")]
LABEL = [paddle.static.InputSpec([None, 1], "int64", "label")]
IMAGES = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)

# What a layer makes of a map, in training and in evaluation mode.
Change = Callable[[Any, bool], Any]


class Net(nn.Layer):  # type: ignore[misc]
    """A residual block whose branches and sum may be changed."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2D(3, 4, 3, padding=1), nn.BatchNorm2D(4), nn.ReLU())
        self.second, self.third = nn.Conv2D(4, 4, 1), nn.Conv2D(4, 4, 1)
        self.fc = nn.Linear(4, 3)
        self.change = change

    def forward(self, image):  # type: ignore[no-untyped-def]
        found = self.first(image)
        found = found + self.second(self.change(found, self.training))
        found = self.third(self.change(functional.relu(found), self.training))
        return self.fc(self.change(functional.adaptive_avg_pool2d(found, 1).flatten(1), self.training))


def stochastic_depth(found: Any, training: bool) -> Any:
    """As PaddleClas writes it."""
    if not training:
        return found
    kept = paddle.to_tensor(0.8, dtype=found.dtype)
    shape = (paddle.shape(found)[0],) + (1,) * (found.ndim - 1)
    drawn = paddle.floor(kept + paddle.rand(shape).astype(found.dtype))
    return found.divide(kept) * drawn


def depth_scaled_behind(found: Any, training: bool) -> Any:
    if not training:
        return found
    shape = [paddle.shape(found)[0]] + [1] * (found.ndim - 1)
    return found * paddle.bernoulli(paddle.full(shape, 0.8)) / 0.8


def noise(found: Any, training: bool) -> Any:
    return found + paddle.randn(paddle.shape(found)) * 0.1 if training else found


def dropout_in_training(found: Any, training: bool) -> Any:
    return functional.dropout(found, 0.3) if training else found


def of_channels(found: Any, training: bool) -> Any:
    return functional.dropout(found, 0.3, axis=[0, 1], training=training)


def in_front_of_a_factor(found: Any, training: bool) -> Any:
    return of_channels(found, training) * 2.0


def in_front_of_sizes(found: Any, training: bool) -> Any:
    """Training reads the sizes twice."""
    found = stochastic_depth(found, training)
    return found.reshape([paddle.shape(found)[0], *found.shape[1:]])


def noise_in_both(found: Any, training: bool) -> Any:
    noisy = found + paddle.randn(paddle.shape(found)) * 0.0
    return of_channels(noisy, training)


def nothing(found: Any, training: bool) -> Any:
    return found


def a_plain_dropout(found: Any, training: bool) -> Any:
    return functional.dropout(found, 0.3, training=training)


def traced(change: Change) -> tuple[nn.Layer, Traced, Traced]:
    with dygraph_mode():
        paddle.seed(0)
        layer = Net(change)
    return layer, trace(layer, SPEC, nn.CrossEntropyLoss(), LABEL), trace(layer, SPEC)


def model_of(one: Traced) -> Model:
    with static_mode():
        fetches = one.outputs if one.loss is None else (one.loss, *one.outputs)
        return qcc.from_program(one.program, one.scope(), one.feeds, fetches, for_test=one.loss is None)


def read_by_weights(model: Model) -> dict[str, str]:
    """By the name of each weight, what is multiplied by it: its quantizer is called by this."""
    found = filter(None, map(operands, model.graph.ops))
    return {each.weight.name: each.data.name for each in found}


@pytest.mark.parametrize(
    "change",
    [
        stochastic_depth,
        depth_scaled_behind,
        noise,
        dropout_in_training,
        of_channels,
        in_front_of_a_factor,
        in_front_of_sizes,
        noise_in_both,
    ],
)
def test_variables_are_called_as_in_training(change: Change) -> None:
    layer, train, test = traced(change)
    aligned = align(train, test)
    assert read_by_weights(model_of(aligned)) == read_by_weights(model_of(train))
    with dygraph_mode():
        layer.eval()
        found = layer(paddle.to_tensor(IMAGES)).numpy()
    np.testing.assert_array_equal(model_of(aligned).run({"image": IMAGES})[0], found)


def test_what_stands_for_drawing_is_taken_out_by_exports(tmp_path: Path) -> None:
    _, train, test = traced(stochastic_depth)
    model = model_of(align(train, test))
    assert sum(op.type == "dropout" for op in model.graph.ops) == 3
    frozen = qcc.PassManager.parse("skip-neutral").run(model)
    assert not any(op.type == "dropout" for op in frozen.graph.ops)


@pytest.mark.parametrize("change", [nothing, a_plain_dropout])
def test_traces_of_one_way_stay_as_they_are(change: Change) -> None:
    _, train, test = traced(change)
    assert align(train, test) is test


def test_training_may_return_more() -> None:
    class More(Net):
        def forward(self, image):  # type: ignore[no-untyped-def]
            found = Net.forward(self, image)
            return (found, found * 3) if self.training else found

    with dygraph_mode():
        layer = More(of_channels)
    train = trace(layer, SPEC, lambda outputs, label: functional.cross_entropy(outputs[0], label), LABEL)
    assert len(align(train, trace(layer, SPEC)).outputs) == 1


def mixed(found: Any, training: bool) -> Any:
    """What is drawn chooses between two maps."""
    if not training:
        return found
    return paddle.where(paddle.rand(paddle.shape(found)) < 0.5, found, functional.relu(found))


def activated(found: Any, training: bool) -> Any:
    return found if training else functional.relu(found)


def lowered(found: Any, training: bool) -> Any:
    return functional.dropout(found, 0.3, axis=[0, 1], training=training, mode="downscale_in_infer")


def scaled_otherwise(found: Any, training: bool) -> Any:
    """What is measured in training is half of what is computed in evaluation."""
    return found * (1.5 if training else 3.0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (scaled_otherwise, "computes scale with another 'scale' in evaluation than in training"),
        (activated, "computes relu in evaluation where it computes conv2d in training"),
        (mixed, "computes conv2d in evaluation where it computes uniform_random in training"),
        (lowered, "computes scale in evaluation where it computes conv2d in training"),
    ],
)
def test_other_ways_are_refused(change: Change, told: str) -> None:
    _, train, test = traced(change)
    with pytest.raises(GraphError, match=told):
        align(train, test)


def test_drawing_beside_a_loop_is_refused() -> None:
    def branching(found: Any, training: bool) -> Any:
        found = of_channels(found, training)
        return paddle.static.nn.cond(found.mean() > 0, lambda: found * 1.0, lambda: found * 2.0)

    _, train, test = traced(branching)
    with pytest.raises(GraphError, match="a loop or a branch that depends on data"):
        align(train, test)


def test_other_outputs_are_refused() -> None:
    class Swapped(Net):
        def forward(self, image):  # type: ignore[no-untyped-def]
            found = Net.forward(self, image)
            twice = found * 2
            return (found, twice) if self.training else (twice, found)

    with dygraph_mode():
        layer = Swapped(nothing)
    train = trace(layer, SPEC, lambda outputs, label: functional.cross_entropy(outputs[0], label), LABEL)
    with pytest.raises(GraphError, match="returns other tensors in evaluation"):
        align(train, trace(layer, SPEC))
