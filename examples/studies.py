"""What results are made of: a network with its data, and a slim file for each way to quantize it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_RECORDS = Path("docs/records")


@dataclass(frozen=True)
class Study:
    """`slim_files`: folder with a slim file per combination; `outputs`: where those put checkpoints;
    `metric`: what people call the main metric, `key` its name in records; `float_record`: of the run that
    made the float weights; `overrides`: KEY=VALUE, on top of the configuration."""

    name: str
    metric: str
    key: str
    config: Path
    slim_files: Path
    outputs: Path
    float_record: Path
    overrides: tuple[str, ...] = ()

    def combinations(self) -> list[str]:
        return sorted(path.stem for path in self.slim_files.glob("weight_*.yaml"))

    def slim(self, combination: str) -> Path:
        return self.slim_files / f"{combination}.yaml"

    def output(self, combination: str) -> Path:
        """Where a run puts its checkpoints and forms."""
        return self.outputs / combination

    def record(self, combination: str) -> Path:
        return _RECORDS / self.name / f"{combination}.json"

    def records(self) -> dict[str, Any]:
        """The stored records by combination."""
        paths = (self.record(name) for name in self.combinations())
        return {path.stem: json.loads(path.read_text()) for path in paths if path.exists()}


CLASSIFIER = Study(
    "classifier",
    "top-1",
    "top1",
    Path("configs/mobilenet_v1_fashion_mnist.yml"),
    Path("configs/slim"),
    Path("output/mobilenet_v1"),
    Path("configs/weights/mobilenet_v1_x0_25_fashion_mnist.json"),
)
DETECTOR = Study(
    "detector",
    "Box AP",
    "box_ap",
    Path("configs/yolov3_mobilenet_v1_fashion_voc.yml"),
    Path("configs/slim/yolov3_mobilenet_v1_fashion_voc"),
    Path("output/yolov3_mobilenet_v1_fashion_voc"),
    Path("configs/weights/yolov3_mobilenet_v1_x0_25_fashion_voc.json"),
)
FROZEN_NORMS = replace(
    DETECTOR,
    name="detector-norms",
    slim_files=Path("configs/slim/yolov3_mobilenet_v1_fashion_voc_norms"),
    outputs=Path("output/yolov3_mobilenet_v1_fashion_voc_norms"),
    overrides=("freeze_norm_epoch=0",),
)
STUDIES = {study.name: study for study in (DETECTOR, FROZEN_NORMS, CLASSIFIER)}
