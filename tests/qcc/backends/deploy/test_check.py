"""What a target will do with a model, told beforehand."""

from __future__ import annotations

import pytest
from lite_case import F, build_model, floats

import qcc
from qcc._paddle import paddle
from qcc.backends.deploy.check import check
from qcc.errors import TargetError
from qcc.targets.table import find_target


def test_of_a_model_with_nothing_to_quantize_it_is_said_what_quantize_says() -> None:
    model = build_model(F.relu, (floats(2, 3),))

    with pytest.raises(TargetError, match=r"paddle-x86: the model has nothing to quantize: .* no op"):
        check(model, find_target("paddle-x86"))


@pytest.mark.parametrize("target", ["onnxruntime", "paddle-x86", "tensorrt"])
def test_a_weight_that_ops_compute_is_seen_as_one_as_when_it_is_quantized(target: str) -> None:
    """The program of Conv1D reshapes its weight and calls conv2d."""
    model = build_model(lambda x: paddle.nn.Conv1D(4, 6, 3)(x), (floats(2, 4, 9),))
    told = list(check(model, find_target(target)).lines())
    assert any(line.endswith("runs in int8: 1 conv2d.") for line in told), told


def test_of_a_float_model_no_scale_is_missing() -> None:
    """Its activations are all unmeasured, and what quantizes it for the target measures each of them."""
    model = build_model(lambda x: F.sigmoid(paddle.nn.Conv2D(4, 6, 3)(x)), (floats(2, 4, 9, 9),))
    target = find_target("onnxruntime")
    told = list(check(model, target).lines())
    assert told[1:] == ["ONNX Runtime on x86 runs in int8: 1 conv2d."]
    # Of a quantized one that is said: `--calibrate` measures what stands between its ops.
    notes = check(qcc.PassManager.parse("transform").run(model), target).notes
    assert any("1 of 1 places where this engine wants integers have no scale" in note for note in notes), (
        notes
    )
