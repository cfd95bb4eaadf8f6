"""The three networks of PP-OCR on photos: oneDNN's int8 kernels lose little on what was frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ocr_photos import NETWORKS

import qcc
from qcc.backends.onnx.export import export
from qcc.backends.predictor import Engine, Predictor
from qcc.calibrate.activations import calibrated
from qcc.model import Runner
from qcc.targets.processor import has_vnni
from qcc.targets.table import find_target

CALIBRATION, TEST = 16, 64
LOST = 0.03
"""How much worse than the frozen model, against the float one, the engine may be."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_int8_kernels_lose_little(name: str, pp_ocr_models: dict[str, Path], tmp_path: Path) -> None:
    make, agreement = NETWORKS[name]
    model = qcc.load(pp_ocr_models[name])
    (feed,) = model.feeds
    scheme = "transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max}"
    transformed = qcc.PassManager.parse(scheme).run(model)
    batches = [{feed: make(number)} for number in range(CALIBRATION)]
    frozen = qcc.PassManager.parse("freeze,prune").run(calibrated(transformed, batches))
    qcc.save(frozen, tmp_path, target="paddle-x86", check=False)
    engine = Predictor.open(tmp_path, Engine(onednn=True, int8=True))
    runs = {"float": Runner(model), "frozen": Runner(frozen), "engine": engine}
    scores: dict[str, list[float]] = {"frozen": [], "engine": []}
    for number in range(1000, 1000 + TEST):
        outputs = {what: run.run({feed: make(number)})[0] for what, run in runs.items()}
        for what, found in scores.items():
            found.append(agreement(outputs[what], outputs["float"]))
    frozen_score, engine_score = (float(np.mean(found)) for found in scores.values())
    print(f"{name}: frozen {frozen_score:.4f}, engine {engine_score:.4f}")
    assert engine_score > frozen_score - LOST


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["paddle-x86", "onnxruntime", "openvino"])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_quantized_by_default_passes_the_checks(
    name: str, engine: str, pp_ocr_models: dict[str, Path], tmp_path: Path
) -> None:
    make, _ = NETWORKS[name]
    model = qcc.load(pp_ocr_models[name])
    (feed,) = model.feeds
    photos = [{feed: make(number)} for number in range(CALIBRATION)]
    target = f"{engine}+vnni" if has_vnni() else engine
    frozen = qcc.quantize(model, photos, target=target)
    on: tuple[bool | dict[str, np.ndarray], ...] = (photos[0], True)
    for number, check in enumerate(on):
        if engine != "onnxruntime":
            saved = qcc.save(frozen, tmp_path / f"paddle{number}", target=target, check=check)
            assert all(file.exists() for file in saved.files)
        if engine != "paddle-x86":
            saved = export(frozen, tmp_path / f"model{number}.onnx", find_target(target), check=check)
            assert all(file.exists() for file in saved.files)
