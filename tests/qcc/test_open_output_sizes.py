"""A transposed convolution whose output is as large as another map, whose size is open: from the network to
the engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_files import exported

import qcc
from qcc.backends.lite.export import export as export_lite
from qcc.errors import PassError
from qcc.ir.text import parse_graph
from qcc.model import Model

TEXT = """
graph {for_test=true}
feeds [x]
fetches [y]

weight w1: float32[8, 3, 3, 3] = uniform(seed=1, low=-0.5, high=0.5)
weight w2: float32[8, 8, 3, 3] = uniform(seed=2, low=-0.5, high=0.5)
weight w3: float32[4, 8, 3, 3] = uniform(seed=3, low=-0.5, high=0.5)
weight gamma: float32[8] = uniform(seed=4, low=0.5, high=1.0)
weight beta: float32[8] = uniform(seed=5, low=-0.5, high=0.5)
weight mean: float32[8] = uniform(seed=6, low=-0.5, high=0.5)
weight variance: float32[8] = uniform(seed=7, low=0.5, high=1.0)
var x: float32[-1, 3, -1, -1] {need_check_feed=true}
var size: int32[4]
var height: int32[]
var width: int32[]
var a: float32[-1, 8, -1, -1]
var b: float32[-1, 8, -1, -1]
var c: float32[-1, 8, -1, -1]
var saved_mean: float32[8]
var saved_variance: float32[8]
var y: float32[-1, 4, -1, -1]

size = shape(Input=x)
height = slice(Input=size) {axes=[0], decrease_axis=[0], ends=[3], starts=[2]}
width = slice(Input=size) {axes=[0], decrease_axis=[0], ends=[4], starts=[3]}
a = conv2d(Filter=w1, Input=x) {paddings=[1, 1], strides=[2, 2]}
b = conv2d_transpose(Filter=w2, Input=a) {output_size=vars(height, width), paddings=[1, 1], strides=[2, 2]}
(MeanOut=mean#1, SavedMean=saved_mean, SavedVariance=saved_variance, VarianceOut=variance#1, Y=c) = \
batch_norm(Bias=beta, Mean=mean, Scale=gamma, Variance=variance, X=b) {is_test=true}
y = conv2d(Filter=w3, Input=c) {paddings=[1, 1]}
"""


def _inputs(size: int) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(size).normal(size=(1, 3, size, size)).astype(np.float32)}


@pytest.fixture(scope="module")
def quantized() -> Model:
    return qcc.quantize(Model(parse_graph(TEXT)), [_inputs(32)])


def test_its_batch_norm_stays_behind_it(quantized: Model) -> None:
    """With a bias in its place, Paddle Inference ends the process."""
    assert [op.type for op in quantized.graph.var("b").consumers] == ["batch_norm"]


@pytest.mark.parametrize("size", [32, 33])
def test_the_quantized_network_takes_any_size(quantized: Model, size: int) -> None:
    (output,) = quantized.run(_inputs(size))
    assert output.shape == (1, 4, size, size)


def test_paddles_engine_computes_it(quantized: Model, tmp_path: Path) -> None:
    """With what comes before it and behind it in int8: saving checks that in the engine."""
    qcc.save(quantized, tmp_path / "x86", target="paddle-x86")


def test_a_file_holds_it(quantized: Model, tmp_path: Path) -> None:
    qcc.save(quantized, tmp_path / "saved")
    loaded = qcc.load(tmp_path / "saved")
    inputs = _inputs(33)
    np.testing.assert_array_equal(loaded.run(inputs)[0], quantized.run(inputs)[0])


def test_openvino_is_not_handed_it(quantized: Model, tmp_path: Path) -> None:
    with pytest.raises(PassError, match=r"'output_size' of Op\(conv2d_transpose -> b\) .* fixed sizes"):
        qcc.save(quantized, tmp_path / "openvino", target="openvino")


def test_onnx_is_not_handed_it(quantized: Model, tmp_path: Path) -> None:
    with pytest.raises(PassError, match=r"'output_size' of Op\(conv2d_transpose -> b\) .* fixed sizes"):
        exported(quantized, _inputs(32), "onnxruntime", tmp_path)


@pytest.mark.parametrize("arch", ["x86", "arm"])
def test_paddle_lite_is_not_handed_it(quantized: Model, tmp_path: Path, arch: str) -> None:
    with pytest.raises(PassError, match=r"'output_size' of Op\(conv2d_transpose -> c\) .* fixed sizes"):
        export_lite(quantized, tmp_path / "model.nb", arch=arch)
