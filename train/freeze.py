"""Freezing a checkpoint of a training run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import qcc
from qcc.errors import CheckpointError
from qcc.train.checkpoint import CheckpointStore
from qcc.train.scheme import FREEZE, freeze, save_form


def freeze_checkpoint(
    store: CheckpointStore, epoch: int | None, folder: Path, weight_type: str | None = None
) -> Iterator[tuple[str, Path]]:
    """Write every form of one epoch, by default the best, under `folder`; yields each form and its place.

    Raises CheckpointError when there is no such checkpoint or it was not trained with quantization.
    """
    checkpoint = store.epoch(best_epoch(store) if epoch is None else epoch)
    scheme = checkpoint / "scheme.json"
    if not scheme.exists() or json.loads(scheme.read_text()) is None:
        raise CheckpointError(
            f"{checkpoint} comes from before quantization was inserted; take a later epoch."
        )
    model = qcc.load(str(checkpoint / "eval_model"), model_filename="__model__", params_filename="__params__")
    for form in FREEZE:
        save_form(freeze(model, form, weight_type), form, folder / form)
        yield form, folder / form


def best_epoch(store: CheckpointStore) -> int:
    """The epoch with the highest main metric among the whole, quantized and evaluated checkpoints."""
    summary = store.root / "metrics.json"
    best = json.loads(summary.read_text())["best"] if summary.exists() else None
    if best is None:
        raise CheckpointError(f"{store.root} has no evaluated checkpoint of a quantized network yet.")
    return int(best["epoch"])
