"""From a configuration to its task."""

from __future__ import annotations

from pathlib import Path

from qcc.errors import ConfigError
from qcc.train.config import ClassifierConfig, DetectorConfig
from qcc.train.parallel.device import choose_device
from qcc.train.parallel.group import Alone, Group
from qcc.train.tasks.classifier import ClassifierTask
from qcc.train.tasks.detector import DetectorTask
from qcc.train.tasks.task import Task


def build_task(
    config: ClassifierConfig | DetectorConfig,
    dataset_dir: Path | None = None,
    skip_bad: bool = False,
    output_eval: Path | None = None,
    group: Group | None = None,
) -> Task:
    """The task that `config` describes; `dataset_dir` takes precedence over the configuration's folders.

    `skip_bad`: leave out bad images, and tell so in the task's notes, instead of raising DataError.
    `output_eval`: a folder that takes the detections of the last evaluation. `group`: see `Task`; None: this
    process is alone, on the device that the configuration asks for.
    """
    group = group or Alone(choose_device(config.use_gpu))
    if isinstance(config, DetectorConfig):
        return DetectorTask(config, dataset_dir, skip_bad, output_eval, group)
    if skip_bad:
        raise ConfigError("--skip-bad is for data sets with a file per image, which a classifier's is not.")
    if output_eval is not None:
        raise ConfigError("--output_eval takes detections, and a classifier makes none.")
    return ClassifierTask(config, dataset_dir, group)
