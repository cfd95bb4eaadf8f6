"""The networks that are quantized without training, their data, and how good they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ocr_photos
from compose import compose

import qcc
from qcc.calibrate.data.batches import Batch
from qcc.model import Model
from qcc.train.config import load_config
from qcc.train.data.cache import dataset
from qcc.train.data.fashion_mnist import read_fashion_mnist
from qcc.train.programs.weights import float_model, load_weights
from qcc.train.tasks.build import build_task
from qcc.train.tasks.task import Feeds, Run, Task

ROOT = Path(__file__).resolve().parent.parent
CALIBRATION = 32
IMAGES, PICTURES = 10_000, 1000
"""Of the test sets of the trained networks."""
_FIRST_TEST_PHOTO = 1000
_TOGETHER = 4


@dataclass(frozen=True)
class Scores:
    """`score`: of a model, higher is better; `each`: of each image, where the score is their mean."""

    score: float
    each: tuple[float, ...] = ()


class TextNetwork:
    """One of PP-OCR, as published, on pieces of a real photo with words written on them."""

    against_float = True

    def __init__(self, name: str, folder: str, title: str, score: str, tests: int) -> None:
        self.title, self.score_name, self._folder = title, score, folder
        self._make, self._agreement = ocr_photos.NETWORKS[name]
        self._tests = range(_FIRST_TEST_PHOTO, _FIRST_TEST_PHOTO + tests)
        self.about = f"compared on {tests} photos"

    @property
    def folder(self) -> Path:
        return dataset("pp-ocr") / self._folder

    def model(self) -> Model:
        return qcc.load(self.folder)

    def batches(self) -> list[Batch]:
        (feed,) = self.model().feeds
        return [{feed: self._make(number)} for number in range(CALIBRATION)]

    def scores(self, run: Run, run_float: Run) -> Scores:
        """How often, image by image, a model does what the float one does."""
        (feed,) = self.model().feeds
        each: list[float] = []
        for first in self._tests[::_TOGETHER]:
            photos = [self._make(number) for number in self._tests if 0 <= number - first < _TOGETHER]
            batch = {feed: np.concatenate(photos)}
            for found, wanted in zip(run(batch)[0], run_float(batch)[0], strict=True):
                each.append(self._agreement(found, wanted))
        return Scores(float(np.mean(each)), tuple(each))


class TrainedNetwork:
    """A network with a configuration and weights in the repository, and its metric on its test set.

    `prepare` makes the data set where that has to be made, and returns its folder.
    """

    against_float = False

    def __init__(
        self,
        config: str,
        title: str,
        score: str,
        about: str,
        prepare: Callable[[], Path | None] = lambda: None,
        overrides: Sequence[str] = (),
    ) -> None:
        self.title, self.score_name, self.about = title, score, about
        self._path, self._prepare, self._overrides = ROOT / "configs" / config, prepare, overrides

    @property
    def folder(self) -> Path:
        """Where the float model is written to."""
        folder = ROOT / "build" / "ptq" / self._path.stem
        if not (folder / "inference.pdmodel").exists():
            model, names = self.model(), ("inference.pdmodel", "inference.pdiparams")
            qcc.save(model, folder, model_filename=names[0], params_filename=names[1], check=False)
        return folder

    def model(self) -> Model:
        config = load_config(self._path)
        source = config.pretrain_weights
        assert source is not None
        return float_model(self._task().network(), load_weights(source), source)

    def batches(self) -> Sequence[Batch]:
        return list(self._task().calibration_batches(CALIBRATION))

    def scores(self, run: Run, run_float: Run) -> Scores:
        task = self._task()
        return Scores(task.evaluate(run)[task.main_metric])

    def _task(self) -> Task:
        return build_task(load_config(self._path, self._overrides), self._prepare())


class Classifier(TrainedNetwork):
    """MobileNetV1 on the test images of Fashion-MNIST."""

    def __init__(self) -> None:
        super().__init__(
            "mobilenet_v1_fashion_mnist.yml",
            "MobileNetV1 on Fashion-MNIST",
            "accuracy",
            f"accuracy on {IMAGES:,} test images",
            overrides=[f"ClassifierEvalFeed.dataset.limit={IMAGES}"],
        )

    def scores(self, run: Run, run_float: Run) -> Scores:
        classes: list[np.ndarray] = []

        def noting(feeds: Feeds) -> Sequence[np.ndarray]:
            outputs = run(feeds)
            classes.append(outputs[0].argmax(-1))
            return outputs

        score = super().scores(noting, run_float).score
        labels = read_fashion_mnist(dataset("fashion-mnist"), "test").labels[:IMAGES]
        return Scores(score, tuple((np.concatenate(classes) == labels).astype(float)))


def _composed() -> Path:
    """The composed pictures, as `examples/fashion_voc/compose.py` makes them."""
    folder = ROOT / "build" / "ptq" / "fashion_voc"
    if not folder.exists():
        part = folder.with_name("fashion_voc.part")
        compose(part, {"train": 2 * CALIBRATION, "test": PICTURES}, 1, False)
        part.rename(folder)
    return folder


NETWORKS: dict[str, Any] = {
    "cls": TextNetwork("cls", "ch_ppocr_mobile_v2_cls_infer", "PP-OCR text direction", "same direction", 300),
    "det": TextNetwork("det", "ch_PP-OCRv4_det_infer", "PP-OCRv4 detector", "overlap of the maps", 24),
    "rec": TextNetwork("rec", "ch_PP-OCRv4_rec_infer", "PP-OCRv4 recognizer", "same character", 48),
    "mobilenet": Classifier(),
    "yolov3": TrainedNetwork(
        "yolov3_mobilenet_v1_fashion_voc.yml",
        "YOLOv3-MobileNetV1 on composed pictures",
        "Box AP",
        f"Box AP on {PICTURES:,} test pictures",
        _composed,
        # One by one, see `ptq_tools`.
        ["YoloEvalFeed.batch_size=1"],
    ),
}
