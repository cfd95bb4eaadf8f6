"""The networks that benchmarks measure: their activations are of a size that says something."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import qcc
from qcc.train.models.mobilenet_v1 import MobileNetV1
from qcc.train.models.mobilenet_v2 import MobileNetV2
from qcc.train.models.resnet import ResNet

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(BENCH)
    yield importlib.import_module("networks")
    sys.modules.pop("networks")


@pytest.mark.parametrize(
    "net",
    [
        pytest.param(MobileNetV1(1.0), id="v1"),
        pytest.param(MobileNetV2(1.0), id="v2", marks=pytest.mark.slow),
        pytest.param(ResNet(50), id="resnet", marks=pytest.mark.slow),
    ],
)
def test_outputs_neither_vanish_nor_grow(networks: ModuleType, net: Any) -> None:
    """Without statistics from data they are 1e-16, 1e-7 and 1e5, and zeros when MobileNetV1 is quantized."""
    model, inputs = networks.classifier(net, side=96)
    (output,) = model.run(inputs)
    assert 0.1 < output.std() < 10
    (quantized,) = networks.frozen(model, inputs).run(inputs)
    assert quantized.std() == pytest.approx(output.std(), rel=0.25)
    assert np.abs(quantized - output).mean() < 0.5 * np.abs(output).mean()


@pytest.mark.slow
def test_onednn_may_be_as_far_off_as_ties_move_a_network(networks: ModuleType, tmp_path: Path) -> None:
    """One integer on the other side of a tie moves this one's scores by an eighth of their range, and the
    last bits of its input move none over a tie."""
    model, _ = networks.classifier(MobileNetV1(1.0))
    draw = np.random.default_rng(1).standard_normal
    photos = [{"image": draw((1, 3, 224, 224), np.float32)} for _ in range(2)]
    quantized = qcc.quantize(model, photos, target="paddle-x86")
    qcc.save(quantized, tmp_path, target="paddle-x86", check=photos[0])
    assert (tmp_path / "model.pdmodel").exists()
