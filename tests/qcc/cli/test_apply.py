from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import click
import nets
import pytest
from click.testing import CliRunner, Result

import qcc
from qcc.backends import fluid
from qcc.cli.apply import apply
from qcc.errors import ModelFormatError, OutputError, PassError, PipelineError, TargetError, VerifyError
from qcc.ir.graph import Graph
from qcc.ir.text import parse_graph
from qcc.passes import Pass, PassResult
from qcc.passes.registry import Registered, known_passes

QUANTIZE = "transform{weight_type=channel_wise_abs_max,activation_type=abs_max},freeze"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small float model."""
    folder = tmp_path_factory.mktemp("float")
    qcc.save(nets.build(nets.residual_net)["test"], folder, check=False)
    return folder


@dataclass(frozen=True)
class Damage(Pass):
    """Give an op an input that nothing computes."""

    name: ClassVar[str] = "damage"

    def apply(self, graph: Graph) -> PassResult:
        graph.set_input(graph.ops[0], "Input", [graph.add_var("ghost", "float32", (1,))])
        return PassResult(True, ("a ghost has come.", "it stays."))


@pytest.fixture
def damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pass `damage` is known."""
    known = {**known_passes(), "damage": Registered(f"{__name__}:Damage", "tests")}
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Damage.__module__])
    monkeypatch.setattr("qcc.passes.registry.known_passes", lambda: known)


def invoke(*arguments: object, env: dict[str, str] | None = None) -> Result:
    result = CliRunner(env=env).invoke(apply, [str(word) for word in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def output(*arguments: object, env: dict[str, str] | None = None) -> str:
    result = invoke(*arguments, env=env)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_reports_what_each_pass_added_and_removed_and_saves_nothing(saved: Path) -> None:
    assert output(saved, "-p", f"{QUANTIZE},int8,prune,prune").splitlines() == [
        "transform: added 3 fake_channel_wise_dequantize_max_abs, 3 fake_channel_wise_quantize_abs_max,"
        " 3 fake_dequantize_max_abs, 3 fake_quantize_abs_max; 3 ops changed",
        "freeze: added 3 fake_channel_wise_dequantize_max_abs;"
        " removed 3 fake_channel_wise_dequantize_max_abs, 3 fake_channel_wise_quantize_abs_max,"
        " 3 fake_dequantize_max_abs; 3 ops changed",
        "int8: 3 ops changed",
        "prune: no op changed, only variables",
        "prune: changed nothing",
        "nothing was saved.",
    ]


def test_timing_gives_the_seconds_of_each_pass(saved: Path) -> None:
    first, *_ = output(saved, "-p", "prune", "--timing").splitlines()
    assert first.startswith("prune: ")
    assert float(first.removesuffix(" s").rpartition(" in ")[2]) >= 0


@pytest.mark.parametrize(
    ("pipeline", "form", "name"),
    [
        ("prune", "float", "float"),
        ("transform", "float", "transformed"),
        (QUANTIZE, "float", "frozen"),
        (f"{QUANTIZE},int8", "int8", "int8"),
        (f"{QUANTIZE},int8,unpack", "float", "frozen"),
    ],
)
def test_form_is_the_one_that_the_pipeline_ends_in(
    saved: Path, tmp_path: Path, pipeline: str, form: str, name: str
) -> None:
    text = output(saved, "-p", pipeline, "-o", tmp_path / "out")
    assert text.endswith(f"saved the {name} form in {tmp_path / 'out'}.\n")
    record = json.loads((tmp_path / "out/qcc.json").read_text())
    assert (record["form"], record["pipelines"]) == (form, [pipeline])


def test_qdq_graph_is_saved_as_qdq(saved: Path, tmp_path: Path) -> None:
    transformed = qcc.PassManager.parse("transform").run(qcc.load(saved))
    for name in transformed.weights:
        if name.endswith("@scale"):
            transformed.weights[name] = transformed.weights[name] * 0 + 2
    qcc.save(transformed, tmp_path / "transformed", check=False)
    text = output(tmp_path / "transformed", "-p", "freeze,qdq,prune", "-o", tmp_path / "out")
    assert "saved the qdq form in" in text
    assert any(op.type == "quantize_linear" for op in qcc.load(tmp_path / "out").graph.ops)


def test_form_may_be_asked_for(saved: Path, tmp_path: Path) -> None:
    assert "saved the int8 form" in output(saved, "-p", QUANTIZE, "-o", tmp_path, "--form", "int8")
    (option,) = (param for param in apply.params if param.name == "form")
    assert tuple(option.type.choices) == fluid.FORMS  # type: ignore[attr-defined]


def test_form_without_output_is_a_mistake(saved: Path) -> None:
    result = invoke(saved, "-p", "prune", "--form", "int8")
    assert result.exit_code == 2
    assert "needs -o" in result.stderr


def test_names_of_the_files_inside_the_folder(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes((saved / "model.pdmodel").read_bytes())
    (tmp_path / "b").write_bytes((saved / "model.pdiparams").read_bytes())
    assert output(tmp_path, "-p", "prune", "--model-filename", "a", "--params-filename", "b")


def test_dumps_are_numbered_graphs_that_parse(saved: Path, tmp_path: Path) -> None:
    output(saved, "-p", QUANTIZE, "--dump-dir", tmp_path / "new/dumps")
    names = sorted(path.name for path in (tmp_path / "new/dumps").iterdir())
    assert names == ["00-input.txt", "01-transform.txt", "02-freeze.txt"]
    ops = [len(parse_graph((tmp_path / "new/dumps" / name).read_text()).ops) for name in names]
    assert ops[1] == ops[0] + 12
    assert ops[2] == ops[1] - 6


def test_notes_of_passes_are_printed(saved: Path, damage: None) -> None:
    text = output(saved, "-p", "damage", "--no-verify")
    assert "damage: a ghost has come.\ndamage: it stays.\n" in text


def test_broken_graph_is_found_dumped_and_not_saved(saved: Path, tmp_path: Path, damage: None) -> None:
    with pytest.raises(VerifyError, match=r"pass 'damage' \(2 of 2; already run: prune\): .*'ghost'"):
        invoke(saved, "-p", "prune,damage", "-o", tmp_path / "out", "--dump-dir", tmp_path / "dumps")
    assert "ghost" in (tmp_path / "dumps/02-damage.txt").read_text()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["-p", "freeze"], PassError, r"pass 'freeze' \(1 of 1; already run: none\): .*run transform first"),
        (["-p", "prun"], PipelineError, "did you mean 'prune'"),
        (["-p", "prune", "-o", "/proc/out"], OutputError, "/proc/out"),
        (["-p", "prune", "--dump-dir", "/proc/dumps"], OutputError, "/proc/dumps"),
    ],
)
def test_mistakes(saved: Path, arguments: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        invoke(saved, *arguments)


def test_what_paddle_does_not_compute_may_be_looked_at_and_is_not_saved(saved: Path, tmp_path: Path) -> None:
    text = output(saved, "-p", "fuse-fc", "--dump-dir", tmp_path / "dumps")
    assert text.startswith("fuse-fc: added 1 fc; removed ")
    assert "fc(" in (tmp_path / "dumps/01-fuse-fc.txt").read_text()
    with pytest.raises(TargetError, match="pass 'fuse-fc', whose result Paddle does not compute"):
        invoke(saved, "-p", "fuse-fc,prune", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pipeline_is_read_before_the_model() -> None:
    with pytest.raises(PipelineError):
        invoke("/nowhere", "-p", "prune{")
    with pytest.raises(ModelFormatError, match="/nowhere"):
        invoke("/nowhere", "-p", "prune")


def test_terminal_gets_a_table(saved: Path) -> None:
    text = output(saved, "-p", f"{QUANTIZE},prune", "--timing", env={"FORCE_COLOR": "1", "COLUMNS": "90"})
    lines = click.unstyle(text).splitlines()
    rows = [line.split() for line in lines if line.startswith(("pass", "freeze", "prune"))]
    assert rows[0] == ["pass", "op", "added", "removed", "changed", "seconds"]
    assert rows[1][:3] == ["freeze", "conv2d", "2"]
    assert ["fake_channel_wise_dequantize_max_abs", "3", "3"] in [line.split() for line in lines]
    assert rows[2][:3] == ["prune", "(no", "op"]


def test_program_saves_the_model_and_says_one_sentence_when_refused(saved: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "qcc", "apply", str(saved), "-o", str(tmp_path), "-p"]
    done = subprocess.run([*command, f"{QUANTIZE},int8"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"next: qcc inspect {tmp_path}\n"
    assert qcc.load(tmp_path).fetches == qcc.load(saved).fetches
    warned = subprocess.run([*command, QUANTIZE], capture_output=True, text=True)
    assert warned.returncode == 0
    lines = warned.stderr.splitlines()[:-1]  # the last one names the next command
    assert lines
    assert all(line.startswith("warning: ") for line in lines), "a Python warning beside the command's own"
    refused = subprocess.run([*command, "int8"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith("qcc: error: pass 'int8'")
