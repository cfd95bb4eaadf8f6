"""Freezing a checkpoint of a training run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import qcc
from qcc.backends import Saved
from qcc.errors import CheckpointError
from qcc.train.checkpoint import CheckpointStore
from qcc.train.scheme import forms, freeze, save_form


def freeze_checkpoint(
    store: CheckpointStore, epoch: int | None, folder: Path, weight_type: str | None = None
) -> Iterator[Saved]:
    """Write the forms of one epoch, by default the best, under `folder`; yields a report of each.

    There is no qdq form of a network with activation type abs_max. Raises CheckpointError when there is no
    such checkpoint or it was not trained with quantization.
    """
    checkpoint = store.epoch(best_epoch(store) if epoch is None else epoch)
    path = checkpoint / "scheme.json"
    scheme = json.loads(path.read_text()) if path.exists() else None
    if scheme is None:
        raise CheckpointError(
            f"{checkpoint} comes from before quantization was inserted; take a later epoch."
        )
    model = qcc.load(str(checkpoint / "eval_model"), model_filename="__model__", params_filename="__params__")
    for form in forms(scheme["activation_quantize_type"]):
        yield save_form(freeze(model, form, weight_type), form, folder / form)


def best_epoch(store: CheckpointStore) -> int:
    """The epoch with the highest main metric among the whole, quantized and evaluated checkpoints."""
    summary = store.root / "metrics.json"
    best = json.loads(summary.read_text())["best"] if summary.exists() else None
    if best is None:
        raise CheckpointError(f"{store.root} has no evaluated checkpoint of a quantized network yet.")
    return int(best["epoch"])
