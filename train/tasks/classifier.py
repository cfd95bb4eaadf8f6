"""Training and evaluating an image classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcc.calibrate.data.batches import Batches
from qcc.errors import ConfigError, DataError
from qcc.train.config.schema import ClassifierConfig, Dataset
from qcc.train.data.cache import dataset
from qcc.train.data.fashion_mnist import NUM_CLASSES, LabelledImages, read_fashion_mnist
from qcc.train.data.loader import Sample, load_batches, part_of_each, split_batches, spread
from qcc.train.data.randomness import epoch_order, sample_generator
from qcc.train.data.transforms import Normalise, RandomCropFlip
from qcc.train.metrics.top_accuracy import TopAccuracy
from qcc.train.models.classifier import IMAGE, LABEL, build_classifier
from qcc.train.models.network import Network
from qcc.train.parallel.device import device_notes
from qcc.train.parallel.group import ALONE, Group
from qcc.train.tasks.architectures import classifier
from qcc.train.tasks.task import Feeds, Run


class ClassifierTask:
    """A `Task` on labelled images. `dataset_dir` takes precedence over the configuration's folders;
    `group`: the processes that train together."""

    main_metric = "top1"

    def __init__(
        self, config: ClassifierConfig, dataset_dir: Path | None = None, group: Group = ALONE
    ) -> None:
        self.group = group
        self._config = config
        self._dataset_dir = dataset_dir
        if config.num_classes != NUM_CLASSES:
            raise ConfigError(
                f"{config.where('num_classes')} is {config.num_classes}, but the data has {NUM_CLASSES}"
                " classes."
            )
        normalize = config.normalize
        self._normalise = Normalise(config.image_shape[1:], normalize.mean, normalize.std)
        self._augment = RandomCropFlip(config.train_feed.padding, config.train_feed.flip_probability)

    @property
    def batch_size(self) -> int:
        return self._config.train_feed.batch_size * self.group.size

    @property
    def steps_per_epoch(self) -> int:
        steps = len(self._train) // self.batch_size
        if steps == 0:
            raise DataError(
                f"the training set has {len(self._train)} images, fewer than one batch of {self.batch_size}."
            )
        return steps

    def notes(self) -> list[str]:
        return device_notes(self._config.use_gpu)

    def left_out(self) -> list[str]:
        return []

    def facts(self) -> dict[str, Any]:
        content = hashlib.sha256(self._train.images.tobytes() + self._train.labels.tobytes())
        data = {"images": len(self._train), "content": content.hexdigest()[:12]}
        return {**self._config.model_dump(mode="json", by_alias=True), "training data": data}

    def network(self) -> Network:
        model = classifier(self._config)
        classes = self._config.num_classes
        return build_classifier(lambda image: model.logits(image, classes), self._config.image_shape)

    def train_batches(self, epoch: int, first: int) -> Iterator[Feeds]:
        seed, feed = self._config.seed, self._config.train_feed

        def sample(index: int) -> Sample:
            image = self._augment(self._train.images[index], sample_generator(seed, epoch, index))
            return self._normalise(image), _label(self._train, index)

        order = epoch_order(seed, epoch, len(self._train)).tolist()
        # A short last batch would give its few samples more weight, and batch norm a poor estimate.
        whole = split_batches(order, self.batch_size, drop_last=True)[first:]
        batches = part_of_each(whole, self.group.rank, self.group.size)
        for images, labels in load_batches(sample, batches, feed.num_workers):
            yield {IMAGE: images, LABEL: labels}

    def train_scores(self, feeds: Feeds, outputs: Sequence[NDArray[Any]]) -> Mapping[str, float]:
        return {"accuracy": float((outputs[0].argmax(axis=1) == feeds[LABEL][:, 0]).mean())}

    def check(self) -> None:
        if len(self._test) == 0:
            raise DataError("the test set has no images.")

    def example(self) -> Feeds:
        return {IMAGE: self._normalise(self._test.images[0])[None]}

    def calibration_batches(self, count: int) -> Batches[int]:
        return Batches(
            spread(len(self._train), count),
            lambda index: {IMAGE: self._normalise(self._train.images[index])[None]},
        )

    def evaluate(self, run: Run) -> dict[str, float]:
        feed, accuracy = self._config.eval_feed, TopAccuracy()

        def sample(index: int) -> Sample:
            return self._normalise(self._test.images[index]), _label(self._test, index)

        batches = split_batches(range(len(self._test)), feed.batch_size, drop_last=False)
        for images, labels in load_batches(sample, batches, feed.num_workers):
            scores = run({IMAGE: images})[0]
            if scores.shape != (len(images), self._config.num_classes):
                raise DataError(
                    f"the model's first output is {list(scores.shape)} for {len(images)} images, but"
                    f" num_classes is {self._config.num_classes}."
                )
            if not np.isfinite(scores).all():
                # No comparison with what is no number holds, so that any class would seem right.
                raise DataError("the model's scores are not finite numbers, so no class is the likeliest.")
            accuracy.update(scores, labels)
        return accuracy.result()

    @cached_property
    def _train(self) -> LabelledImages:
        return self._read(self._config.train_feed.dataset, "train")

    @cached_property
    def _test(self) -> LabelledImages:
        return self._read(self._config.eval_feed.dataset, "test")

    def _read(self, source: Dataset, split: str) -> LabelledImages:
        folder = self._dataset_dir or source.dataset_dir or dataset(source.name)
        data = read_fashion_mnist(folder, split)
        channels, height, width = self._config.image_shape
        least = data.images.shape[1:]
        if channels != 1 or height < least[0] or width < least[1]:
            raise ConfigError(
                f"{self._config.where('image_shape')} is {list(self._config.image_shape)}, but the images in"
                f" {folder} are grey and {least[0]} x {least[1]}: it must be 1, at least {least[0]}, at least"
                f" {least[1]}."
            )
        return data if source.limit is None else data.first(source.limit)


def _label(data: LabelledImages, index: int) -> NDArray[np.int64]:
    return np.array([data.labels[index]], np.int64)
