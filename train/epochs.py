"""Choosing among the epochs of a run."""

from __future__ import annotations

from qcc.errors import CheckpointError
from qcc.train.checkpoint import CheckpointStore
from qcc.train.evaluate import RepeatedEvaluation
from qcc.train.freeze import eval_model, is_quantized
from qcc.train.loop import Record
from qcc.train.tasks.task import Task


def evaluate_epochs(store: CheckpointStore, task: Task) -> list[Record]:
    """Evaluate the model of each whole checkpoint on the task's test set; a record per epoch.

    Raises CheckpointError when there are no checkpoints, or when they hold no models.
    """
    epochs = store.epochs()
    if not epochs:
        raise CheckpointError(f"{store.root} has no whole checkpoints.")
    # A graph for the epochs before quantization, and one for those with it.
    evaluations = {quantized: RepeatedEvaluation(task) for quantized in (False, True)}
    records = []
    for epoch in epochs:
        folder = store.epoch(epoch)
        quantized = is_quantized(folder)
        metrics = evaluations[quantized](eval_model(folder))
        records.append({"epoch": epoch, "quantized": quantized, **metrics})
    return records
