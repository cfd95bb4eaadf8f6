"""A detector's configuration for training runs of a second."""

from __future__ import annotations

from pathlib import Path

from detection_data import write_voc

CONFIG = """\
architecture: YOLOv3
metric: VOC
map_type: 11point
num_classes: 2
seed: 5
save_dir: {folder}/output
YOLOv3:
  backbone: MobileNet
MobileNet: {{conv_group_scale: 0.07}}
YOLOv3Head:
  scale: 0.05
  label_smooth: false
  anchors: [[8, 8], [10, 20], [20, 10], [20, 20], [30, 10], [10, 30], [30, 30], [40, 40], [60, 60]]
FloatTraining:
  epochs: 1
  LearningRate: {{base_lr: 0.001}}
LearningRate: {{base_lr: 0.0001}}
YoloTrainFeed:
  batch_size: 4
  dataset: {{dataset_dir: {data}, annotation: trainval.txt}}
  num_max_boxes: 6
  random_shapes: [32, 64]
  mixup_epoch: 1
YoloEvalFeed:
  batch_size: 4
  image_shape: [3, 64, 64]
  dataset: {{dataset_dir: {data}, annotation: test.txt}}
YoloTestFeed:
  image_shape: [3, 64, 64]
  dataset: {{dataset_dir: {data}}}
"""


def write_detector_config(folder: Path, train: int = 14, test: int = 6) -> Path:
    """A configuration in `folder`, and the pictures that it trains on in `folder`/data."""
    data = write_voc(folder / "data", {"trainval": train, "test": test})
    path = folder / "detector.yml"
    path.write_text(CONFIG.format(folder=folder, data=data))
    return path
