"""Teach a detector's backbone to tell the classes apart before the detector is trained.

Usage: python examples/backbone.py CONFIG --save FILE.npz [--data FOLDER] [--epochs N]

A detector that starts from random weights spends most of its training on learning to see. What ImageNet is
to the detectors of the literature, the boxes of the training set are here: each is cut out with some of its
surroundings, and the backbone is trained to name what is in it. CONFIG is the detector's configuration;
`FloatTraining.backbone_weights` in it may name the file that this writes. FOLDER is another data set with the
same lists, for instance one whose classes are finer.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from qcc.calibrate.image_file import read_image
from qcc.files import write_json
from qcc.train.config import DetectorConfig, load_config
from qcc.train.config.schema import FloatTraining
from qcc.train.data.augment import network_input
from qcc.train.data.detection_set import DetectionSet
from qcc.train.data.loader import load_batches, split_batches
from qcc.train.data.randomness import epoch_order, sample_generator
from qcc.train.data.voc import read_class_names
from qcc.train.evaluation.report import run_record
from qcc.train.float_training import train_float
from qcc.train.loop.interrupt import StopRequest
from qcc.train.metrics.top_accuracy import TopAccuracy
from qcc.train.models.classifier import IMAGE, LABEL, build_classifier
from qcc.train.models.mobilenet_v1 import MobileNetV1
from qcc.train.models.network import Network
from qcc.train.programs.weights import save_arrays
from qcc.train.tasks.detector import DetectorTask
from qcc.train.tasks.task import Feeds, Run

SIDE = 64  # of what the backbone sees, pixels
CUT_SIDE = 80  # of a cut, which leaves room to shift
MARGIN = 1.4  # side of the square around a box that SIDE pixels show, in sides of the box
BATCH = 64


class CutTask:
    """A `Task` on the boxes of a detection set."""

    main_metric = "top1"
    batch_size = BATCH

    def __init__(self, config: DetectorConfig) -> None:
        self._config = config
        detector = DetectorTask(config)
        self._train_set, self._test_set = detector.train_set, detector.test_set

    @property
    def steps_per_epoch(self) -> int:
        return len(self._train[1]) // BATCH

    def notes(self) -> list[str]:
        return []

    def left_out(self) -> list[str]:
        return []

    def network(self) -> Network:
        net = MobileNetV1(
            self._config.mobilenet.conv_group_scale, norm_decay=self._config.mobilenet.norm_decay
        )
        return build_classifier(
            lambda image: net.logits(image, len(self._train_set.class_names)), (3, SIDE, SIDE)
        )

    def train_batches(self, epoch: int, first: int) -> Iterator[Feeds]:
        cuts, labels = self._train
        seed = self._config.seed

        def sample(index: int) -> tuple[NDArray[Any], ...]:
            random = sample_generator(seed, epoch, index)
            top, left = random.integers(0, CUT_SIDE - SIDE + 1, 2)
            cut = cuts[index][top : top + SIDE, left : left + SIDE]
            if random.random() < 0.5:
                cut = cut[:, ::-1]
            return _input(cut), labels[index : index + 1]

        batches = split_batches(epoch_order(seed, epoch, len(labels)).tolist(), BATCH, drop_last=True)
        for images, wanted in load_batches(sample, batches[first:], 0):
            yield {IMAGE: images, LABEL: wanted}

    def train_scores(self, feeds: Feeds, outputs: Sequence[NDArray[Any]]) -> Mapping[str, float]:
        return {"accuracy": float((outputs[0].argmax(axis=1) == feeds[LABEL][:, 0]).mean())}

    def example(self) -> Feeds:
        return {IMAGE: _input(self._test[0][0])[None]}

    def evaluate(self, run: Run) -> dict[str, float]:
        cuts, labels = self._test
        border = (CUT_SIDE - SIDE) // 2
        accuracy = TopAccuracy()
        for batch in split_batches(range(len(labels)), BATCH, drop_last=False):
            images = [_input(cuts[index][border : border + SIDE, border : border + SIDE]) for index in batch]
            accuracy.update(run({IMAGE: np.stack(images)})[0], labels[batch])
        return accuracy.result()

    @cached_property
    def _train(self) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
        return _cuts(self._train_set)

    @cached_property
    def _test(self) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
        return _cuts(self._test_set)


def _input(cut: NDArray[np.uint8]) -> NDArray[np.float32]:
    return network_input(cut, (SIDE, SIDE), cv2.INTER_LINEAR)


def _cuts(data: DetectionSet) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
    """A square around every box that is not difficult, uint8 [CUT_SIDE, CUT_SIDE, 3], and its class."""
    cuts, labels = [], []
    for item in data.images:
        image = read_image(item.path)
        for box, label, difficult in zip(item.boxes, item.labels, item.difficult, strict=True):
            if difficult:
                continue
            side = max(box[2:] - box[:2]) * MARGIN * CUT_SIDE / SIDE
            centre = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
            scale = CUT_SIDE / side
            move = np.array(
                [
                    [scale, 0, CUT_SIDE / 2 - centre[0] * scale],
                    [0, scale, CUT_SIDE / 2 - centre[1] * scale],
                ]
            )
            cuts.append(
                cv2.warpAffine(
                    image, move, (CUT_SIDE, CUT_SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
                )
            )
            labels.append(label)
    return cuts, np.array(labels, np.int64)


def _other_data(folder: Path) -> list[str]:
    """Overrides that make the configuration read another data set, with as many classes as that has."""
    classes = len(read_class_names(folder, use_default_label=False))
    return [
        f"num_classes={classes}",
        f"YoloTrainFeed.dataset.dataset_dir={folder}",
        f"YoloEvalFeed.dataset.dataset_dir={folder}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--save", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a data set to take instead of the configuration's")
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    overrides = [] if arguments.data is None else _other_data(arguments.data)
    config = load_config(arguments.config, overrides)
    assert isinstance(config, DetectorConfig)
    task = CutTask(config)
    steps = task.steps_per_epoch
    milestones = [int(steps * arguments.epochs * share) for share in (0.7, 0.9)]
    training = FloatTraining.model_validate(
        {
            "epochs": arguments.epochs,
            "LearningRate": {
                "base_lr": 0.05,
                "schedulers": [{"type": "PiecewiseDecay", "milestones": milestones}],
            },
        }
    )
    stop = StopRequest()
    with stop.listening():
        weights, records = train_float(
            task,
            training,
            config.optimizer,
            config.seed,
            config.save_dir / "backbone",
            Console(soft_wrap=True),
            stop,
        )
    save_arrays(arguments.save, {name: array for name, array in weights.items() if name.startswith("conv")})
    settings = config.model_dump(mode="json", by_alias=True)
    write_json(arguments.save.with_suffix(".json"), run_record(settings, {"epochs": records}))


if __name__ == "__main__":
    main()
