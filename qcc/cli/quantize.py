"""`qcc quantize`: a model quantized, from data alone or by training, whichever its options ask for."""

from __future__ import annotations

from typing import Any

import click

from qcc.cli.quantize_model import quantize_model
from qcc.cli.quantize_training import quantize_training

_TRAINING = ("-c", "--config", "-s", "--slim_file")
_DATA = "--data"


class _Either(click.Command):
    """Two commands of one name: with a training configuration (`-c`) it trains, otherwise it does not."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        # The context belongs to the command that was chosen, which is then the one to be invoked.
        chosen = quantize_training if _asks_for_training(args) else quantize_model
        return chosen.make_context(info_name, args, parent, **extra)


def _asks_for_training(words: list[str]) -> bool:
    names = [word.partition("=")[0] for word in words]
    return _DATA not in names and any(
        name in _TRAINING or (word[:2] in ("-c", "-s") and not word.startswith("--"))
        for name, word in zip(names, words, strict=True)
    )


quantize = _Either("quantize", help=quantize_model.help)
