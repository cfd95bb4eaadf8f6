"""Evaluating a model in any form."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qcc
from qcc._paddle import paddle, run_program, static_mode
from qcc.backends.lite.file import read_naive_buffer
from qcc.errors import DataError
from qcc.failures import reason
from qcc.measure.engines import Case
from qcc.measure.loaded import loaded
from qcc.measure.subjects import Subject
from qcc.model import Model
from qcc.train.models.detector import IMAGE
from qcc.train.programs.kernels import choose_kernels, running
from qcc.train.programs.scope import move_scope
from qcc.train.tasks.detector import rows_of
from qcc.train.tasks.task import Feeds, Run, Trainable


def evaluate(model: Model, task: Trainable) -> dict[str, float]:
    """The metrics of `model` on the task's test set, computed on the device of the task's group.

    A frozen or int8 model computes with the integers that its weights and activations are rounded to, held
    in float32, so the result is that of the quantized network. Raises DataError when the model is fed by
    names that the task does not have.
    """
    return task.evaluate(ModelRunner(model, task.group.device).run)


def evaluate_in(case: Case, task: Trainable) -> dict[str, float]:
    """The metrics of a model in an engine on the task's test set, with a thread for each processor.

    Images are run one at a time: what of a batch behind non-maximum suppression belongs to which image is
    not told in an ONNX file. Raises what the engine raises, and what `checked_run` does.
    """
    with loaded(case, len(os.sched_getaffinity(0))) as model:
        return task.evaluate(one_by_one(model.feeds, checked_run(case, model.run)))


def one_by_one(feeds: Sequence[str], run: Run) -> Run:
    """Runs the images of a batch singly, fed by these names; behind a single output, it tells how many rows
    of it belong to each image, as a detector does, or every image would be run again."""

    def singly(batch: Feeds) -> list[NDArray[Any]]:
        size = len(batch[feeds[0]])
        runs = [run({name: batch[name][i : i + 1] for name in feeds}) for i in range(size)]
        outputs = [list(map(rows_of, found)) for found in zip(*runs, strict=True)]
        counts = [np.array(list(map(len, outputs[0])))] if len(outputs) == 1 else []
        return [np.concatenate(found) for found in outputs] + counts

    return singly


def checked_run(case: Case, run: Run) -> Run:
    """What runs a case: in Paddle Lite it raises DataError for a detector's images that are not square, in
    which that puts boxes in the wrong place."""
    if case.engine != "lite" or "yolo_box" not in _op_types(case.subject):
        return run

    def of_squares(batch: Feeds) -> Sequence[NDArray[Any]]:
        height, width = batch[IMAGE].shape[2:]
        if height != width:
            raise DataError(
                f"{case.subject.shown}: Paddle Lite's yolo_box takes every feature map for square, and images"
                f" of {height} x {width} get boxes in the wrong place: give square ones (image_shape)."
            )
        return run(batch)

    return of_squares


def _op_types(subject: Subject) -> set[str]:
    if subject.model is not None:
        return {op.type for op in subject.model.graph.ops}
    return {op.type for op in read_naive_buffer(subject.program).ops}


class RepeatedEvaluation:
    """Evaluates models of one graph again and again, as a training run does.

    With a new runner for each epoch the process would grow: of the memory that one gives back, the C library
    keeps much, in pieces that do not fit the next one.
    """

    def __init__(self, task: Trainable, *, one_size: bool = True) -> None:
        self._task, self._one_size = task, one_size
        self._runner: ModelRunner | None = None

    def __call__(self, model: Model) -> dict[str, float]:
        """The metrics of `model`, as `evaluate` gives them."""
        if self._runner is None:
            self._runner = ModelRunner(model, self._task.group.device, one_size=self._one_size)
        else:
            self._runner.take_weights(model)
        return self._task.evaluate(self._runner.run)


class ModelRunner:
    """A model made ready for many batches on a device, a Paddle place: INT8 weights turned into float32, and
    on the CPU oneDNN's convolutions, unless the batches are not of `one_size`; see `choose_kernels`."""

    @static_mode()
    def __init__(self, model: Model, device: Any, *, one_size: bool = True) -> None:
        runnable = _unpacked(model)
        self._feeds = model.feeds
        self._fetches = list(model.fetches)
        self._program = runnable.to_program()
        choose_kernels(self._program, device, one_size=one_size)
        _keep_no_weights(self._program)
        self._scope, self._device = paddle.static.Scope(), device
        self._put_weights(runnable)
        self._executor = paddle.static.Executor(device)

    @static_mode()
    def take_weights(self, model: Model) -> None:
        """Go on with the weights of `model`, which must be of the same graph as the one before."""
        self._put_weights(_unpacked(model))

    @static_mode()
    def run(self, batch: Feeds) -> Sequence[NDArray[Any]]:
        """The model's outputs for one batch; what the batch holds beyond the model's feeds is not used.

        Raises DataError when the model does not take the batch.
        """
        missing = [name for name in self._feeds if name not in batch]
        if missing:
            raise DataError(f"the model is fed by '{missing[0]}', but the data set gives {list(batch)}.")
        feeds = {name: batch[name] for name in self._feeds}
        try:
            with running(self._device):
                return run_program(self._executor, self._program, feeds, self._fetches, self._scope)
        except ValueError as error:  # Paddle's for shapes
            raise DataError(f"the model does not run on the data set's images: {reason(error)}") from error

    def _put_weights(self, runnable: Model) -> None:
        runnable.write_weights(self._scope, overwrite=True)
        move_scope(self._scope, self._program, self._device)


def _keep_no_weights(program: Any) -> None:
    """Let oneDNN's convolutions read their weights in each run: in a test program they keep the first."""
    for block in program.blocks:
        for op in block.ops:
            if op.has_attr("use_mkldnn") and op.attr("use_mkldnn") and op.has_attr("is_test"):
                op._set_attr("is_test", False)


def _unpacked(model: Model) -> Model:
    return qcc.PassManager.parse("unpack").run(model)
