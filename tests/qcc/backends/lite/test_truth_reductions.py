"""Whether all or any of several dimensions are true, by Paddle Lite's one kernel for every processor."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from lite_case import build_model, floats

from qcc._paddle import paddle
from qcc.backends.lite.export import export, lower
from qcc.backends.lite.runtime import LiteRuntime
from qcc.model import Model

SIZES = (2, 3, 2, 3, 2)
AXES = [(3, (0, 2)), (3, (0, 1, 2)), (3, (-1, -2)), (4, (0, 3)), (4, (1, 2, 3)), (5, (1,)), (5, (0, 2, 4))]


def net(x: np.ndarray, axes: tuple[int, ...], *, keep: bool) -> Model:
    """The kernel aborts for two axes that are no neighbours, or three, and is wrong of five dimensions."""
    return build_model(
        lambda x: [
            paddle.cast(paddle.any(x > 1.8, axes, keep), "float32"),
            paddle.cast(paddle.all(x > -1.8, axes, keep), "float32"),
        ],
        (x,),
        batch=2,
    )


@pytest.mark.lite
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(("rank", "axes"), AXES)
def test_right_in_its_runtime(rank: int, axes: tuple[int, ...], keep: bool, tmp_path: Path) -> None:
    x = floats(*SIZES[:rank])
    export(net(x, axes, keep=keep), tmp_path / "a.nb", arch="x86", check=False)
    with LiteRuntime(tmp_path / "a.nb") as runtime:
        found = runtime.run({"x0": x})
    for array, wanted in zip(
        found, ((x > 1.8).any(axes, keepdims=keep), (x > -1.8).all(axes, keepdims=keep)), strict=True
    ):
        np.testing.assert_array_equal(array, wanted.reshape(wanted.shape or (1,)))


@pytest.mark.parametrize("arch", ["x86", "arm"])
def test_one_axis_and_two_neighbours_stay(arch: Literal["x86", "arm"]) -> None:
    x = floats(*SIZES[:4])
    for axes in ((1,), (2, 3)):
        kinds = [op.type for op in lower(net(x, axes, keep=False), arch).graph.ops]
        assert "reshape2" not in kinds
        assert (kinds.count("reduce_any"), kinds.count("reduce_all")) == (1, 1)


def test_one_axis_after_another_on_arm() -> None:
    kinds = [op.type for op in lower(net(floats(*SIZES[:3]), (0, 2), keep=False), "arm").graph.ops]
    assert (kinds.count("reduce_any"), kinds.count("reduce_all")) == (2, 2)
