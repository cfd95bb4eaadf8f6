"""Choosing among the epochs of a run."""

from __future__ import annotations

from collections.abc import Callable

from qcc.errors import CheckpointError
from qcc.model import Model
from qcc.train.evaluation.evaluate import RepeatedEvaluation
from qcc.train.freeze import eval_model, is_quantized
from qcc.train.loop.checkpoint import CheckpointStore, files_of
from qcc.train.loop.loop import Record
from qcc.train.saving import EVAL_FOLDER
from qcc.train.tasks.task import Task


def epochs_without_model(store: CheckpointStore) -> list[int]:
    """The epochs whose checkpoint was written with save_eval_model: False."""
    return [epoch for epoch in store.epochs() if not files_of(store.epoch(epoch), EVAL_FOLDER)]


def evaluate_epochs(store: CheckpointStore, task: Task, check: Callable[[Model], None]) -> list[Record]:
    """Evaluate the model of each whole checkpoint that holds one on the task's test set; a record per epoch.

    `check` raises what tells that a model is not one for the task. Raises CheckpointError when there are no
    checkpoints, or when none holds a model.
    """
    epochs = store.epochs()
    if not epochs:
        raise CheckpointError(f"{store.root} has no whole checkpoints.")
    without = epochs_without_model(store)
    epochs = [epoch for epoch in epochs if epoch not in without] or epochs
    # A graph for the epochs before quantization, and one for those with it.
    evaluations = {quantized: RepeatedEvaluation(task) for quantized in (False, True)}
    records = []
    for epoch in epochs:
        folder = store.epoch(epoch)
        quantized = is_quantized(folder)
        model = eval_model(folder)
        check(model)
        metrics = evaluations[quantized](model)
        records.append({"epoch": epoch, "quantized": quantized, **metrics})
    return records
