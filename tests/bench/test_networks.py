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

from qcc.train.models.mobilenet_v1 import MobileNetV1
from qcc.train.models.mobilenet_v2 import MobileNetV2
from qcc.train.models.resnet import ResNet

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(BENCH)
    yield importlib.import_module("networks")
    sys.modules.pop("networks")


@pytest.mark.parametrize("net", [MobileNetV1(1.0), MobileNetV2(1.0), ResNet(50)], ids=["v1", "v2", "resnet"])
def test_outputs_neither_vanish_nor_grow(networks: ModuleType, net: Any) -> None:
    """Without statistics from data they are 1e-16, 1e-7 and 1e5, and zeros when MobileNetV1 is quantized."""
    model, inputs = networks.classifier(net, side=96)
    (output,) = model.run(inputs)
    assert 0.1 < output.std() < 10
    (quantized,) = networks.frozen(model, inputs).run(inputs)
    assert quantized.std() == pytest.approx(output.std(), rel=0.25)
    assert np.abs(quantized - output).mean() < 0.5 * np.abs(output).mean()
