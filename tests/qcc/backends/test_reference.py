"""How far a model's outputs may be off whose ops are each right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import frozen

import qcc
from qcc._paddle import paddle
from qcc.backends.agreement import ROUNDING
from qcc.backends.reference import Reference, reference, smallest_limit
from qcc.model import Model


def referred(model: Model, inputs: dict[str, np.ndarray], folder: Path) -> Reference:
    qcc.save(model, folder, form="float", check=False)
    return reference(model, folder / "model.pdmodel", folder / "model.pdiparams", inputs)


def compared_ops(found: Reference) -> list[str]:
    """Which ops compute what is compared."""
    producers = [found.graph.var(name).producer for name in found.names]
    assert None not in producers
    return [op.type for op in producers if op is not None]


def of_a_map(side: int, folder: Path) -> Reference:
    """A frozen network that gives one channel of side x side."""
    x = floats(1, 3, side, side)

    def build(x: Any) -> Any:
        return static.nn.conv2d(F.relu(static.nn.conv2d(x, 4, 3, padding=1)), 1, 1)

    inputs = {"x0": x}
    model = frozen(build_model(build, (x,)), inputs)
    return referred(model, inputs, folder)


def test_the_last_bit_of_float16_may_be_another(tmp_path: Path) -> None:
    """It is larger than what sums of float32 in another order are off by."""
    x = floats(1, 3, 8, 8)
    model = build_model(lambda x: paddle.cast(static.nn.conv2d(x, 4, 3), "float16"), (x,))
    found = referred(model, {"x0": x}, tmp_path)
    (output,) = found.outputs
    assert output.dtype == np.float16
    right, wrong = (np.nextafter(output, np.float16(9)), output * np.float16(1.01))
    (limit,) = found.limits()
    assert found.distances([right])[0].within(limit)
    assert not found.distances([wrong])[0].within(limit)


def test_what_is_joined_of_nothing_is_compared(tmp_path: Path) -> None:
    """Nothing passes the threshold, so that there is nothing whose range could be small."""

    def build(x: Any) -> Any:
        y = static.nn.conv2d(x, 4, 3)
        best = F.relu(paddle.masked_select(y, y > 1e9))
        return [y, paddle.concat([best, best * 2.0])]

    x = floats(1, 3, 8, 8)
    found = referred(build_model(build, (x,)), {"x0": x}, tmp_path)
    assert [output.size for output in found.outputs[:2]] == [4 * 6 * 6, 0]


@pytest.mark.parametrize(("side", "few_may"), [(100, True), (20, False)])
def test_single_elements_of_a_large_map_may_be_anything(side: int, few_may: bool, tmp_path: Path) -> None:
    found = of_a_map(side, tmp_path)
    (output,) = found.outputs
    few, all_of_them = output.copy(), output + 0.3 * np.ptp(output)
    few.reshape(-1)[:3] += 0.9 * np.ptp(output)
    assert found.moves_as_far(found.distances([few])) is few_may
    assert not found.moves_as_far(found.distances([all_of_them]))
    few.reshape(-1)[0] = np.nan
    assert not found.moves_as_far(found.distances([few]))


@pytest.mark.parametrize(("side", "few_may"), [(100, True), (20, False)])
def test_where_no_ties_excuse_the_rest_single_elements_may_still_scatter(
    side: int, few_may: bool, tmp_path: Path
) -> None:
    found = of_a_map(side, tmp_path)
    (output,) = found.outputs
    few, more = output.copy(), output + 0.02 * np.ptp(output)
    few.reshape(-1)[:3] += 0.9 * np.ptp(output)
    assert found.scatters(found.distances([few])) is few_may
    assert found.scatters(found.distances([output]))
    assert not found.scatters(found.distances([more]))


def test_where_weights_alone_are_integers_the_rest_is_rounded_as_floats() -> None:
    """No limit is finer than what sums of float32 in another order differ by."""
    model = build_model(lambda x: static.nn.conv2d(x, 4, 3), (floats(1, 3, 8, 8),))
    stored = qcc.PassManager.parse("integer-weights").run(model)
    assert smallest_limit(stored.graph) == smallest_limit(model.graph) == ROUNDING


@pytest.mark.parametrize(("bias", "compared"), [(0.0, "sigmoid"), (-30.0, "scale")])
def test_a_map_that_shows_nothing_is_compared_before_its_sigmoid(
    bias: float, compared: str, tmp_path: Path
) -> None:
    x = floats(1, 3, 20, 20)
    model = build_model(lambda x: F.sigmoid(static.nn.conv2d(x, 1, 1, bias_attr=False) * 4 + bias), (x,))
    found = referred(model, {"x0": x}, tmp_path)
    assert compared_ops(found) == [compared]
    assert found.distances(found.executor.run(found.sample.inputs, found.names))[0].largest == 0


@pytest.mark.parametrize(("factor", "compared"), [(1.0, "log_softmax"), (200.0, "scale")])
def test_logarithms_that_paddle_cuts_off_are_compared_before(
    factor: float, compared: str, tmp_path: Path
) -> None:
    x = floats(1, 3, 8, 8)
    model = build_model(lambda x: F.log_softmax(static.nn.conv2d(x, 4, 1, bias_attr=False) * factor, 1), (x,))
    found = referred(model, {"x0": x}, tmp_path)
    assert compared_ops(found) == [compared]


def test_logarithms_that_paddle_cuts_off_are_right_in_onednn(tmp_path: Path) -> None:
    x = floats(1, 3, 8, 8)
    model = build_model(lambda x: F.log_softmax(static.nn.conv2d(x, 4, 1, bias_attr=False) * 200, 1), (x,))
    qcc.save(frozen(model, {"x0": x}), tmp_path, target="paddle-x86", check={"x0": x})


@pytest.mark.parametrize(("size", "compared"), [(300.0, ["concat", "sigmoid"]), (0.3, ["concat"])])
def test_what_is_small_in_an_output_is_compared_by_itself(
    size: float, compared: list[str], tmp_path: Path
) -> None:
    x = floats(1, 3, 20, 20)

    def build(x: Any) -> Any:
        maps = static.nn.conv2d(x, 2, 1, bias_attr=False)
        return paddle.concat([maps * size, F.sigmoid(maps * 4)], axis=1)

    model = build_model(build, (x,))
    found = referred(model, {"x0": x}, tmp_path)
    assert compared_ops(found) == compared
    assert [output.shape[1] for output in found.outputs] == [4, 2][: len(compared)]
