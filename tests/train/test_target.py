"""Quantization-aware training for a target that rounds more than the inputs of quantized ops."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from tiny import write_config, write_slim

from qcc.backends.onnx.form import prepare, unmeasured
from qcc.errors import ConfigError
from qcc.interrupts import StopRequest
from qcc.passes.out_thresholds import thresholds
from qcc.targets.table import find_target
from qcc.train.config import load_config, load_slim
from qcc.train.freeze import checkpoint_model
from qcc.train.loop.checkpoint import CheckpointStore
from qcc.train.programs.scheme import freeze, simulated_outputs
from qcc.train.quantize import quantize
from qcc.train.saving import SCHEME
from qcc.train.tasks.classifier import ClassifierTask

TABLE = find_target("onnxruntime")


def run(folder: Path, images: Path, target: str) -> CheckpointStore:
    slim = write_slim(
        folder / "run",
        1,
        weight_quantize_type="channel_wise_abs_max",
        activation_quantize_type="moving_average_abs_max",
        target=target,
    )
    config = load_config(write_config(folder, images))
    quantize(ClassifierTask(config), config, load_slim(slim), Console(file=io.StringIO()), StopRequest())
    return CheckpointStore(folder / "run")


@pytest.mark.slow
def test_what_it_rounds_is_trained_and_needs_no_calibration(tmp_path: Path, tiny_images: Path) -> None:
    store = run(tmp_path, tiny_images, "onnxruntime")
    scheme = json.loads((store.epoch(0) / SCHEME).read_text())
    assert ",transform-outputs{outputs=[" in scheme["pipeline"]
    frozen = freeze(checkpoint_model(store, 0), "float")
    wanted = set(unmeasured(frozen, TABLE))
    noted = thresholds(frozen.graph)
    assert wanted
    assert wanted <= set(noted)
    # In batches of noise, no two layers have the same largest values.
    assert len({noted[name] for name in wanted}) == len(wanted)
    prepared = prepare(frozen, TABLE, {})
    assert not any("have no scale" in line for line in prepared.lines)


@pytest.mark.parametrize("target", ["openvino", "lite-arm"])
def test_other_targets_round_nothing_besides(tmp_path: Path, tiny_images: Path, target: str) -> None:
    config = load_config(write_config(tmp_path, tiny_images))
    strategy = load_slim(write_slim(tmp_path / "run", 1, target=target)).strategy
    assert simulated_outputs(ClassifierTask(config).network(), strategy) is None


def test_a_target_that_there_is_not(tmp_path: Path, tiny_images: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.yaml.*target.* did you mean 'onnxruntime'\?"):
        run(tmp_path, tiny_images, "onnxrutime")
