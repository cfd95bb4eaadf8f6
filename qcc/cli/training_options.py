"""Options that several commands on training configurations share; each has the original's name, too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from qcc.cli.model_files import model_files

OVERRIDE = "-o"

config_option = click.option(
    "-c", "--config", "config_path", required=True, type=Path, help="Training configuration."
)
dataset_option = click.option(
    "-d", "--dataset_dir", type=Path, help="Folder of the data set, instead of the configuration's."
)
skip_bad_option = click.option(
    "--skip-bad", is_flag=True, help="Leave out bad images, counted at the end, not stop at them."
)
overrides_option = click.option(
    OVERRIDE,
    "--override",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE...",
    help="Change values of the configuration; takes several.",
)
nproc_option = click.option(
    "--nproc",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Train in so many processes of this machine, each on its part of every batch.",
)
use_tb_option = click.option("--use_tb", is_flag=True, help="Write TensorBoard files, too.")
tb_log_dir_option = click.option(
    "--tb_log_dir",
    type=Path,
    default=Path("tb_log_dir/scalar"),
    show_default=True,
    metavar="DIR",
    help="Where --use_tb writes.",
)
output_eval_option = click.option(
    "--output_eval", type=Path, metavar="DIR", help="Write all detections to DIR/bbox.json, as COCO has them."
)


@dataclass(frozen=True)
class TrainingArguments:
    """What the commands that train are told alike. `words`: the command line, to start further processes
    with; `tb_folder`: where TensorBoard files go, if they are wanted."""

    words: list[str]
    config_path: Path
    dataset_dir: Path | None
    overrides: tuple[str, ...]
    skip_bad: bool
    nproc: int
    tb_folder: Path | None


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the commands that train, which arrive as `TrainingArguments`, before all others."""

    @config_option
    @dataset_option
    @overrides_option
    @skip_bad_option
    @nproc_option
    @use_tb_option
    @tb_log_dir_option
    @click.argument("more_overrides", nargs=-1, metavar="[KEY=VALUE]...")
    @functools.wraps(command)
    def gathered(
        *,
        config_path: Path,
        dataset_dir: Path | None,
        overrides: tuple[str, ...],
        skip_bad: bool,
        nproc: int,
        use_tb: bool,
        tb_log_dir: Path,
        more_overrides: tuple[str, ...],
        **others: Any,
    ) -> Any:
        tb_folder = tb_log_dir if use_tb else None
        every = (*overrides, *more_overrides)
        words = click.get_current_context().obj
        given = TrainingArguments(words, config_path, dataset_dir, every, skip_bad, nproc, tb_folder)
        return command(given, **others)

    return gathered


def model_options(*, required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add what names a saved model: MODEL or `-m`, which arrive as `model`, and its files' names."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @click.argument("model", required=False, type=Path)
        @click.option("-m", "--model_path", type=Path, metavar="MODEL", help="The same as the argument.")
        @model_files
        @functools.wraps(command)
        def chosen(*, model: Path | None, model_path: Path | None, **others: Any) -> Any:
            if model is not None and model_path is not None:
                raise click.UsageError(f"Give one model, not both {model} and -m {model_path}.")
            found = model or model_path
            if found is None and required:
                raise click.UsageError("Give the model: MODEL, or -m MODEL.")
            return command(model=found, **others)

        return chosen

    return add


class OverridesCommand(click.Command):
    """A command whose `-o` takes all the KEY=VALUE words behind it: `-o a=1 b.c=2`, as the original's did."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _one_by_one(args))


def _one_by_one(words: list[str]) -> list[str]:
    """`-o a=1 b=2` becomes `-o a=1 -o b=2`."""
    result: list[str] = []
    inside = False
    for word in words:
        follows_option = result[-1:] in ([OVERRIDE], ["--override"])
        if inside and not follows_option and _is_assignment(word):
            result.append(OVERRIDE)
        result.append(word)
        inside = follows_option or word in (OVERRIDE, "--override") or (inside and _is_assignment(word))
    return result


def _is_assignment(word: str) -> bool:
    return "=" in word and not word.startswith("-")
