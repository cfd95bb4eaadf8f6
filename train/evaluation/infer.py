"""Running a detector on image files: pictures with boxes, JSON beside them, and the time that it takes."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qcc.calibrate.data.image_file import IMAGE_SUFFIXES, read_image
from qcc.errors import ConfigError, DataError, OutputError
from qcc.files import atomic_file, write_json
from qcc.measure.engines import ENGINES, Case
from qcc.measure.loaded import loaded
from qcc.model import Model
from qcc.train.config.detection import DetectorConfig
from qcc.train.data.augment import network_input
from qcc.train.evaluation.drawing import Detection, draw
from qcc.train.evaluation.evaluate import ModelRunner, checked_run
from qcc.train.evaluation.timing import COUNTED_RUNS, WARM_UP_RUNS, clocked, milliseconds
from qcc.train.models.detector import IM_SIZE, IMAGE
from qcc.train.parallel.device import choose_device, is_cpu
from qcc.train.tasks.detector import check_finite, detections
from qcc.train.tasks.task import Feeds, Run


def find_images(folder: Path | None, image: Path | None) -> list[Path]:
    """The image files of a folder, sorted by name, or one image. Raises DataError when there is none."""
    if image is not None and folder is not None:
        raise ConfigError(f"give either --infer_img or --infer_dir, not both {image} and {folder}.")
    if image is not None:
        return [image]
    if folder is None:
        raise ConfigError("give --infer_img FILE or --infer_dir FOLDER: one says which image to look at.")
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder.")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise DataError(f"{folder} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    return found


class Detector:
    """A model that detects in image files. `run` takes a batch of one; `time_of`: milliseconds of that."""

    def __init__(
        self, run: Run, time_of: Callable[[Feeds], float], config: DetectorConfig, class_names: Sequence[str]
    ) -> None:
        self._run, self._time_of = run, time_of
        self._size = config.yolo_test_feed.image_shape[1:]
        self._class_names = class_names

    def find(self, image: NDArray[np.uint8], least_score: float) -> list[Detection]:
        """What is in an image, uint8 [H, W, 3] in RGB order, with a score of `least_score` or more."""
        feeds = image_feeds(image, self._size)
        (rows,) = detections(self._run, feeds[IMAGE], feeds[IM_SIZE])
        check_finite(rows, "a picture")
        return [self._detection(row) for row in rows if row[1] >= least_score]

    def time(self, image: NDArray[np.uint8]) -> float:
        """Median milliseconds of one run on `image`, of 100 after 10 that do not count."""
        return self._time_of(image_feeds(image, self._size))

    def _detection(self, row: NDArray[Any]) -> Detection:
        number = int(row[0])
        if not 0 <= number < len(self._class_names):
            raise ConfigError(
                f"the model tells class {number}, but the configuration names {len(self._class_names)}"
                " classes: they do not belong together."
            )
        left, top, right, bottom = (float(edge) for edge in row[2:])
        return Detection(number, self._class_names[number], float(row[1]), (left, top, right, bottom))


@contextmanager
def detector_in_paddle(
    model: Model, config: DetectorConfig, class_names: Sequence[str]
) -> Iterator[tuple[Detector, str]]:
    """The model run op for op by Paddle, and what runs it in words."""
    device = choose_device(config.use_gpu)
    run = ModelRunner(model, device).run

    def time_of(feeds: Feeds) -> float:
        return milliseconds({"run": clocked(lambda: run(feeds))})["run"]

    yield Detector(run, time_of, config, class_names), f"Paddle, {'CPU' if is_cpu(device) else 'GPU'}"


@contextmanager
def detector_in(
    case: Case, config: DetectorConfig, class_names: Sequence[str]
) -> Iterator[tuple[Detector, str]]:
    """The same in an engine, on one thread."""
    with loaded(case, 1) as model:

        def time_of(feeds: Feeds) -> float:
            wanted = {name: feeds[name] for name in model.feeds}
            return 1000 * statistics.median(model.running.times(wanted, WARM_UP_RUNS, COUNTED_RUNS).wall)

        yield (
            Detector(checked_run(case, model.run), time_of, config, class_names),
            f"{ENGINES[case.engine].title}, one thread",
        )


def image_feeds(image: NDArray[np.uint8], size: tuple[int, int]) -> Feeds:
    """What a detector is fed with for one image, uint8 [H, W, 3], resized to `size`, height and width."""
    pixels = network_input(image, size, cv2.INTER_CUBIC)
    return {IMAGE: pixels[None], IM_SIZE: np.array([image.shape[:2]], np.int32)}


def infer(
    detector: Detector, images: Sequence[Path], folder: Path, least_score: float
) -> Iterator[tuple[Path, list[Detection]]]:
    """Write `NAME.png` and `NAME.json` into `folder` for each image; yields the picture and what is in it."""
    # Two images may differ in their suffix alone, or one have its suffix behind another's name.
    stems, names = Counter(path.stem for path in images), {path.name for path in images}
    looked_at = {_identity(path) for path in images if path.exists()}
    for path in images:
        name = path.stem if stems[path.stem] == 1 and path.stem not in names else path.name
        image = read_image(path)
        found = detector.find(image, least_score)
        picture = folder / f"{name}.png"
        if picture.exists() and _identity(picture) in looked_at:
            raise OutputError(f"{picture} would be overwritten by its drawing: give another --output_dir.")
        _write_picture(picture, draw(image, found))
        write_json(
            folder / f"{name}.json",
            {
                "image": str(path),
                "width": image.shape[1],
                "height": image.shape[0],
                "draw_threshold": least_score,
                "objects": [asdict(detection) for detection in found],
            },
        )
        yield picture, found


def _identity(path: Path) -> tuple[int, int]:
    """What is equal for two paths of one file."""
    facts = path.stat()
    return facts.st_dev, facts.st_ino


def _write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    encoded, data = cv2.imencode(".png", image[:, :, ::-1])
    if not encoded:
        raise OutputError(f"{path}: the picture cannot be encoded.")
    with atomic_file(path) as stream:
        stream.write(data.tobytes())
