"""The faults of ARM kernels: files that meet one are refused, whoever wrote them, and qcc writes none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_agreement import lowered
from lite_arm import FLOAT, PICTURE, QUANTIZED, REFUSED, arm_model, unguarded
from lite_case import F, build_model, floats, paddle, static
from lite_nets import frozen

from qcc.backends.lite.export import lower
from qcc.backends.lite.file import NaiveBuffer
from qcc.backends.lite.rules.arm import CONDITIONS, largest_sum
from qcc.backends.lite.rules.view import Rows
from qcc.backends.lite.translate import to_naive_buffer
from qcc.backends.lite.verifier import complaints_about, faults_of
from qcc.errors import PassError
from qcc.model import Model
from qcc.passes.registry import known_passes
from qcc.targets.lite import alternatives, kernel_table
from qcc.targets.lite_arm import arm_table

ROOT = Path(__file__).parents[4]
FAULTS = {fault.when: fault for fault in arm_table().faults}
MODELS = [(name, False) for name in FLOAT] + [(name, True) for name in QUANTIZED]


def ids(value: object) -> str:
    return {True: "int8", False: "float"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def test_every_fault_has_a_condition_and_a_case() -> None:
    assert set(FAULTS) == set(CONDITIONS) == {*FLOAT, *QUANTIZED}
    assert len(FAULTS) == len(arm_table().faults)
    for fault in FAULTS.values():
        assert set(fault.ops) <= set(kernel_table())
        assert fault.case == f"tests/qcc/backends/lite/test_arm_rules.py::test_fault[{fault.when}]"


def test_what_a_fault_says_is_written_instead_is_a_pass() -> None:
    for fault in FAULTS.values():
        named = re.findall(r"\(pass ([a-z0-9-]+)\)", fault.instead)
        assert set(named) <= set(known_passes())
        assert named or fault.instead.startswith(("refused", "a warning"))


def test_proofs() -> None:
    """What was run on the kernels: all right, but for what a fault of the table explains."""
    proofs = arm_table().proven
    assert len({proof.form for proof in proofs}) == len(proofs) == 40
    assert all(proof.off_by_one <= 2 for proof in proofs)
    for proof in proofs:
        assert bool(proof.wrong) == bool(proof.fault)
        assert not proof.fault or proof.fault in FAULTS


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was written, the file meets the fault; as it is written now, it does not, or is refused."""
    for name, quantized in MODELS:
        if name != fault:
            continue
        model, _ = arm_model(fault, quantized=quantized)
        before = unguarded(model, tmp_path / "before.nb", monkeypatch)
        verdict = FAULTS[fault].verdict
        said = faults_of(before, "declared", "arm", verdict)
        assert FAULTS[fault].what in " / ".join(said)
        if verdict == "warned":
            assert complaints_about(before) == []
            continue
        assert FAULTS[fault].what in " / ".join(complaints_about(before))
        if fault in REFUSED:
            with pytest.raises(PassError, match=re.escape(FAULTS[fault].what)):
                lower(model, "arm")
        else:
            assert complaints_about(lowered(model, tmp_path / "after.nb", arch="arm")) == []


@pytest.mark.parametrize(("name", "quantized"), MODELS, ids=ids)
def test_nothing_else_is_wrong_with_the_models(
    name: str, quantized: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each meets its own fault, so that no test passes by another one."""
    model, _ = arm_model(name, quantized=quantized)
    before = unguarded(model, tmp_path / "before.nb", monkeypatch)
    said = [*faults_of(before, "declared", "arm", "refused"), *faults_of(before, "declared", "arm", "warned")]
    assert all(FAULTS[name].what in sentence for sentence in said)


@pytest.mark.parametrize("rows", ["fixed", "open"])
def test_rows_decide_about_fc(rows: Rows) -> None:
    model, _ = arm_model("fc-rows", quantized=True)
    buffer = lower_with(model, rows)
    assert ("fc" in [op.type for op in buffer.ops]) == (rows == "fixed")
    assert complaints_about(buffer, rows) == []
    assert bool(complaints_about(buffer, "open")) == (rows == "fixed")


def lower_with(model: Model, rows: Rows) -> NaiveBuffer:
    return to_naive_buffer(lower(model, "arm", rows=rows).graph)


def test_a_fixed_batch_is_fixed() -> None:
    model, _ = arm_model("fc-rows", quantized=True)
    for var in model.graph.vars:
        if var.desc is not None and var.shape[:1] == (-1,):
            var.desc.set_shape([3, *var.shape[1:]])
    assert "fc" in [op.type for op in lower_with(model, "declared").ops]
    assert "fc" not in [op.type for op in lower_with(model, "open").ops]


@pytest.mark.parametrize(
    ("weight", "is_positive", "largest"),
    [
        (np.array([[1, -2], [3, 0]]), False, 3 * 127),
        (np.array([[1, -2], [3, 0]]), True, 3 * 127),
        (np.array([[2, -2], [3, 0]]), False, 4 * 127),
        (np.array([[2, -2], [1, 0]]), True, 2 * 127),
        (np.array([[-128, -127]]), False, 255 * 127),
        (np.zeros((2, 2)), False, 0),
    ],
)
def test_largest_sum(weight: np.ndarray, is_positive: bool, largest: int) -> None:
    """Against all inputs of two values at their limits."""
    filters = weight.astype(np.int8).reshape(len(weight), -1, 1, 1)
    assert largest_sum(filters, is_positive) == largest
    values = (0, 127) if is_positive else (-127, 127)
    reached = max(abs(int(row @ np.array([a, b]))) for row in weight for a in values for b in values)
    assert largest == reached


@pytest.mark.parametrize(
    ("build", "is_known"),
    [
        (lambda x: F.relu(x) * 10, True),
        (lambda x: F.relu(x) * -10, False),
        (lambda x: F.relu(x) - 1.0, False),
        (lambda x: x * 10, False),
        (lambda x: paddle.round(paddle.clip(x, 0.0, 1.0) * 255.0 + 0.5), True),
        (lambda x: paddle.clip(x, -1.0, 1.0), False),
        (lambda x: paddle.transpose(F.max_pool2d(F.sigmoid(x), 2), [0, 2, 3, 1]), True),
        (lambda x: F.relu(static.nn.conv2d(x, 4, 3)), True),
        (lambda x: static.nn.conv2d(F.relu(x), 4, 3), False),
        (lambda x: F.relu(x + x), True),
        (lambda x: paddle.cast(x > 0, "float32"), True),
        (lambda x: paddle.concat([F.relu(x), x], 1), False),
    ],
)
def test_what_is_never_negative(build: Callable[[Any], Any], is_known: bool, tmp_path: Path) -> None:
    """By a cast to uint8, which is refused where there may be negative numbers, in a graph as in a file."""
    model = build_model(lambda x: paddle.cast(build(x), "uint8"), PICTURE)
    if is_known:
        lowered(model, tmp_path / "a.nb", arch="arm")
    else:
        with pytest.raises(PassError, match="clip at 0 before the cast"):
            lower(model, "arm")


def test_sums_that_fit_are_not_warned_of() -> None:
    """24 channels at the largest are right, 32 are not."""
    for channels, warned in ((24, False), (32, True)):
        bound = largest_sum(np.full((1, channels, 3, 3), 127, np.int8), False)
        assert (bound > arm_table().limit("winograd-sums")) == warned


@pytest.mark.parametrize(("side", "warned"), [(7, False), (11, False), (12, True)])
def test_small_maps_are_summed_otherwise(side: int, warned: bool) -> None:
    """Below 128 pixels, whatever the batch, the kernel for sums of large numbers runs."""
    inputs = (floats(1, 64, side, side),)
    model = build_model(lambda x: static.nn.conv2d(x, 4, 3, padding=1), inputs)
    name = next(name for name in model.weights if name.endswith("w_0"))
    model.weights[name] = np.full_like(model.weights[name], 0.5)
    buffer = lower_with(frozen(model, {"x0": inputs[0]}), "declared")
    assert bool(faults_of(buffer, "declared", "arm", "warned")) == warned


def test_nobody_is_sent_to_a_kernel_that_is_never_right() -> None:
    assert "arm" not in alternatives("sign", "x86")
    assert "arm" not in alternatives("depthwise_conv2d_transpose", "x86")
    assert alternatives("sum", "x86") == "there is one on arm"


def test_limits_are_exact() -> None:
    """8188 products per output are right, one more is not; so with 16384 of floats."""
    limits = {"int8-products": 8188, "float-products": 16384}
    assert {name: arm_table().limit(name) for name in limits} == limits
