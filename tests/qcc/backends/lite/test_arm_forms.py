"""What is written for ARM instead of what its kernels get wrong, computed by Paddle Lite's x86 kernels.

No ARM kernel runs here. The form is that for ARM, the kernels are those of x86 for floats.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_agreement import assert_close, lite_outputs, lowered
from lite_arm import FLOAT, QUANTIZED, REFUSED, arm_form_outputs, arm_model, on_x86
from lite_case import Case, F, append_op, floats, paddle, parameter, static
from lite_nets import frozen

from qcc.backends.lite.guarantees import relied_on
from qcc.backends.lite.passes.split_products import LiteSplitProducts
from qcc.backends.lite.runtime import LiteRuntime
from qcc.errors import PassError
from qcc.model import Model
from qcc.passes import PassManager
from qcc.passes.instruments import OpCount

pytestmark = pytest.mark.lite

# x86 has no kernel for these in any form.
_NOT_ON_X86 = ("depthwise-transposed", "grouped-transposed")
_ROUNDING_OF_SUMS, _A_STEP = 3e-5, 1e-2


@pytest.mark.parametrize("fault", [name for name in FLOAT if name not in (*REFUSED, *_NOT_ON_X86)])
def test_float_form(fault: str, tmp_path: Path) -> None:
    model, feed = arm_model(fault, quantized=False)
    (found,) = arm_form_outputs(model, [feed], tmp_path / "a.nb")
    assert_close(found, model.run(feed), _ROUNDING_OF_SUMS)


@pytest.mark.parametrize("fault", [name for name in QUANTIZED if name not in _NOT_ON_X86])
def test_quantized_form(fault: str, tmp_path: Path) -> None:
    model, feed = arm_model(fault, quantized=True)
    (found,) = arm_form_outputs(model, [feed], tmp_path / "a.nb")
    # One value on a rounding boundary moves the values that it goes into by a step.
    assert_close(found, model.run(feed), _A_STEP)


# ---------------------------------------------------------------------- reductions

IMAGE, FIVE = floats(2, 4, 9, 10), floats(2, 3, 4, 5, 6)


def reduced(kind: str, axes: list[int] | None, keep: bool) -> Callable[[Any], Any]:
    return lambda x: getattr(paddle, kind)(x, axes, keepdim=keep)


_KINDS = ("mean", "sum", "max", "min", "prod")
# One test of each kind, and the rest of all combinations where there is time.
_QUICK = {("arm", "mean", False), ("arm", "prod", True), ("arm", "max", False), ("x86", "sum", True)}
COMBINATIONS = [
    pytest.param(arch, kind, keep, marks=[] if (arch, kind, keep) in _QUICK else [pytest.mark.slow])
    for arch in ("arm", "x86")
    for kind in _KINDS
    for keep in (False, True)
]
PLANS: list[tuple[np.ndarray, list[list[int] | None]]] = [
    (IMAGE, [None, [1, 3], [3, 2], [-1, -2], [0, 1], [1, 2, 3], [2]]),
    (IMAGE[:, 0], [None, [1, 2], [2, 1], [0]]),
    (IMAGE[:, 0, 0], [None, [1], [0]]),
    (FIVE, [None, [1], [2], [4], [2, 3], [1, 3], [0, 2, 4], [3, 4]]),
    (FIVE[:, :, :, None], [[2], [3], [4, 5]]),
]


@pytest.mark.parametrize(("arch", "kind", "keep"), COMBINATIONS)
def test_reductions(arch: str, kind: str, keep: bool, tmp_path: Path) -> None:
    """Along any axes of one to six dimensions, with another batch in the predictor's next run."""
    for array, axes in PLANS:
        # Products of many numbers are small: numbers around 1.
        values = array / 4 + 1 if kind == "prod" else array
        case = Case("", (values,), lambda x, axes=axes: [reduced(kind, along, keep)(x) for along in axes])
        model = case.model()
        feeds = [case.feed(), {"x0": values[:1]}]
        run = arm_form_outputs if arch == "arm" else several
        for outputs, feed in zip(run(model, feeds, tmp_path / "a.nb"), feeds, strict=True):
            assert_close(outputs, model.run(feed), _ROUNDING_OF_SUMS)


def test_an_involution_runs(tmp_path: Path) -> None:
    """Its sum over the fourth of six dimensions was wrong on x86."""

    def involution(x: Any) -> Any:
        weight = paddle.reshape(static.nn.conv2d(x, 2 * 9, 1), [-1, 2, 1, 9, 8, 8])
        patches = paddle.reshape(F.unfold(x, 3, 1, 1), [-1, 2, 2, 9, 8, 8])
        return paddle.reshape(paddle.sum(weight * patches, axis=3), [-1, 4, 8, 8])

    case = Case("", (floats(2, 4, 8, 8),), involution)
    model = case.model()
    assert_close(lite_outputs(model, case.feed(), tmp_path / "a.nb"), model.run(case.feed()))


# ---------------------------------------------------------------------- products in parts


@pytest.mark.parametrize(
    ("name", "build", "inputs", "parts"),
    [
        ("conv", lambda x: F.relu(static.nn.conv2d(x, 2, 3, dilation=2)), floats(1, 1821, 6, 6), 2),
        ("three", lambda x: static.nn.conv2d(x, 1, 7), floats(1, 700, 8, 8), 3),
        ("linear", lambda x: F.relu(F.linear(x, parameter(16400, 2), parameter(2))), floats(2, 16400), 2),
        (
            "mul",
            lambda x: append_op(
                "mul", {"X": x, "Y": parameter(16400, 2)}, {"Out": "float32"}, {"x_num_col_dims": 1}
            )[0],
            floats(2, 41, 20, 20),
            2,
        ),
        ("few", lambda x: static.nn.conv2d(x, 2, 3, dilation=2), floats(1, 1820, 6, 6), 1),
        ("winograd", lambda x: static.nn.conv2d(x, 1, 3), floats(1, 1900, 4, 4), 1),
        ("depthwise", lambda x: static.nn.conv2d(x, 2, 150, groups=2), floats(1, 2, 150, 150), 1),
    ],
)
def test_float_products_in_parts(
    name: str, build: Callable[[Any], Any], inputs: np.ndarray, parts: int, tmp_path: Path
) -> None:
    case = Case(name, (inputs,), build)
    model, counts = case.model(), OpCount()
    PassManager((LiteSplitProducts(),)).run(model, [counts])
    notes = counts.changes[0].result.notes
    assert [note.endswith(f"in {parts} parts.") for note in notes] == [True] * (parts > 1)
    (found,) = arm_form_outputs(model, [case.feed()], tmp_path / "a.nb")
    assert_close(found, model.run(case.feed()), _ROUNDING_OF_SUMS)


def test_int8_products_in_parts() -> None:
    """8188 products are one op, 8190 are two, each with its part of the weight and all of its scales."""
    for channels, parts in ((909, 1), (910, 2)):
        case = Case(
            "", (floats(1, channels, 3, 3),), lambda x: static.nn.conv2d(x, 2, 3, dilation=2, padding=2)
        )
        graph = on_x86().run(frozen(case.model(), case.feed())).graph
        convolutions = [op for op in graph.ops if op.type == "conv2d"]
        assert [op.input("Filter").shape[1] for op in convolutions] == [channels // parts] * parts


def test_one_row_needs_no_parts() -> None:
    """An fc op of one row is computed by another kernel."""
    case = Case("", (floats(1, 16400),), lambda x: F.linear(x, parameter(16400, 2), parameter(2)))
    model = case.model()
    assert LiteSplitProducts().apply(model.graph.copy()).modified
    set_batch(model, 1)
    assert not LiteSplitProducts().apply(model.graph.copy()).modified
    assert LiteSplitProducts(rows="open").apply(model.graph.copy()).modified


def test_groups_of_too_many_products_are_refused() -> None:
    case = Case("", (floats(1, 2 * 1821, 5, 5),), lambda x: static.nn.conv2d(x, 2, 3, dilation=2, groups=2))
    with pytest.raises(PassError, match=r"16,389 products per output, where 16,384 are right"):
        PassManager.parse("lite-kernels").run(case.model())


# ---------------------------------------------------------------------- one predictor, many sizes


def set_batch(model: Model, batch: int) -> None:
    """Declare a fixed batch."""
    for var in model.graph.vars:
        if var.desc is not None and not var.persistable and var.shape[:1] == (-1,):
            var.desc.set_shape([batch, *var.shape[1:]])


def open_sizes(model: Model) -> Model:
    """Declare the height and width of all maps open, too, but for those of pooling to one size."""
    for var in model.graph.vars:
        pooled = var.producer is not None and var.producer.attr("adaptive", False)
        if var.desc is not None and not var.persistable and len(var.shape) == 4 and not pooled:
            var.desc.set_shape([-1, var.shape[1], -1, -1])
    return model


def head(x: Any) -> Any:
    y = F.relu6(static.nn.conv2d(F.hardswish(static.nn.conv2d(x, 6, 3, padding=1)), 6, 3, 2, 1, groups=6))
    pooled = paddle.flatten(F.adaptive_avg_pool2d(y, 1), 1)
    return F.linear(F.relu(F.linear(pooled, parameter(6, 16), parameter(16))), parameter(16, 1), parameter(1))


def shared(x: Any) -> Any:
    weight = parameter(3, 3, 3, 3)
    return F.conv2d(F.relu(F.conv2d(x, weight, None, 1, 1)), weight, None, 1, 1)


def odd_padding(x: Any) -> Any:
    y = static.nn.conv2d(x, 4, 3, padding=[0, 2, 2, 0])
    return static.nn.conv2d(F.relu(y), 4, (5, 2), padding=(4, 1), stride=(1, 2))


CHANGING = {
    # Of x86's kernels this one is right for the first size only, so that each size gets a predictor.
    "direct": lambda x: static.nn.conv2d(static.nn.conv2d(x, 8, 3, padding=1), 16, 5, 2, 2),
    "head": head,
    "shared": shared,
    "odd_padding": odd_padding,
    "transposed": lambda x: F.relu(F.conv2d_transpose(x, parameter(3, 4, 2, 2), parameter(4), 2)),
    "pool": lambda x: F.adaptive_avg_pool2d(x, 3),
    "mean": lambda x: [paddle.mean(x), paddle.mean(x, [2, 3])],
}
SIZES = [(1, 9, 12), (3, 9, 12), (1, 9, 12), (2, 16, 5), (1, 1, 1), (1, 2, 7), (2, 7, 2)]


@pytest.mark.parametrize("form", ["x86", "arm"])
@pytest.mark.parametrize("quantized", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("name", CHANGING)
def test_sizes_change_between_runs(name: str, quantized: bool, form: str, tmp_path: Path) -> None:
    """Batch and size change from run to run of one predictor, down to maps of one pixel."""
    case = Case(name, (floats(2, 3, 9, 12),), CHANGING[name])
    model = open_sizes(case.model())
    if quantized and any("conv2d" in op.type or "matmul" in op.type for op in model.graph.ops):
        model = frozen(model, case.feed())
    feeds = [{"x0": floats(batch, 3, height, width)} for batch, height, width in SIZES]
    path = tmp_path / "a.nb"
    found = several(model, feeds, path) if form == "x86" else arm_form_outputs(model, feeds, path)
    for outputs, feed in zip(found, feeds, strict=True):
        assert_close(outputs, model.run(feed), _ROUNDING_OF_SUMS)


def several(model: Model, feeds: list[dict[str, np.ndarray]], path: Path) -> list[list[np.ndarray]]:
    """What one predictor on x86 computes from the feeds, one after the other."""
    lowered(model, path)
    with LiteRuntime(path) as runtime:
        return [runtime.run(feed) for feed in feeds]


@pytest.mark.parametrize(
    ("channels", "size", "options", "sizes"),
    [
        (8, 3, {"padding": 1}, "fixed"),
        (24, 3, {"padding": 1, "stride": 2}, "fixed"),
        (8, 5, {"stride": 2}, "fixed"),
        (8, 3, {"padding": "SAME"}, "fixed"),
        (12, 3, {"padding": 1}, "open"),
        (8, 1, {}, "open"),
        (8, 5, {"padding": 2}, "open"),
        (8, 7, {"padding": 3, "stride": 2}, "open"),
        (8, 3, {"padding": [1, 0]}, "open"),
        (8, 3, {"padding": 1, "dilation": 2}, "open"),
        (8, 3, {"padding": 1, "groups": 4}, "open"),
        (8, 3, {"padding": 1, "groups": 8}, "open"),
    ],
)
def test_which_convolutions_of_x86_keep_their_first_size(
    channels: int, size: int, options: dict[str, Any], sizes: str, tmp_path: Path
) -> None:
    """Those said to be open run with several sizes in one predictor."""
    case = Case("", (floats(1, 8, 9, 12),), lambda x: static.nn.conv2d(x, channels, size, **options))
    model = open_sizes(case.model())
    assert relied_on(lowered(model, tmp_path / "a.nb"), "x86").sizes == sizes
    feeds = [{"x0": floats(batch, 8, *shape)} for batch, *shape in ((1, 9, 12), (2, 16, 7), (1, 30, 30))]
    for outputs, feed in zip(several(model, feeds, tmp_path / "a.nb"), feeds, strict=True):
        assert_close(outputs, model.run(feed), _ROUNDING_OF_SUMS)


@pytest.mark.parametrize("columns", [1, 5])
@pytest.mark.parametrize("shape", [(1, 24), (1, 7, 24)])
def test_rows_change_between_runs(shape: tuple[int, ...], columns: int, tmp_path: Path) -> None:
    """A classifier and a sequence, with one column and several: one row, three, and one again."""
    case = Case("", (floats(*shape),), lambda x: F.linear(x, parameter(24, columns), parameter(columns)))
    model = case.model()
    if len(shape) == 3:
        var = model.graph.var("x0")
        assert var.desc is not None
        var.desc.set_shape([-1, -1, 24])
    model = frozen(model, case.feed())
    feeds = [{"x0": floats(batch, *shape[1:])} for batch in (1, 3, 1)]
    for found in (
        arm_form_outputs(model, feeds, tmp_path / "a.nb"),
        several(model, feeds, tmp_path / "b.nb"),
    ):
        for outputs, feed in zip(found, feeds, strict=True):
            assert_close(outputs, model.run(feed), _ROUNDING_OF_SUMS)
