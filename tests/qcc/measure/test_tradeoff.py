"""What a search for a time budget tries, how candidates are made, and how they take turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import nets
import numpy as np
import pytest
from engine_nets import frozen_engine_net

import qcc
from qcc.backends.engines.timing import Times
from qcc.errors import EngineError, ModelFormatError
from qcc.measure.tradeoff.clock import EngineClock, Form
from qcc.measure.tradeoff.groups import Floats, Group, groups_of, layers_of
from qcc.measure.tradeoff.models import FromFrozen
from qcc.model import Model, Runner
from qcc.passes.frozen import frozen_ops
from qcc.quantization import quantized_ops, state


@pytest.fixture(scope="module")
def excited() -> tuple[FromFrozen, dict[str, np.ndarray], Model]:
    """Four convolutions, the first in front of a hard_swish, two around a pooling; their inputs."""
    model, inputs = frozen_engine_net("squeeze_and_excite")
    return FromFrozen(model), dict(inputs), model


def by_name(groups: Sequence[Group]) -> Mapping[str, Floats]:
    return {group.name: group.layers for group in groups}


def test_groups_of_types_and_of_what_follows() -> None:
    graph = nets.build(nets.residual_net)["test"].graph
    layers = ["conv2d_0.w_0", "conv2d_1.w_0", "fc_0.w_0"]
    assert layers_of(graph, layers) == layers
    found = by_name(groups_of(graph, layers))
    assert found["conv2d"] == {"conv2d_0.w_0"}
    assert found["depthwise_conv2d"] == {"conv2d_1.w_0"}
    assert found["mul"] == {"fc_0.w_0"}
    assert found["conv2d_1.w_0 to fc_0.w_0, 2 layers"] == {"conv2d_1.w_0", "fc_0.w_0"}
    assert len({group for group in found.values()}) == len(found)
    assert "fc_0.w_0" not in {layer for group in groups_of(graph, layers[:2]) for layer in group.layers}


def test_groups_in_front_of_float_ops(excited: tuple[FromFrozen, dict[str, np.ndarray], Model]) -> None:
    models, _, _ = excited
    first, squeezed, spread, last = models.layers
    found = by_name(groups_of(models.graph, models.layers))
    assert found["in front of hard_swish"] == {first}
    assert found["in front of relu"] == {squeezed}
    assert found["alone between float ops"] == {first, last}
    # All layers together are the float model, which is timed anyway.
    assert frozenset(models.layers) not in found.values()
    assert {squeezed, spread} <= {layer for group in found.values() for layer in group}


def test_what_goes_back_to_float_keeps_its_rounded_weights(
    excited: tuple[FromFrozen, dict[str, np.ndarray], Model],
) -> None:
    models, inputs, model = excited
    assert models.layers == list(dict.fromkeys(found.weight.name for found in frozen_ops(model.graph)))
    first = models.layers[0]
    partly = models.model(frozenset({first}))
    assert {one.weight for one in quantized_ops(partly.graph)} == set(models.layers[1:])
    (frozen,) = (found for found in frozen_ops(model.graph) if found.weight.name == first)
    scale = frozen.weight_scale(model.graph).reshape(-1, 1, 1, 1)
    wanted = model.weights[first] * (scale / np.float32(127))
    np.testing.assert_allclose(partly.weights[first], wanted, rtol=1e-6)
    everything = models.model(frozenset(models.layers))
    assert state(everything.graph) == "float"
    outputs = [Runner(one).run(inputs, one.fetches)[0] for one in (model, everything)]
    assert np.abs(outputs[0] - outputs[1]).max() < 0.1 * np.ptp(outputs[0])
    assert set(models.scales) == {found.operands.data.name for found in frozen_ops(model.graph)}


def test_other_forms(excited: tuple[FromFrozen, dict[str, np.ndarray], Model]) -> None:
    models, _, model = excited
    for form in ("int8", "qdq"):
        found = FromFrozen(qcc.PassManager.parse(form).run(model))
        assert len(found.layers) == len(models.layers)
    with pytest.raises(ModelFormatError, match="the model is float, and time budgets are about quantized"):
        FromFrozen(models.model(frozenset(models.layers)))


class Running:
    """Takes the milliseconds that its file says; fails in its second turn where the file says so."""

    opened: list[Running]

    def __init__(self, path: Path) -> None:
        self._words = path.read_text().split()
        self._turns, self.closed = 0, False

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        raise NotImplementedError

    def times(self, inputs: Mapping[str, np.ndarray], warm_up: int, runs: int) -> Times:
        self._turns += 1
        if self._words[1:] == ["dies"] and self._turns > 2:
            raise EngineError("it was ended by SIGILL.")
        seconds = [float(self._words[0]) / 1000] * runs
        return Times(seconds, seconds)

    def close(self) -> None:
        self.closed = True


def test_candidates_take_turns_in_an_engine(tmp_path: Path) -> None:
    says = {"": "3", "a": "2", "b": "9 dies", "ab": "1"}
    opened: dict[str, Running] = {}

    def write(model: Model, folder: Path) -> Path:
        path = folder / "file"
        path.write_text(str(model))
        return path

    def load(path: Path, quantized: bool) -> Running:
        text = path.read_text()
        if text == "c":
            raise EngineError("it has no such op.")
        assert quantized == (text != says["ab"])
        opened[text] = Running(path)
        return opened[text]

    def model(floats: Floats) -> Model:
        name = "".join(sorted(floats))
        return says.get(name, name)  # type: ignore[return-value]

    with EngineClock(model, Form(write, load), frozenset("ab"), {}, tmp_path, turns=3) as clock:
        some = [frozenset("ab"), frozenset(), frozenset("b"), frozenset("c")]
        whole, nothing, dying, refused = clock.turns(some)
        assert (whole.seconds, nothing.seconds) == ((0.001,) * 3, (0.003,) * 3)
        assert (dying.seconds, dying.reason) == ((), "it was ended by SIGILL")
        assert refused.reason == "it has no such op"
        before = opened["3"]
        clock.turns([frozenset("ab"), frozenset(), frozenset("a")])
        assert opened["3"] is before
        assert opened["9 dies"].closed
        assert not before.closed
    assert all(one.closed for one in opened.values())
    assert list(tmp_path.iterdir()) == []
