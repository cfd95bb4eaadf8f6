"""Training and evaluating a detector."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qcc.calibrate.data.batches import Batches
from qcc.calibrate.data.image_file import read_image
from qcc.errors import ConfigError, DataError
from qcc.files import check_folder, write_json
from qcc.shown import counted
from qcc.train.config.detection import DetectionDataset, DetectorConfig
from qcc.train.data import augment
from qcc.train.data.augment import Sample
from qcc.train.data.coco import CocoSet, read_coco
from qcc.train.data.coco_file import Id, read_coco_file
from qcc.train.data.detection_set import BadData, BoxedImage, DetectionSet
from qcc.train.data.loader import load_batches, part_of_each, split_batches, spread
from qcc.train.data.randomness import batch_generator, epoch_order, sample_generator
from qcc.train.data.voc import LABEL_LIST, read_class_names, read_voc
from qcc.train.metrics.coco_ap import CocoAp
from qcc.train.metrics.coco_results import coco_results
from qcc.train.metrics.voc_map import VocMap
from qcc.train.models.detector import GT_BOX, GT_LABEL, GT_SCORE, IM_SIZE, IMAGE
from qcc.train.models.network import Network
from qcc.train.parallel.device import device_notes
from qcc.train.parallel.group import ALONE, Group
from qcc.train.tasks.architectures import detector_network
from qcc.train.tasks.task import Feeds, Run

_MOST_TOLD = 10
_GOOD = -1  # in place of the number of a bad image


class DetectorTask:
    """A `Task` on images with boxes. `dataset_dir` takes precedence over the configuration's folders;
    `skip_bad`: leave out images that are bad instead of raising DataError; `output_eval`: a folder for
    bbox.json, all detections of the last evaluation as a list in COCO's format; `group`: the processes
    that train together."""

    main_metric = "box_ap"

    def __init__(
        self,
        config: DetectorConfig,
        dataset_dir: Path | None = None,
        skip_bad: bool = False,
        output_eval: Path | None = None,
        group: Group = ALONE,
    ) -> None:
        self.group = group
        self._config = config
        self._dataset_dir = dataset_dir
        self._skip_bad, self._bad = skip_bad, list[BadData]()
        self._output_eval = output_eval
        if output_eval is not None:
            check_folder(output_eval)
        augmentation = config.yolo_train_feed.augmentation
        self._mixup = (augmentation.mixup_alpha, augmentation.mixup_beta)
        self._transforms: list[augment.Transform] = [
            augment.ColourDistortion(probability=augmentation.distort_probability),
            augment.RandomExpand(augmentation.expand_ratio, augmentation.expand_probability),
            *([augment.RandomCrop()] if augmentation.crop else []),
            augment.RandomFlip(augmentation.flip_probability),
        ]

    @property
    def batch_size(self) -> int:
        return self._config.yolo_train_feed.batch_size * self.group.size

    @property
    def steps_per_epoch(self) -> int:
        return self._config.max_iters or self.batches_per_pass

    @property
    def batches_per_pass(self) -> int:
        """How many batches the training set gives before it starts again."""
        batches = len(self.train_set) // self.batch_size
        if batches == 0:
            raise DataError(
                f"{self.train_set.source} gives {len(self.train_set)} images, fewer than one batch of"
                f" {self.batch_size}."
            )
        return batches

    def notes(self) -> list[str]:
        notes = device_notes(self._config.use_gpu)
        iters, batches = self._config.max_iters, self.batches_per_pass
        if iters is not None and iters != batches:
            notes.append(
                f"max_iters is {iters}, while one pass over the data has {batches} batches of"
                f" {self.batch_size} images: an epoch will be {iters} batches, that is"
                f" {iters / batches:.2f} passes, and the next one goes on where it ends."
            )
        return notes

    def left_out(self) -> list[str]:
        # An image may stand in both sets.
        messages = list(dict.fromkeys(message for bad in self._bad for message in bad.messages))
        left_out = f"left out {counted(len(messages), 'bad image')}."
        told = [*messages[:_MOST_TOLD], left_out] if messages else []
        if boxes := dict.fromkeys(message for bad in self._bad for message in bad.empty_boxes):
            told.append(f"left out {counted(len(boxes), 'box')} without area; the first: {next(iter(boxes))}")
        return told

    def facts(self) -> dict[str, Any]:
        listed = hashlib.sha256()
        for image in self.train_set.images:
            listed.update(f"{image.path.name} {image.width} {image.height}\n".encode())
            listed.update(image.boxes.tobytes() + image.labels.tobytes() + image.difficult.tobytes())
        data = {"images": len(self.train_set), "listed": listed.hexdigest()[:12]}
        return {**self._config.model_dump(mode="json", by_alias=True), "training data": data}

    def network(self) -> Network:
        return detector_network(self._config)

    # ------------------------------------------------------------------ training

    def train_batches(self, epoch: int, first: int) -> Iterator[Feeds]:
        feed, steps = self._config.yolo_train_feed, self.steps_per_epoch
        # Places in the endless sequence of all passes over the data: batch b holds places b * size and on.
        places = range((epoch * steps + first) * self.batch_size, (epoch + 1) * steps * self.batch_size)
        whole = split_batches(places, self.batch_size, drop_last=True)
        batches = part_of_each(whole, self.group.rank, self.group.size)
        for images, boxes, labels, scores, bad in load_batches(self._train_fields, batches, feed.num_workers):
            self._note_bad(self.train_set, bad)
            yield {IMAGE: images, GT_BOX: boxes, GT_LABEL: labels, GT_SCORE: scores}

    def train_scores(self, feeds: Feeds, outputs: Sequence[NDArray[Any]]) -> Mapping[str, float]:
        return {}

    def _train_fields(self, place: int) -> tuple[NDArray[Any], ...]:
        """What the network trains on at one place; a pure function of it."""
        feed, seed = self._config.yolo_train_feed, self._config.seed
        batch, slot = divmod(place, self.batch_size)
        data_pass, batch_in_pass = divmod(batch, self.batches_per_pass)
        index = int(_order(seed, data_pass, len(self.train_set))[batch_in_pass * self.batch_size + slot])
        random = sample_generator(seed, data_pass, index)
        sample, number = self._load(self.train_set, index)
        bad = [number]
        if data_pass < feed.mixup_epoch:
            # No check that the two differ: the original has none.
            other, number = self._load(self.train_set, int(random.integers(len(self.train_set))))
            sample, bad = augment.mixup(sample, other, random, *self._mixup), [*bad, number]
        sample = augment.apply_all(self._transforms, sample, random)
        side = int(batch_generator(seed, data_pass, batch_in_pass).choice(feed.random_shapes))
        interpolation = augment.INTERPOLATIONS[random.integers(len(augment.INTERPOLATIONS))]
        image = augment.network_input(sample.image, (side, side), interpolation)
        return image, *augment.padded_boxes(sample, feed.num_max_boxes), np.array(bad)

    def _load(self, data: DetectionSet, index: int) -> tuple[Sample, int]:
        """Image `index` or, when that is bad and may be left out, the next good one; and whether it was bad:
        its number, or `_GOOD`. Others that are bad are told when it is their turn."""
        bad = _GOOD
        for offset in range(len(data)):
            number = (index + offset) % len(data)
            item = data.images[number]
            try:
                image = _checked_image(item)
            except DataError:
                if not data.bad.skip:
                    raise
                bad = index
                continue
            return Sample(image, item.boxes, item.labels, np.ones(len(item.boxes), np.float32)), bad
        raise DataError(f"{data.source}: not one of its {len(data)} images can be read.")

    # ------------------------------------------------------------------ evaluation

    def check(self) -> None:
        self._metric(self.test_set)
        if not any(len(image.boxes) for image in self.train_set.images):
            left_out = self.train_set.bad.left_out()
            raise DataError(f"{self.train_set.source} has no box, so there is nothing to train on{left_out}.")

    def example(self) -> Feeds:
        image, size, *_ = self._test_fields(0)
        return {IMAGE: image[None], IM_SIZE: size[None]}

    def calibration_batches(self, count: int) -> Batches[int]:
        def read(index: int) -> Feeds:
            image, size, *_, bad = self._fields(self.train_set, index)
            self._note_bad(self.train_set, bad[None])
            return {IMAGE: image[None], IM_SIZE: size[None]}

        return Batches(spread(len(self.train_set), count), read)

    def evaluate(self, run: Run) -> dict[str, float]:
        data, feed = self.test_set, self._config.yolo_eval_feed
        metric, results, rated = self._metric(data), [], False
        batches = split_batches(range(len(data)), feed.batch_size, drop_last=False)
        for images, sizes, indices, bad in load_batches(self._test_fields, batches, feed.num_workers):
            self._note_bad(data, bad)
            for index, found in zip(indices, detections(run, images, sizes), strict=True):
                item = data.images[index]
                check_finite(found, item.path)
                _check_classes(found, self._config.num_classes)
                if index not in bad:
                    metric.add(found, item)
                    if self._output_eval is not None:
                        results += coco_results(found, item, category_ids(data))
                    rated = rated or item.has_boxes()
        if not rated:
            raise _nothing_to_rate(data)
        if self._output_eval is not None:
            write_json(self._output_eval / DETECTIONS, results)
        return metric.result()

    def _metric(self, data: DetectionSet) -> CocoAp | VocMap:
        """Raises DataError where no detection could be right, so that there is nothing to rate."""
        if not data.has_boxes():
            raise _nothing_to_rate(data)
        if self._config.metric == "VOC":
            return VocMap(data.class_names, self._config.map_type)
        if isinstance(data, CocoSet):
            return CocoAp(data)
        where = self._config.where("metric")
        raise ConfigError(f"{where} is COCO, but {data.source} is no .json file in COCO's format.")

    def _test_fields(self, index: int) -> tuple[NDArray[Any], ...]:
        return self._fields(self.test_set, index)

    def _fields(self, data: DetectionSet, index: int) -> tuple[NDArray[Any], ...]:
        """What the test program is fed with for an image, the image's number, and what was bad."""
        height, width = self._config.yolo_eval_feed.image_shape[1:]
        sample, bad = self._load(data, index)
        image = augment.network_input(sample.image, (height, width), cv2.INTER_CUBIC)
        return image, np.array(sample.size, np.int32), np.array(index), np.array(bad)

    # ------------------------------------------------------------------ data

    @cached_property
    def train_set(self) -> DetectionSet:
        """The images to train on."""
        return self._read("YoloTrainFeed", self._config.yolo_train_feed.dataset)

    @cached_property
    def test_set(self) -> DetectionSet:
        """The images to evaluate on."""
        return self._read("YoloEvalFeed", self._config.yolo_eval_feed.dataset)

    def _read(self, feed: str, source: DetectionDataset) -> DetectionSet:
        folder = self._dataset_dir or source.dataset_dir
        if not source.annotation:
            where = self._config.where(feed, "dataset", "annotation")
            raise ConfigError(f"{where} is missing: it is the file that lists the images.")
        bad = BadData(self._skip_bad)
        self._bad.append(bad)
        if source.annotation.endswith(".json"):
            data = read_coco(folder, source.annotation, bad, source.image_dir)
            _check_count(self._config, data.class_names, data.source)
            return data
        names = _voc_names(self._config, source, folder)
        return read_voc(folder, source.annotation, names, bad, source.image_dir)

    def _note_bad(self, data: DetectionSet, numbers: NDArray[Any]) -> None:
        for number in numbers[numbers != _GOOD]:
            data.bad.found(f"{data.images[number].path} cannot be read or has another size than annotated.")


def infer_class_names(config: DetectorConfig, dataset_dir: Path | None = None) -> tuple[str, ...]:
    """The classes of what `qcc infer` looks at. Raises ConfigError when they are not `num_classes`."""
    source = config.yolo_test_feed.dataset
    folder = dataset_dir or source.dataset_dir
    if source.annotation.endswith(".json"):
        coco = read_coco_file(folder / source.annotation, BadData(skip=True))
        names = tuple(category["name"] for category in coco.loadCats(sorted(coco.getCatIds())))
        _check_count(config, names, str(folder / source.annotation))
        return names
    return _voc_names(config, source, folder)


def _voc_names(config: DetectorConfig, source: DetectionDataset, folder: Path) -> tuple[str, ...]:
    names = read_class_names(folder, source.use_default_label)
    named_by = "VOC (use_default_label: true)" if source.use_default_label else str(folder / LABEL_LIST)
    _check_count(config, names, named_by)
    return names


def _check_count(config: DetectorConfig, names: Sequence[str], named_by: str) -> None:
    """Raise ConfigError where there are others than `num_classes`."""
    if len(names) != config.num_classes:
        raise ConfigError(
            f"{config.where('num_classes')} is {config.num_classes}, but {named_by} has"
            f" {counted(len(names), 'class')}."
        )


def category_ids(data: DetectionSet) -> Sequence[Id]:
    """By class number: COCO's id of the class, or the number itself where the set is not COCO's."""
    return data.category_ids if isinstance(data, CocoSet) else range(len(data.class_names))


DETECTIONS = "bbox.json"
DETECTION_SIZE = 6  # class, score and box


def _nothing_to_rate(data: DetectionSet) -> DataError:
    return DataError(
        f"{data.source} has no box that counts, one neither difficult nor of a crowd, so there is"
        f" nothing to rate{data.bad.left_out()}."
    )


def check_finite(found: NDArray[Any], where: object) -> None:
    """Raise DataError for boxes that are no numbers: they compare as if they overlapped everything."""
    if not np.isfinite(found).all():
        raise DataError(f"the model finds boxes or scores in {where} that are not finite numbers.")


def _check_classes(found: NDArray[Any], count: int) -> None:
    for number in (int(found[:, 0].min(initial=0)), int(found[:, 0].max(initial=0))):
        if not 0 <= number < count:
            raise DataError(f"the model finds class number {number}, but num_classes is {count}.")


def detections(run: Run, images: NDArray[Any], sizes: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Per image, what a model finds in it: float32 [M, 6], class, score, left, top, right, bottom in pixels.

    `images`: float32 [N, 3, H, W]; `sizes`: int32 [N, 2], height and width of the files. A model that does
    not tell how many detections belong to which image is run with one image at a time. Raises DataError
    when what comes out are no detections.
    """
    outputs = run({IMAGE: images, IM_SIZE: sizes})
    if not _is_nothing(outputs[0]) and outputs[0].shape[1:] != (DETECTION_SIZE,):
        raise DataError(
            f"the model's first output is {list(outputs[0].shape)}, and detections are"
            f" [M, {DETECTION_SIZE}]: it is no detector."
        )
    if len(outputs) > 1:
        counts = outputs[1].reshape(-1)
        if len(counts) != len(images) or counts.sum() != len(outputs[0]):
            raise DataError(
                f"the model's second output is {list(outputs[1].shape)}, and does not tell how many of"
                f" {len(outputs[0])} detections belong to each of {len(images)} images."
            )
        yield from np.split(outputs[0], np.cumsum(counts)[:-1])
        return
    if len(images) == 1:
        yield rows_of(outputs[0])
        return
    for number in range(len(images)):
        yield rows_of(run({IMAGE: images[number : number + 1], IM_SIZE: sizes[number : number + 1]})[0])


def _is_nothing(output: NDArray[Any]) -> bool:
    """Whether it is the -1 that `multiclass_nms` writes where it finds nothing at all."""
    return output.shape == (1, 1) and bool(output.item() == -1)


def rows_of(output: NDArray[Any]) -> NDArray[Any]:
    """What a model has found, one row each."""
    return np.empty((0, DETECTION_SIZE), np.float32) if _is_nothing(output) else output


def _checked_image(item: BoxedImage) -> NDArray[np.uint8]:
    image = read_image(item.path)
    if image.shape[:2] != (item.height, item.width):
        raise DataError(
            f"{item.path} is {image.shape[1]} x {image.shape[0]} pixels, but its annotation says"
            f" {item.width} x {item.height}."
        )
    return image


@lru_cache(maxsize=2)
def _order(seed: int, data_pass: int, count: int) -> NDArray[np.int64]:
    return epoch_order(seed, data_pass, count)
