"""The epochs of a run that are over: choosing among them, and what was not done at their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qcc.errors import CheckpointError
from qcc.model import Model
from qcc.train.config.slim import Compressor
from qcc.train.evaluation.evaluate import RepeatedEvaluation
from qcc.train.freeze import eval_model, is_quantized
from qcc.train.loop.checkpoint import CheckpointStore, digests_of, files_of
from qcc.train.loop.loop import Record
from qcc.train.saving import EVAL_FOLDER, EVAL_MODEL, PRUNED
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
    # By the digest of the program: it changes when quantization is inserted, and with the configuration.
    evaluations: dict[str, RepeatedEvaluation] = {}
    records = []
    for epoch in epochs:
        folder = store.epoch(epoch)
        quantized = is_quantized(folder)
        model = eval_model(folder)
        check(model)
        program = digests_of(folder)[f"{EVAL_FOLDER}/{EVAL_MODEL}"]
        metrics = evaluations.setdefault(program, RepeatedEvaluation(task))(model)
        records.append({"epoch": epoch, "quantized": quantized, **metrics})
    return records


def missed(
    store: CheckpointStore, history: Sequence[Record], compressor: Compressor, main_metric: str
) -> Iterator[str]:
    """What `compressor` asks for at the end of epochs and those that are over did not do, and how to have it
    yet; one sentence each. `history`: a record per epoch that is over."""
    unrated = [
        record["epoch"]
        for record in history
        if main_metric not in record and record["epoch"] % compressor.eval_epoch == 0
    ]
    if unrated:
        yield (
            f"eval_epoch: {_epochs(unrated)} over and not evaluated; `qcc eval {store.root} -c CONFIG"
            " --all-epochs` evaluates those that have a checkpoint."
        )
    if not compressor.save_eval_model:
        return
    bare = epochs_without_model(store)
    if bare:
        yield (
            f"save_eval_model: {_epochs(bare)} over, without an eval_model; float_model_save_path and"
            " int8_model_save_path still save the forms of the one that end_epoch names."
        )
    uncut = [
        epoch
        for epoch in store.epochs()
        if epoch not in bare and f"{EVAL_FOLDER}/{PRUNED}" not in files_of(store.epoch(epoch), EVAL_FOLDER)
    ]
    if compressor.prune_infer_model is not None and uncut:
        yield (
            f"prune_infer_model: {_epochs(uncut)} over, without a {PRUNED}; without the folder"
            f" {store.root / str(store.epochs()[-1])} that epoch is trained again, and writes one."
        )


def _epochs(numbers: Sequence[int]) -> str:
    """`epoch 3 is` or `epochs 0, 2 are`."""
    listed = ", ".join(map(str, numbers))
    return f"epoch {listed} is" if len(numbers) == 1 else f"epochs {listed} are"
