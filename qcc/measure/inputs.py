"""What the subjects are run on: data, or made-up inputs, as a batch of a wanted size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from qcc.backends.predictor import PaddleExecutor
from qcc.backends.samples import Feed, Sample, make_arrays
from qcc.errors import DataError, GraphError, PaddleError
from qcc.files import atomic_file
from qcc.measure.subjects import Subject

Inputs = Mapping[str, np.ndarray]

# Height and width of made-up images whose size the model leaves open: the first that it takes, since what is
# measured on images smaller than those of use is the cost of small ops.
_SIZES = (320, 224, 64)
_PHOTO = (480, 640)
_RUN_BY_PADDLE = ("float", "transformed", "frozen", "qdq")


def write_photo(path: Path) -> None:
    """Write a made-up photo, of the size that cameras for video have, as a file."""
    (picture,) = make_arrays([Feed("photo", (1, 3, *_PHOTO), np.dtype(np.float32))], 0).values()
    pixels = np.clip(64 * picture[0].transpose(1, 2, 0) + 128, 0, 255).astype(np.uint8)
    with atomic_file(path) as stream:
        stream.write(cv2.imencode(".png", pixels)[1].tobytes())


def find_inputs(
    subjects: Sequence[Subject], data: Iterable[Inputs] | None, batch: int, source: str = "data"
) -> Sample:
    """Inputs of the first Paddle model among the subjects, on which it runs, or else of the first subject
    whose feeds are known.

    `data`: batches of the model's, of a `source`; without, inputs are made up. Raises GraphError when the
    model does not take `batch` samples at once, or does not run on the inputs, DataError when the data do not
    feed it.
    """
    of_paddle = [one for one in subjects if one.form in _RUN_BY_PADDLE and one.model is not None]
    subject = next((one for one in (*of_paddle, *subjects) if one.feeds), None)
    if subject is None:
        raise GraphError(
            f"{subjects[0].shown} does not tell what it is fed with: give the float MODEL of Paddle, too; it"
            " is what the others are compared with."
        )
    open_feeds = {feed.name for feed in subject.feeds if feed.shape[:1] == (-1,)}
    if batch > 1 and not open_feeds:
        raise GraphError(f"{subject.shown} is fed with one batch size only: leave out --batch.")
    counted = {feed.counts: feed.name for feed in subject.feeds if feed.counts and feed.name in open_feeds}
    executor = PaddleExecutor(subject.program, subject.params) if subject in of_paddle else None
    failure = ""
    for sample in _samples(subject.feeds, data, batch, open_feeds, source):
        inputs = {feed.name: _taken(feed, sample.inputs, counted, batch) for feed in subject.feeds}
        try:
            if executor is not None:
                executor.run(inputs)
        except PaddleError as error:
            failure = str(error)
        else:
            shapes = ", ".join(f"{name}{list(array.shape)}" for name, array in inputs.items())
            return Sample(inputs, f"{sample.source} ({shapes})")
    raise GraphError(f"the model does not run on {sample.source}: {failure}")


def _taken(feed: Feed, inputs: Inputs, counted: Mapping[str, str], batch: int) -> np.ndarray:
    """So many samples of what there is, the first ones of it or each several times; of boxes, those of the
    same samples, where `counted` names the feed that tells how many are of each."""
    array = inputs[feed.name]
    if feed.shape[:1] != (-1,):
        return array
    if not feed.holds_boxes:
        return array[_rows(len(array), batch)]
    if feed.name not in counted:
        return array
    counts = inputs[counted[feed.name]]
    of_each = np.split(array, np.cumsum(counts)[:-1])
    return np.concatenate([of_each[number] for number in _rows(len(counts), batch)])


def _rows(count: int, batch: int) -> np.ndarray:
    return np.arange(count).repeat(-(-batch // count))[:batch]


def _samples(
    feeds: Sequence[Feed], data: Iterable[Inputs] | None, batch: int, open_feeds: set[str], source: str
) -> Iterator[Sample]:
    if data is not None:
        yield Sample(_joined(list(islice(data, batch)), feeds, open_feeds), source)
        return
    for size in _SIZES:
        yield Sample(make_arrays(feeds, size), "made-up inputs")


def _joined(batches: Sequence[Inputs], feeds: Sequence[Feed], open_feeds: set[str]) -> Inputs:
    """Batches as one, as far as their arrays are of one size."""
    if not batches:
        raise DataError("there are no data to run the models on.")
    first, names = batches[0], [feed.name for feed in feeds]
    missing = [name for name in names if name not in first]
    if missing:
        raise DataError(f"the model is fed with {', '.join(names)}, and the data lack {', '.join(missing)}.")
    alike = [
        batch for batch in batches if all(batch[name].shape[1:] == first[name].shape[1:] for name in names)
    ]
    return {
        name: np.concatenate([batch[name] for batch in alike]) if name in open_feeds else first[name]
        for name in names
    }
