"""`qcc dump-graph`: what it writes, and what it says when something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcc.cli.main import run

TEXT = """
graph {for_test=true}
feeds [x]
fetches [y]

weight w: float32[1, 1, 1, 1] = [0.5]
var x: float32[-1, 1, 2, 2]
var h: float32[-1, 1, 2, 2]
var y: float32[-1, 1, 2, 2]

h = conv2d(Input=x, Filter=w)
y = relu(X=h)
"""
PIPELINE = "transform{activation_type=abs_max},freeze,int8"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.txt"
    path.write_text(TEXT)
    return path


def dump(model: Path, *options: str) -> str:
    """The source that the command writes."""
    target = model.parent / "out.dot"
    assert run(["dump-graph", str(model), "--dot", str(target), *options]) == 0
    return target.read_text()


def test_the_model_itself(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = dump(model)
    assert "conv2d" in source
    assert "quantize" not in source
    assert "out.dot: 5 nodes and 4 edges." in capsys.readouterr().out


def test_after_a_pipeline_and_after_one_of_its_passes(model: Path) -> None:
    assert "w.int8" in dump(model, "-p", PIPELINE)
    frozen = dump(model, "-p", PIPELINE, "--after", "freeze")
    assert "w.int8" not in frozen
    assert "h.accumulator" in frozen


def test_after_a_pass_alone(model: Path) -> None:
    assert dump(model, "--after", "transform") == dump(model, "-p", "transform")


def test_the_difference_is_that_of_the_pass_given(model: Path) -> None:
    whole = dump(model, "-p", PIPELINE, "--diff")
    assert "added" in whole
    last = dump(model, "-p", PIPELINE, "--after", "int8", "--diff")
    # int8 replaces the weight and touches neither quantize nor dequantize ops.
    assert last.count("penwidth=4") == 2  # the weight, and the sample in the legend
    assert whole.count("penwidth=4") > 2


def test_around_a_variable(model: Path) -> None:
    assert "conv2d" not in dump(model, "--around", "y", "--depth", "0")


def test_pictures(model: Path) -> None:
    svg, png = model.with_name("out.svg"), model.with_name("out.png")
    dump(model, "--svg", str(svg), "--png", str(png))
    assert "</svg>" in svg.read_text()
    assert png.read_bytes().startswith(b"\x89PNG")


def test_folded_an_op_stands_with_what_goes_on_behind_it(model: Path) -> None:
    source = dump(model, "-p", PIPELINE, "--folded")
    assert "+ fake_channel_wise_dequantize" in source or "+ fake_dequantize_max_abs, relu" in source
    whole = dump(model, "--folded")
    assert whole.count("conv2d") == 2  # the label and the tooltip of the one node
    assert "+ relu" in whole


def test_without_graphviz_the_source_is_written_all_the_same(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    dot, svg = model.with_name("out.dot"), model.with_name("out.svg")
    assert run(["dump-graph", str(model), "--dot", str(dot), "--svg", str(svg), "--renderer", "dot"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"qcc: error: {svg} needs the program `dot`, which is not on the PATH")
    assert error.count("\n") == 1
    assert "conv2d" in dot.read_text()
    assert not svg.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--diff"], "--diff marks what passes did, so it needs -p or --after."),
        (["--diff", "-p", "transform", "--folded"], "--diff marks single ops, and --folded draws several"),
        (["--svg", "OUT.dot"], "out.dot is to be written twice"),
        (["--depth", "2"], "--depth says how far from a variable, so it needs --around."),
        (["--around", "hh"], "no op of the graph reads or writes a variable 'hh'; the nearest names are h."),
        (["-p", "transform", "--after", "freeze"], "--after freeze: the pipeline has no such pass"),
        (["--after", "freeze"], "the graph has no quantized op: run transform first."),
        (["--after", "freze"], "there is no pass 'freze'; did you mean 'freeze'?"),
    ],
)
def test_mistakes_give_one_sentence_and_no_file(
    model: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = model.with_name("out.dot")
    options = [str(target) if word == "OUT.dot" else word for word in options]
    assert run(["dump-graph", str(model), "--dot", str(target), *options]) == 2
    assert message in capsys.readouterr().err
    assert not target.exists()


def test_a_text_that_does_not_parse_names_file_and_place(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.write_text(TEXT.replace("X=h", "X=g"))
    assert run(["dump-graph", str(model), "--dot", str(model.with_name("out.dot"))]) == 2
    assert f"{model}, line 12, column 12: variable 'g' is not declared." in capsys.readouterr().err


def test_a_real_model(pp_ocr_models: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "det.dot"
    assert run(["dump-graph", str(pp_ocr_models["det"]), "--dot", str(target), "--after", "transform"]) == 0
    assert "depthwise_conv2d" in target.read_text()
