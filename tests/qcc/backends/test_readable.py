"""What `qcc check` says of models that a target's engine, or what translates them for it, does not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_nets import frozen_engine_net
from lite_case import F, build_model, floats, static
from lite_commands import outcome, refusal

import qcc
from qcc._paddle import paddle
from qcc.backends import readable


def rectified(x: Any) -> Any:
    """With an op that OpenVINO does not know of Paddle's models, and ONNX has."""
    return static.nn.conv2d(paddle.erf(static.nn.conv2d(x, 4, 3)), 4, 1)


def with_priors(x: Any) -> Any:
    """With an op that paddle2onnx does not translate."""
    y = F.relu(static.nn.conv2d(x, 4, 3, padding=1))
    return [static.nn.conv2d(y, 4, 1), paddle.vision.ops.prior_box(y, x, [4.0])[0]]


def saved(build: Any, folder: Path) -> Path:
    qcc.save(build_model(build, (floats(1, 3, 8, 8),)), folder, check=False)
    return folder


def test_an_op_that_openvino_does_not_read_is_told_before_training(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    model = saved(rectified, tmp_path / "model")
    said = refusal("check", model, "--target", "openvino")
    assert "No creator found for erf node" in said
    assert "`qcc export OUT/float --target openvino -o OUT.onnx`." in said


def test_an_op_that_is_not_translated_is_told_before_training(tmp_path: Path) -> None:
    pytest.importorskip("paddle2onnx")
    assert "prior_box" in refusal("check", saved(with_priors, tmp_path / "priors"), "--target", "onnxruntime")
    model = saved(rectified, tmp_path / "rectified")
    assert "runs in int8: 2 conv2d." in outcome("check", model, "--target", "onnxruntime")
    # Nothing of that concerns the engine that reads Paddle's files as they are.
    assert "runs in int8: 2 conv2d." in outcome("check", model, "--target", "paddle-x86")


def test_where_it_cannot_be_seen_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readable, "openvino_missing", lambda: "OpenVINO is not installed: `pip`.")
    lines = outcome("check", saved(rectified, tmp_path), "--target", "openvino").splitlines()
    assert lines[-1] == "not seen whether all ops are read, because OpenVINO is not installed: `pip`."


def test_a_model_in_qdq_form_is_looked_at_as_it_would_be_written(tmp_path: Path) -> None:
    """`qcc freeze --target` takes it, whoever made it, and so does `qcc check`."""
    qcc.save(frozen_engine_net("transposed")[0], tmp_path / "qdq", form="qdq", check=False)
    lines = outcome("check", tmp_path / "qdq", "--target", "paddle-x86").splitlines()
    assert lines[0] == "Paddle Inference with oneDNN on x86 runs in int8: 1 conv2d."
