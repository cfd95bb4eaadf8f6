"""Options under the original's names and with its grammar."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from qcc.cli.main import run
from qcc.cli.training_options import OverridesCommand, model_options, overrides_option


@click.command(cls=OverridesCommand)
@model_options()
@overrides_option
@click.option("-d", "--dataset_dir")
def command(
    model: Path,
    model_filename: str | None,
    params_filename: str | None,
    overrides: tuple[str, ...],
    dataset_dir: str | None,
) -> None:
    click.echo(f"{model} {model_filename} {params_filename} {list(overrides)} {dataset_dir}")


def output(*words: str) -> str:
    return CliRunner().invoke(command, words).output


@pytest.mark.parametrize(
    "words",
    [
        ("m", "-o", "a=1", "b.c=[x, y]", "-d", "e=f"),
        ("m", "-o", "a=1", "-o", "b.c=[x, y]", "-d", "e=f"),
        ("-o", "a=1", "b.c=[x, y]", "-d", "e=f", "m"),
        ("--override", "a=1", "b.c=[x, y]", "m", "-d", "e=f"),
        ("-o", "a=1", "-m", "m", "-d", "e=f", "-o", "b.c=[x, y]"),
        ("-oa=1", "--override=b.c=[x, y]", "--model_path", "m", "-d", "e=f"),
    ],
)
def test_overrides_one_by_one_or_several_at_once(words: tuple[str, ...]) -> None:
    assert output(*words) == "m None None ['a=1', 'b.c=[x, y]'] e=f\n"


def test_names_of_files() -> None:
    assert output("m", "--model_name", "model", "--params_name", "weights") == "m model weights [] None\n"


def test_a_model_is_named_once() -> None:
    assert "Give the model: MODEL, or -m MODEL." in output()
    assert "Give one model, not both a and -m b." in output("a", "-m", "b")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give one thing to freeze"),
        (["m", "--checkpoint", "c"], "Give one thing to freeze"),
        (["m", "-d", "data"], "are about evaluating, which needs -c"),
        (["m", "--weight_quant_type", "range_abs_max"], "is not one of 'abs_max', 'channel_wise_abs_max'"),
    ],
)
def test_freeze_says_what_it_needs(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["freeze", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
