"""Random networks: what is written for an engine is right there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from onnx_files import exported, frozen, needs_openvino
from random_layers import HANDING, Net, nets
from random_runs import examples

import qcc
from qcc.passes.frozen import frozen_ops

# Without those that an engine does not read.
KINDS = (
    *("bn", "relu", "relu6", "leaky", "hard_swish", "sigmoid", "avg_pool", "scale", "squeeze"),
    *("halve", "double", "add", "multiply", "joined", "tokens", "identity", "halves", "widened"),
    *("reshaped_bias", "added_relu", "swish", "softmax", "subtract", "maximum"),
    *HANDING,
)
NETS = nets(KINDS)
# In an ONNX file these are other ops, that every engine computes rightly.
ONNX_NETS = nets((*KINDS, "channel_shuffle", "gelu", "softplus"))


def check(net: Net, target: str, folder: Path, *, as_onnx: bool, batch: int) -> None:
    """The engine, with its int8 kernels, agrees with the file's own numbers."""
    inputs = {"x0": net.image(1)}
    model = frozen(net.model(batch), inputs)
    # What was quantized may have led to no output.
    assume(any(True for _ in frozen_ops(model.graph)))
    if as_onnx:
        exported(model, inputs, target, folder)
    else:
        qcc.save(model, folder, target=target, check=inputs)


@examples(12)
@given(net=NETS)
def test_paddle(net: Net, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(net, "paddle-x86", tmp_path_factory.mktemp("net"), as_onnx=False, batch=-1)


@pytest.mark.slow
@examples(100)
@given(net=NETS)
def test_many_in_paddle(net: Net, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(net, "paddle-x86", tmp_path_factory.mktemp("net"), as_onnx=False, batch=1)


@pytest.mark.slow
@examples(40)
@given(net=ONNX_NETS)
def test_onnxruntime(net: Net, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(net, "onnxruntime", tmp_path_factory.mktemp("net"), as_onnx=True, batch=-1)


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize("batch", [-1, 1])
@examples(30)
@given(net=NETS)
def test_openvino(net: Net, batch: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    for as_onnx in (True, False):
        check(net, "openvino", tmp_path_factory.mktemp("net"), as_onnx=as_onnx, batch=batch)
