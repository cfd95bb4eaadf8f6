"""Freezing what a training run has made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

import qcc
from qcc.backends import Saved
from qcc.errors import CheckpointError, ModelFormatError
from qcc.model import Model
from qcc.quantization import scheme, state
from qcc.train.loop.checkpoint import CheckpointStore, check_digests, files_of, read_json
from qcc.train.programs.scheme import forms, freeze, save_form
from qcc.train.saving import EVAL_FOLDER, EVAL_MODEL, SCHEME


def freeze_checkpoint(
    store: CheckpointStore, epoch: int | None, folder: Path, weight_type: str | None = None
) -> Iterator[Saved]:
    """Write the forms of one epoch, by default the best, under `folder`; yields a report of each.

    Raises CheckpointError when there is no such checkpoint or it was not trained with quantization.
    """
    yield from freeze_to(checkpoint_model(store, epoch), folder, weight_type)


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


def is_quantized(checkpoint: Path) -> bool:
    """Whether the model of a checkpoint's folder has fake quantization in it."""
    path = checkpoint / SCHEME
    return path.exists() and read_json(path) is not None


def eval_model(checkpoint: Path) -> Model:
    """The model of a checkpoint's folder, as it was evaluated. Raises CheckpointError when there is none."""
    written = files_of(checkpoint, EVAL_FOLDER)
    if not written:
        raise CheckpointError(
            f"{checkpoint} holds no eval_model, since it was trained with save_eval_model: False."
        )
    check_digests(checkpoint, (*written, SCHEME))
    return qcc.load(checkpoint / EVAL_FOLDER, model_filename=EVAL_MODEL, params_filename="__params__")


def freeze_to(
    model: Model,
    folder: Path,
    weight_type: str | None = None,
    *,
    old_names: bool = False,
    data: Mapping[str, np.ndarray] | None = None,
) -> Iterator[Saved]:
    """Write the forms of a transformed model to float/, int8/ and qdq/ of `folder`; yields a report of each.

    There is no qdq form of a network with activation type abs_max. `old_names`, `data`: see `save_form`.
    Raises ModelFormatError when the model is in another form.
    """
    form = state(model.graph)
    if form != "transformed":
        raise ModelFormatError(
            f"the model is in the form {form}, and what can be frozen is the transformed one, as"
            " `qcc quantize` writes it to EPOCH/eval_model of its checkpoints."
        )
    for wanted in forms(scheme(model.graph)["activation_type"]):
        frozen = freeze(model, wanted, weight_type)
        yield save_form(frozen, wanted, folder / wanted, old_names=old_names, data=data)


def best_epoch(store: CheckpointStore) -> int:
    """The epoch with the highest main metric among the whole, quantized and evaluated checkpoints."""
    summary = store.root / "metrics.json"
    if summary.exists():
        match read_json(summary):
            case {"best": {"epoch": int(epoch)}}:
                return epoch
            case {"best": None}:
                pass
            case _:
                raise CheckpointError(f"{summary} is damaged: it does not say which epoch is the best one.")
    raise CheckpointError(f"{store.root} has no evaluated checkpoint of a quantized network.")
