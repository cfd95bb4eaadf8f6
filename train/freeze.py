"""Freezing what a training run has made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

import qcc
from qcc.backends import Saved
from qcc.errors import CheckpointError, ModelFormatError
from qcc.files import one_change
from qcc.model import Model
from qcc.passes.zero_points import UNSIGNED, right_instead
from qcc.quantization import scheme, state
from qcc.train.loop.checkpoint import METRICS, CheckpointStore, check_digests, digests_of, files_of, read_json
from qcc.train.loop.loop import Record
from qcc.train.programs.scheme import forms, freeze, save_form
from qcc.train.saving import EVAL_FOLDER, EVAL_MODEL, SCHEME

_ENGINES = "qdq"
"""The form, and the folder of it, that engines run in int8."""


def freeze_checkpoint(
    store: CheckpointStore, epoch: int | None, folder: Path, weight_type: str | None = None
) -> list[Saved]:
    """Write the forms of one epoch, by default the best, under `folder`; gives a report of each.

    Raises CheckpointError when there is no such checkpoint or it was not trained with quantization.
    """
    return freeze_to(checkpoint_model(store, epoch), folder, weight_type)


def checkpoint_model(store: CheckpointStore, epoch: int | None) -> Model:
    """The evaluation model of one epoch, by default the best.

    Raises CheckpointError when there is no such checkpoint or it was not trained with quantization.
    """
    checkpoint = store.epoch(best_epoch(store) if epoch is None else epoch)
    if not is_quantized(checkpoint):
        raise CheckpointError(
            f"{checkpoint} comes from before quantization was inserted; take a later epoch."
        )
    return eval_model(checkpoint)


def checkpoint_metrics(store: CheckpointStore, epoch: int | None) -> dict[str, float]:
    """What one epoch, by default the best, was evaluated to, by the metrics' names; nothing where it was not
    evaluated.

    Raises CheckpointError.
    """
    checkpoint = store.epoch(best_epoch(store) if epoch is None else epoch)
    check_digests(checkpoint, [METRICS])
    return metrics_among(read_json(checkpoint / METRICS))


def metrics_among(record: Record) -> dict[str, float]:
    """What the record of an epoch says that it was evaluated to, by the metrics' names."""
    return {
        name: value
        for name, value in record.items()
        if isinstance(value, float) and name != "seconds" and not name.startswith("train_")
    }


def is_quantized(checkpoint: Path) -> bool:
    """Whether the model of a checkpoint's folder has fake quantization in it.

    Raises CheckpointError for a checkpoint of float training, which holds no model.
    """
    if SCHEME not in digests_of(checkpoint):
        raise CheckpointError(
            f"{checkpoint} is a checkpoint of float training, which holds no model: give the folder of those"
            " that quantized training has written."
        )
    check_digests(checkpoint, [SCHEME])
    return read_json(checkpoint / SCHEME) is not None


def eval_model(checkpoint: Path) -> Model:
    """The model of a checkpoint's folder, as it was evaluated. Raises CheckpointError when there is none."""
    written = files_of(checkpoint, EVAL_FOLDER)
    if not written:
        raise CheckpointError(
            f"{checkpoint} holds no eval_model, since it was trained with save_eval_model: False;"
            " with float_model_save_path in the slim file, the same `qcc quantize` saves the form of epoch"
            " end_epoch."
        )
    check_digests(checkpoint, written)
    return qcc.load(checkpoint / EVAL_FOLDER, model_filename=EVAL_MODEL, params_filename="__params__")


def freeze_to(
    model: Model,
    folder: Path,
    weight_type: str | None = None,
    *,
    old_names: bool = False,
    target: str | None = None,
    check: bool | Mapping[str, np.ndarray] = True,
) -> list[Saved]:
    """Write the forms of a quantized model to float/, int8/ and qdq/ of `folder`, as one change; gives a
    report of each.

    A transformed model is frozen first; one that is frozen already, in any form and by any tool, is turned
    into the other forms. There is no qdq form of a network with activation type abs_max, and of weights of
    more than 8 bits the frozen form alone. With a `target`, qdq is the one for this engine, and comes first,
    since it may be refused. `old_names`, `check`: see `save_form`.

    Raises ModelFormatError for a model that is not quantized, or whose weights are integers where another
    `weight_type` is asked for; and what `qcc.save` raises.
    """
    check_form(model, weight_type)
    if "int8" in state(model.graph).split("+"):
        model = qcc.PassManager.parse("unpack").run(model)
    wanted = forms(scheme(model.graph))
    saved = []
    with one_change(folder):
        if target is not None:
            wanted = [form for form in wanted if form != _ENGINES]
            frozen = freeze(model, "float", weight_type)
            # Engines tell Paddle's files by the names of today.
            saved.append(qcc.save(frozen, folder / _ENGINES, target=target, check=check))
        for form in wanted:
            prepared = freeze(model, form, weight_type)
            saved.append(save_form(prepared, form, folder / form, old_names=old_names, check=check))
    return saved


def check_form(model: Model, weight_type: str | None = None) -> None:
    """Raise ModelFormatError for a model that `freeze_to` cannot freeze, or that is written for OpenVINO: of
    such a one come forms that no engine runs in int8."""
    present = state(model.graph)
    if present in ("float", "weight-only"):
        raise ModelFormatError(_nothing_to_freeze(present))
    found = scheme(model.graph)
    if present == "qdq" and UNSIGNED in found["activation_bits"]:
        right = right_instead(UNSIGNED, "freeze what was trained")
        raise ModelFormatError(f"the model has activations of {UNSIGNED} bits: {right}.")
    types = found["weight_type"]
    if weight_type is not None and present != "transformed" and types != [weight_type]:
        raise ModelFormatError(
            f"the model is {present}: its weights are integers of type {'/'.join(types)} already, which"
            f" cannot become {weight_type}: leave --weight_quant_type out, or freeze the transformed model."
        )


def _nothing_to_freeze(present: str) -> str:
    if present == "float":
        return (
            "the model is float, so there is nothing to freeze: quantize it, without training by"
            " `qcc quantize MODEL --data PHOTOS -o OUT`, or in training by `qcc quantize -c CONFIG`."
        )
    return (
        "the model's weights alone are integers (weight-only), and its activations are float, so there is"
        " nothing to freeze: turn the weights back with `qcc apply -p unpack`, and quantize that float model."
    )


def best_epoch(store: CheckpointStore) -> int:
    """The epoch with the highest main metric among the whole, quantized and evaluated checkpoints."""
    summary = store.root / METRICS
    if summary.exists():
        match read_json(summary):
            case {"best": {"epoch": int(epoch)}}:
                return epoch
            case {"best": None}:
                pass
            case _:
                raise CheckpointError(f"{summary} is damaged: it does not say which epoch is the best one.")
    raise CheckpointError(f"{store.root} has no evaluated checkpoint of a quantized network.")
