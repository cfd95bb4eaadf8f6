"""No command writes over what it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lite_case import build_model, conv, floats
from lite_commands import invoke, small

import qcc
from qcc.errors import OutputError


@pytest.fixture
def forms(tmp_path: Path) -> Path:
    """A folder with a frozen model in float/, as `qcc freeze` writes it."""
    qcc.save(small()[0], tmp_path / "forms" / "float", check=False)
    return tmp_path / "forms"


@pytest.mark.parametrize(
    "arguments",
    [
        ("dump-graph", "{model}", "--dot", "{model}/model.pdmodel"),
        ("dump-graph", "{model}", "--dot", "{forms}/x.dot", "--svg", "{model}/qcc.json"),
        ("dump-graph", "{forms}/graph.txt", "--dot", "{forms}/link.txt"),
        ("analyze", "{model}", "--data", "random", "-o", "{model}/qcc.html"),
        ("compare", "{model}", "{model}", "--data", "random", "--json", "{model}/model.pdmodel"),
        ("compare", "{model}", "{model}", "--data", "{forms}/x.npy", "--json", "{forms}/x.npy"),
        ("bench", "{model}", "--data", "{forms}", "--plot", "{forms}/x.npy"),
        ("bench", "{model}", "--data", "{forms}/x.npy", "--json", "{model}/qcc.json"),
        ("apply", "{model}", "-p", "prune", "-o", "{model}"),
        ("apply", "{model}/model.pdmodel", "-p", "prune", "-o", "{forms}/../forms/float"),
        ("freeze", "{model}", "--save", "{forms}"),
    ],
)
def test_what_is_read_is_not_written_over(forms: Path, arguments: tuple[str, ...]) -> None:
    np.save(forms / "x.npy", np.zeros((2, 3, 8, 8), "f"))
    (forms / "graph.txt").write_text("graph {}\n")
    (forms / "link.txt").symlink_to(forms / "graph.txt")
    model = forms / "float"
    before = {path: path.read_bytes() for path in model.iterdir()}
    result = invoke(*(argument.format(model=model, forms=forms) for argument in arguments))
    assert isinstance(result.exception, OutputError), result.output
    assert "is read by this command and would be overwritten: give another place." in str(result.exception)
    assert {path: path.read_bytes() for path in model.iterdir()} == before


def test_two_outputs_are_two_files(forms: Path) -> None:
    result = invoke("dump-graph", forms / "float", "--dot", forms / "x", "--svg", forms / "x")
    assert f"{forms}/x is to be written twice" in str(result.exception)
    result = invoke("bench", forms / "float", "--json", forms / "x", "--plot", forms / "y/../x")
    assert f"{forms}/y/../x is to be written twice" in str(result.exception)


EXPORT = ("export", "{model}", "-o", "{forms}/x.nb", "--calibrate", "{model}", "-c", "c.yml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", "{model}", "--target", "lite-arm", "--arch", "x86", "-o", "{forms}/x.nb"), "is for arm"),
        (("export", "{model}", "--target", "lite-x86", "--arch", "arm", "-o", "{forms}/x.nb"), "is for x86"),
        ((*EXPORT, "--preprocess", "p.yml"), "-c and --preprocess both say"),
        ((*EXPORT, "--calibrate", "{forms}/x.npy"), "--calibrate {forms}/x.npy gives none"),
        (("freeze", "-m", "{model}", "--epoch", "3", "--save", "{forms}"), "--epoch says which checkpoint"),
        (("freeze", "--checkpoint", "{forms}", "--epoch", "²"), "'²' is neither the number of an epoch"),
    ],
)
def test_options_that_contradict_each_other(forms: Path, arguments: tuple[str, ...], words: str) -> None:
    result = invoke(*(argument.format(model=forms / "float", forms=forms) for argument in arguments))
    assert result.exit_code == 2
    assert words.format(forms=forms) in " ".join(result.output.split())
    assert sorted(path.name for path in forms.iterdir()) == ["float"]


def test_a_drawing_may_stand_beside_the_model(forms: Path) -> None:
    for _ in range(2):
        assert invoke("dump-graph", forms / "float", "--dot", forms / "float" / "graph.dot").exit_code == 0


def test_a_file_of_others_is_in_the_way_of_a_selftest(forms: Path) -> None:
    (forms / "README.md").write_text("mine")
    result = invoke("export", forms / "float", "-o", forms / "x.nb", "--selftest", forms)
    assert str(result.exception).startswith(
        f"{forms}/README.md is in the way: qcc replaces only what it wrote"
    )
    assert not (forms / "x.nb").exists()


def test_a_folder_holds_one_record(forms: Path) -> None:
    """A model is not left beside the record of another one, nor what `qcc quantize` has written."""
    image = floats(1, 4, 8, 8)
    qcc.save(build_model(conv(8, 3), (image,)), forms / "original", check=False)
    quantize = ("quantize", forms / "original", "--data", "random", "--samples", "1", "--no-check")
    assert invoke("convert", forms / "float", "-o", forms / "converted").exit_code == 0
    assert invoke(*quantize, "-o", forms / "out").exit_code == 0
    records = {path: path.read_bytes() for path in forms.rglob("qcc.json")}
    for words, output, kept in (
        (quantize, forms / "converted", "inference.pdmodel"),
        (quantize, forms / "out" / "qdq", "model.pdmodel"),
        (("apply", forms / "float", "-p", "prune"), forms / "converted", "inference.pdmodel"),
        (("convert", forms / "float"), forms / "out", "what `qcc quantize` has written"),
        (("convert", forms / "float"), forms / "out" / "qdq", "model.pdmodel"),
    ):
        told = str(invoke(*words, "-o", output).exception)
        assert told == (
            f"{output}/qcc.json is the record of {kept}, and a folder holds one: give another folder."
        )
    # What freezes a MODEL calls its files `model` and `weights`, as the original did.
    told = str(invoke("freeze", "-m", forms / "float", "--save", forms / "out").exception)
    kept = f"{forms}/out/float/qcc.json is the record of model.pdmodel"
    assert told == f"{kept}, and a folder holds one: give another folder."
    assert records == {path: path.read_bytes() for path in forms.rglob("qcc.json")}


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("apply", "-p", "prune"), "model.pdmodel"),
        (("convert",), "inference.pdiparams"),
        (("convert", "--name", "__model__"), "__model__"),
        (("convert",), "inference.yml"),
    ],
)
def test_a_model_of_others_is_in_the_way(forms: Path, arguments: tuple[str, ...], name: str) -> None:
    (forms / "float/inference.yml").write_text("PreProcess: {transform_ops: []}\n")
    out = forms / "out"
    out.mkdir()
    (out / name).write_text("mine")
    command, *others = arguments
    result = invoke(command, forms / "float", *others, "-o", out)
    assert str(result.exception).startswith(f"{out / name} is in the way: qcc replaces only what it wrote")
    assert [path.name for path in out.iterdir()] == [name]
    (out / name).unlink()
    for _ in range(2):
        assert invoke(command, forms / "float", *others, "-o", out).exit_code == 0
