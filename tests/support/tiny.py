"""A configuration and slim files for training runs of a second."""

from __future__ import annotations

from pathlib import Path

CONFIG = """\
architecture: MobileNetV1
num_classes: 10
image_shape: [1, 28, 28]
seed: 3
save_dir: {folder}/output
MobileNetV1:
  scale: 0.07
  strides: [2, 2, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
FloatTraining:
  epochs: 1
  LearningRate: {{base_lr: 0.05}}
LearningRate:
  base_lr: 0.01
  schedulers:
  - !PiecewiseDecay {{gamma: 0.1, milestones: [6]}}
OptimizerBuilder:
  regularizer: {{type: L2, factor: 0.0005}}
  clip_grad_by_norm: 1.0
NormalizeImage: {{mean: 0.286, std: 0.353}}
ClassifierTrainFeed:
  batch_size: 16
  dataset: {{dataset_dir: {images}}}
  padding: 2
  flip_probability: 0.5
ClassifierEvalFeed:
  batch_size: 10
  dataset: {{dataset_dir: {images}}}
"""


def write_config(folder: Path, images: Path) -> Path:
    """A configuration that trains on `images` (4 steps per epoch) and writes under `folder`."""
    path = folder / "tiny.yml"
    path.write_text(CONFIG.format(folder=folder, images=images))
    return path


def write_slim(checkpoints: Path, epoch: int, **strategy: object) -> Path:
    """A slim file beside the folder of checkpoints; keyword arguments go into the strategy."""
    path = checkpoints.with_suffix(".yaml")
    lines = [f"    {key}: {value}\n" for key, value in strategy.items()]
    path.write_text(
        "strategies:\n  q:\n    class: QuantizationStrategy\n"
        + "".join(lines)
        + f"compressor:\n  epoch: {epoch}\n  checkpoint_path: {checkpoints}\n  strategies: [q]\n"
    )
    return path


def distilling_slim(checkpoints: Path, teacher: str = "") -> Path:
    """Three epochs, quantized from the second on, with a teacher in the first two."""
    slim = write_slim(checkpoints, 3, start_epoch=1, end_epoch=2)
    distiller = (
        "{class: L2Distiller, student_feature_map: fc_0.tmp_1, teacher_feature_map: fc_0.tmp_1,"
        " distillation_loss_weight: 0.1}"
    )
    strategy = f"{{class: DistillationStrategy, distillers: [l2], end_epoch: 2{teacher}}}"
    text = slim.read_text().replace("strategies:\n", f"strategies:\n  d: {strategy}\n", 1)
    slim.write_text(f"distillers:\n  l2: {distiller}\n" + text.replace("[q]", "[d, q]"))
    return slim
