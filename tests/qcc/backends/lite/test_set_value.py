"""What of a set_value is no stretch of known length, or has to be repeated, stays one."""

from __future__ import annotations

from typing import Any

import pytest
from lite_case import build_model, floats, static

from qcc._paddle import paddle
from qcc.passes import PassManager
from qcc.passes.instruments import OpCount

ALL = slice(None)


def modified(place: tuple[slice, ...], value: Any, shape: tuple[int, ...] = (1, 6, 4, 4)) -> bool:
    def net(x: Any) -> Any:
        x = paddle.reshape(x, list(shape))
        return static.setitem(x, place, value(x))

    counts = OpCount()
    PassManager.parse("lite-set-value").run(build_model(net, (floats(1, 6, 4, 4),)), [counts])
    return counts.changes[0].result.modified


def test_a_stretch_is_put_together_anew() -> None:
    assert modified((ALL, slice(0, 4)), lambda x: x[:, 2:] * 2.0)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((ALL, slice(0, 6, 2)), lambda x: x[:, :3]),
        ((ALL, slice(0, 4)), lambda x: x[:, :1]),
        ((ALL, slice(0, 4)), lambda x: 0.5),
        ((ALL, slice(0, 4), slice(0, 2)), lambda x: x[:, :4, :2]),
    ],
    ids=["every other one", "repeated", "a number", "of two dimensions"],
)
def test_others_stay(place: tuple[slice, ...], value: Any) -> None:
    assert not modified(place, value)


def test_of_an_open_size_nothing_is_known() -> None:
    assert not modified((ALL, slice(0, 4)), lambda x: x[:, 2:], (1, 6, -1, 4))
