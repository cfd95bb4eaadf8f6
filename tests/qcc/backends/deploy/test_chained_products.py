"""Products of matrices in a row, of which OpenVINO makes one kernel on processors with AVX-512."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, paddle, static
from onnx_files import exported, frozen, needs_openvino, without

import qcc
from qcc.backends.deploy.form import for_target
from qcc.errors import OutputError
from qcc.model import Model
from qcc.passes import PassManager
from qcc.targets.processor import cpu_flags
from qcc.targets.table import find_target

TARGET = find_target("openvino")


def fc(x: Any, width: int, bias: bool = False) -> Any:
    return static.nn.fc(x, width, num_flatten_dims=len(x.shape) - 1, bias_attr=None if bias else False)


def turned(x: Any) -> Any:
    """Its second weight is stored the other way round."""
    return paddle.matmul(
        F.relu(fc(flat(x), 24)), static.create_parameter([10, 24], "float32"), transpose_y=True
    )


def squeeze_and_excite(x: Any) -> Any:
    y = F.relu(static.nn.conv2d(x, 16, 3, padding=1))
    squeezed = paddle.flatten(F.adaptive_avg_pool2d(y, 1), 1)
    factors = F.sigmoid(fc(F.relu(fc(squeezed, 4)), 16))
    return static.nn.conv2d(y * paddle.reshape(factors, [-1, 16, 1, 1]), 4, 1)


def flat(x: Any) -> Any:
    return paddle.flatten(x, 1)


# What is built, and how many products become convolutions.
CHAINED: dict[str, tuple[Callable[[Any], Any], int]] = {
    "squeeze and excite": (squeeze_and_excite, 1),
    "three": (lambda x: fc(fc(fc(flat(x), 120), 84), 10), 2),
    "rectified": (lambda x: fc(F.relu(fc(F.relu(fc(flat(x), 120)), 84)), 10), 2),
    "one with a bias": (lambda x: fc(fc(fc(flat(x), 120, True), 84), 10, True), 1),
    "turned": (turned, 1),
}
KEPT: dict[str, Callable[[Any], Any]] = {
    "biases": lambda x: fc(fc(fc(flat(x), 120, True), 84, True), 10),
    "many columns": lambda x: fc(F.relu(fc(flat(x), 257)), 10),
    "one alone": lambda x: fc(flat(x), 10),
    "tokens": lambda x: fc(F.relu(fc(paddle.reshape(x, [-1, 4, 100]), 32)), 8),
    "another shape between": lambda x: fc(paddle.reshape(fc(flat(x), 32), [-1, 16]), 10),
}


def net(build: Callable[[Any], Any]) -> tuple[Model, dict[str, np.ndarray]]:
    x = floats(1, 4, 10, 10)
    # With an open batch that kernel is right.
    return frozen(build_model(build, (x,), batch=1), {"x0": x}), {"x0": x}


def convolutions(model: Model) -> int:
    return sum(op.output("Output").name.endswith(".sums") for op in model.graph.ops if op.type == "conv2d")


@pytest.mark.parametrize("name", CHAINED)
def test_it_computes_what_it_did(name: str) -> None:
    build, count = CHAINED[name]
    model, inputs = net(build)
    before = PassManager.parse("qdq,prune").run(model)
    before = PassManager.parse("mul-to-matmul").run(before)
    after = PassManager.parse("chained-products").run(before)
    assert convolutions(after) == count
    for found, wanted in zip(after.run(inputs), before.run(inputs), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str) -> None:
    model, _ = net(KEPT[name])
    assert convolutions(for_target(model, TARGET)[0]) == 0


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize("name", CHAINED)
def test_right_in_the_engine(name: str, tmp_path: Path) -> None:
    """Of both files that it reads."""
    model, inputs = net(CHAINED[name][0])
    assert not qcc.save(model, tmp_path / "qdq", target="openvino", check=inputs).warnings
    exported(model, inputs, "openvino", tmp_path)


@pytest.mark.slow
@needs_openvino
@pytest.mark.skipif("avx512_vnni" not in cpu_flags(), reason="this processor has no AVX512-VNNI")
@pytest.mark.parametrize("name", ["three", "one with a bias"])
def test_without_the_pass(name: str, tmp_path: Path) -> None:
    model, inputs = net(CHAINED[name][0])
    with pytest.raises(OutputError, match=r"the engine, OpenVINO, beside that: .*, which is wrong"):
        exported(model, inputs, without("openvino", "chained-products"), tmp_path)
