"""What the subjects are run on: data, or made-up inputs, as a batch of a wanted size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from qcc.backends.predictor import PaddleExecutor
from qcc.backends.samples import Sample, make_inputs
from qcc.errors import DataError, GraphError, PaddleError
from qcc.measure.subjects import Subject
from qcc.model import Model

Inputs = Mapping[str, np.ndarray]

# Height and width of made-up images whose size the model leaves open: the first that it takes, since what is
# measured on images smaller than those of use is the cost of small ops.
_SIZES = (320, 224, 64)


def find_inputs(subjects: Sequence[Subject], data: Iterable[Inputs] | None, batch: int) -> Sample:
    """Inputs of the first Paddle model among the subjects, on which it runs.

    `data`: batches of the model's; without, inputs are made up. Raises GraphError when the model does not
    take `batch` samples at once, or does not run on the inputs, DataError when there are no data.
    """
    subject = next((one for one in subjects if one.model is not None), None)
    if subject is None or subject.model is None:
        raise GraphError(
            "none of the models is one of Paddle's, which tells what they are fed with: give the float MODEL,"
            " too; it is what the others are compared with."
        )
    open_feeds = {
        name for name in subject.model.feeds if subject.model.graph.versions(name)[0].shape[:1] == (-1,)
    }
    if batch > 1 and not open_feeds:
        raise GraphError(f"{subject.shown} is fed with one batch size only: leave out --batch.")
    executor, failure = PaddleExecutor(subject.program, subject.params), ""
    for sample in _samples(subject.model, data, batch, open_feeds):
        inputs = {
            name: array.repeat(-(-batch // len(array)), 0)[:batch] if name in open_feeds else array
            for name, array in sample.inputs.items()
        }
        try:
            executor.run(inputs)
        except PaddleError as error:
            failure = str(error)
        else:
            shapes = ", ".join(f"{name}{list(array.shape)}" for name, array in inputs.items())
            return Sample(inputs, f"{sample.source} ({shapes})")
    raise GraphError(f"the model does not run on {sample.source}: {failure}")


def _samples(
    model: Model, data: Iterable[Inputs] | None, batch: int, open_feeds: set[str]
) -> Iterator[Sample]:
    if data is not None:
        yield Sample(_joined(list(islice(data, batch)), open_feeds), "data")
        return
    for size in _SIZES:
        yield Sample(make_inputs(model, size), "made-up inputs")


def _joined(batches: Sequence[Inputs], open_feeds: set[str]) -> Inputs:
    """Batches as one, as far as their arrays are of one size."""
    if not batches:
        raise DataError("there are no data to run the models on.")
    first = batches[0]
    alike = [
        batch for batch in batches if all(batch[name].shape[1:] == first[name].shape[1:] for name in first)
    ]
    return {
        name: np.concatenate([batch[name] for batch in alike]) if name in open_feeds else first[name]
        for name in first
    }
