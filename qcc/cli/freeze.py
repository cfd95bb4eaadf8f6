"""`qcc freeze`: from a checkpoint to the forms that are deployed."""

from __future__ import annotations

from pathlib import Path

import click


class EpochOrBest(click.ParamType):
    """The number of an epoch, or `best`."""

    name = "N|best"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value == "best":
            return None
        if not str(value).isdigit():
            self.fail(f"'{value}' is neither the number of an epoch nor 'best'.", param, ctx)
        return int(str(value))


@click.command()
@click.option("--checkpoint", required=True, type=Path, metavar="DIR", help="Folder of the checkpoints.")
@click.option("--epoch", default="best", show_default=True, type=EpochOrBest(), help="Which checkpoint.")
@click.option("--save", "save_path", required=True, type=Path, metavar="DIR", help="Where to write.")
@click.option(
    "--weight-quant-type",
    type=click.Choice(["abs_max", "channel_wise_abs_max"]),
    help="How to round weights, instead of as they were trained.",
)
def freeze(checkpoint: Path, epoch: int | None, save_path: Path, weight_quant_type: str | None) -> None:
    """Freeze a checkpoint of `qcc quantize` and write its forms to float/, int8/ and qdq/ of a folder.

    qdq/ needs fixed activation scales, so there is none for activation type abs_max.
    """
    from qcc.train.checkpoint import CheckpointStore
    from qcc.train.freeze import freeze_checkpoint

    for saved in freeze_checkpoint(CheckpointStore(checkpoint), epoch, save_path, weight_quant_type):
        click.echo(f"saved the {saved.form} form in {saved.files[0].parent}.")
        for warning in saved.warnings:
            click.echo(f"  warning: {warning}", err=True)
