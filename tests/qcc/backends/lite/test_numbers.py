"""Numbers, which have no dimensions in Paddle, in Paddle Lite, which has vectors of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from lite_agreement import assert_close
from lite_case import F, build_model, floats, parameter

from qcc._paddle import paddle
from qcc.backends.lite.export import export, lower
from qcc.backends.lite.runtime import LiteRuntime
from qcc.errors import PassError

SQUARE = floats(3, 3)


def best(x: Any) -> Any:
    """A place from 0 to 2."""
    return paddle.argmax(x[1], axis=0)


def third(x: Any) -> Any:
    """A place that is cut out of a tensor, which gives Paddle Lite a vector of one."""
    return paddle.cast(paddle.clip(paddle.round(x), 2.0, 2.0), "int64")[0, 1]


NETS: dict[str, Callable[[Any], Any]] = {
    "unsqueeze2": lambda x: paddle.unsqueeze(x, -1) * paddle.unsqueeze(paddle.max(x), [0, 1, 2]),
    "unsqueeze2 of what is cut out": lambda x: paddle.unsqueeze(x[0, 1], 0),
    "unsqueeze2 of a place": lambda x: paddle.unsqueeze(third(x), [0, 1]),
    "concat": lambda x: paddle.concat([paddle.unsqueeze(paddle.max(x), 0), x[0]]),
    # Of a square, Paddle Lite would take it for a column.
    "stack": lambda x: x * paddle.stack([paddle.max(x), paddle.min(x), paddle.mean(x)]),
    "stack of places": lambda x: paddle.stack([best(x), third(x)], -1),
    "one_hot_v2": lambda x: [F.one_hot(best(x), 5), F.one_hot(third(x), 5)],
    "gather": lambda x: [paddle.gather(x, best(x)), paddle.gather(x, third(x), axis=1)],
    "gather of places": lambda x: paddle.gather(paddle.cast(x, "int64"), third(x)),
    "lookup_table_v2": lambda x: [
        F.embedding(best(x), parameter(3, 4)),
        F.embedding(third(x), parameter(3, 4)),
    ],
    "reshape2": lambda x: x * paddle.reshape(paddle.max(x, keepdim=True), []),
    "reshape2 of a number": lambda x: paddle.reshape(paddle.max(x), []),
    "transpose2": lambda x: paddle.transpose(paddle.max(x), []),
    "reduce_sum": lambda x: paddle.unsqueeze(paddle.sum(paddle.max(x)), 0),
    "reduce_mean": lambda x: paddle.mean(paddle.min(x)),
    "reduce_all": lambda x: x * paddle.cast(paddle.all(paddle.max(x) > 0), "float32"),
    "reduce_any": lambda x: x - paddle.cast(paddle.any(paddle.max(x) > 100), "float32"),
}


@pytest.mark.lite
@pytest.mark.parametrize("name", NETS)
def test_right_in_its_runtime(name: str, tmp_path: Path) -> None:
    model = build_model(NETS[name], (SQUARE,), batch=3)
    assert name.partition(" ")[0] in {op.type for op in model.graph.ops}
    assert not export(model, tmp_path / "a.nb", arch="x86", check={"x0": SQUARE}).warnings
    with LiteRuntime(tmp_path / "a.nb") as runtime:
        found = runtime.run({"x0": SQUARE})
    wanted = model.run({"x0": SQUARE})
    assert_close([array.reshape(array.shape or (1,)) for array in found], wanted)


@pytest.mark.parametrize("name", NETS)
def test_written_likewise_for_arm(name: str, tmp_path: Path) -> None:
    """Nothing puts a dimension in front of what has none, and Paddle computes the same of what is written."""
    model = build_model(NETS[name], (SQUARE,), batch=3)
    export(model, tmp_path / "a.nb", arch="arm")
    graph = lower(model, "arm").graph
    assert not [op for op in graph.ops if op.type in ("stack", "unsqueeze2") and not _first(op).shape]


@pytest.mark.parametrize("arch", ["x86", "arm"])
def test_the_sizes_of_a_number_are_refused(arch: Literal["x86", "arm"], tmp_path: Path) -> None:
    """It has none in Paddle, and one in Paddle Lite."""
    model = build_model(lambda x: paddle.shape(paddle.max(x)), (SQUARE,))
    with pytest.raises(PassError, match=r"shape \(Input float\).* it gives a number one dimension, .*; take"):
        export(model, tmp_path / "a.nb", arch=arch)


def test_a_row_of_zeros_for_a_number_is_refused() -> None:
    model = build_model(lambda x: F.embedding(best(x), parameter(3, 4), padding_idx=1), (SQUARE,))
    with pytest.raises(PassError, match=r"lookup_table_v2 .* for a number, .* reshape the number to \[1\]"):
        lower(model, "arm")


def test_what_has_dimensions_stays() -> None:
    model = build_model(lambda x: paddle.stack([paddle.unsqueeze(x, 0), paddle.unsqueeze(x, 0)]), (SQUARE,))
    assert {op.type for op in lower(model, "arm").graph.ops} == {"stack", "unsqueeze2"}


def _first(op: Any) -> Any:
    return op.inputs["X"][0]
