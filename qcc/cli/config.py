"""`qcc config`: what a configuration may say, and what one says after all overrides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qcc.cli.next import tell_next
from qcc.cli.stdout import echo
from qcc.cli.training_options import OverridesCommand, config_option, overrides_option

_PREPROCESS = "Preprocess"

if TYPE_CHECKING:
    from qcc.train.config.describe import Description


class _EitherOrder(click.Group):
    """Takes `NAME help` for `help NAME`, as people type it who are used to other programs."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and args[1:2] == ["help"]:
            args = [args[1], args[0], *args[2:]]
        return super().resolve_command(ctx, args)


@click.group(cls=_EitherOrder)
def config() -> None:
    """Explain configuration files: their sections, their keys, and what one says in the end."""


@config.command("list", short_help="List all sections.")
def list_sections() -> None:
    """List the sections that configuration and slim files hold."""
    from qcc.train.config.describe import describe_all

    console = Console()
    for description in describe_all():
        if console.is_terminal:
            console.print(Text.assemble((f"{description.name}: ", "bold cyan"), description.summary))
        else:
            echo(f"{description.name}: {description.summary}")
    tell_next("config", "help", "NAME")


@config.command("help", short_help="Explain a section, or a key.")
@click.argument("name")
def explain(name: str) -> None:
    """Explain the section NAME: every key with its values, its default and its meaning; or the key NAME.

    \b
    qcc config help YOLOv3Head
    qcc config help YoloTrainFeed.batch_size
    qcc config help batch_size                  in every section that has it
    """
    from qcc.train.config.describe import find

    console = Console()
    found = find(name)
    for description in found:
        if console.is_terminal:
            _show_on_terminal(console, description)
        else:
            _show_plain(description)
    if all(_PREPROCESS in (description.name, *description.holders) for description in found):
        # It is a file of its own, and no part of a training configuration.
        tell_next("quantize", "MODEL", "--data", "PHOTOS", "--preprocess", "FILE.yml", "-o", "OUT")
    else:
        tell_next("config", "show", "-c", "CONFIG")


@config.command("show", cls=OverridesCommand, short_help="Print what a configuration says in the end.")
@config_option
@overrides_option
def show(config_path: Path, overrides: tuple[str, ...]) -> None:
    """Print all that a configuration says, with overrides and defaults, as a file that says the same.

    \b
    qcc config show -c configs/yolov3_mobilenet_v1_voc.yml -o max_iters=258 pretrain_weights=WEIGHTS
    """
    from qcc.grammar.yaml_text import as_yaml
    from qcc.train.config import load_config
    from qcc.train.config.inputs import refuse_addresses

    shown = load_config(config_path, overrides)
    refuse_addresses(shown)
    echo(as_yaml(shown), nl=False)
    tell_next("quantize", "-c", config_path)


def _show_plain(description: Description) -> None:
    echo(f"{description.name}: {description.text}")
    if description.holders:
        echo(f"It stands in {', '.join(description.holders)}.")
    for key in description.keys:
        default = f"={key.default}" if key.default else " (required)"
        echo(f"  {key.name}{default}: {key.values}. {key.text}")


def _show_on_terminal(console: Console, description: Description) -> None:
    console.print(Text.assemble((f"{description.name}: ", "bold cyan"), description.text))
    if description.holders:
        console.print(Text(f"It stands in {', '.join(description.holders)}.", style="dim"))
    table = Table(box=None, padding=(0, 0, 0, 2), header_style="dim")
    for heading in ("key", "values", "default", "meaning"):
        table.add_column(heading, overflow="fold")
    for key in description.keys:
        # Texts, since "[integer, ...]" is no mark-up.
        cells = (Text(text) for text in (key.values, key.default or "required", key.text))
        table.add_row(Text(key.name, style="bold"), *cells)
    console.print(table)
