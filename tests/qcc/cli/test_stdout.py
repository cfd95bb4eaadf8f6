"""Standard output that is full, closed or not read any more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nets
import pytest
from full_disk import SENTENCE, run_on_full_disk

import qcc
from qcc.cli.main import COMMANDS
from qcc.cli.stdout import echo

CONFIG = Path(__file__).parents[3] / "configs" / "yolov3_mobilenet_v1_tree_crowns.yml"
# What needs data or a training run is tried in tests/train.
PRINTING = [
    ["apply", "MODEL", "-p", "transform{activation_type=abs_max}", "--timing"],
    ["apply", "MODEL", "-p", "transform{activation_type=abs_max}", "-o", "OUT"],
    ["check", "MODEL", "--target", "lite-arm"],
    ["config", "list"],
    ["config", "help", "YOLOv3Head"],
    ["config", "show", "-c", str(CONFIG)],
    ["doctor"],
    ["dump-graph", "MODEL", "--dot", "OUT.dot"],
    ["export", "MODEL", "--target", "lite", "--arch", "arm", "-o", "OUT.nb"],
    ["inspect", "MODEL"],
    ["inspect", "MODEL", "--json"],
    ["passes"],
    ["passes", "transform"],
    ["--version"],
    ["--help"],
    *([name, "--help"] for name in COMMANDS),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small float model."""
    folder = tmp_path_factory.mktemp("float")
    qcc.save(nets.build(nets.residual_net)["test"], folder, check=False)
    return folder


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_a_full_disk_is_one_sentence(
    words: list[str], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"MODEL": str(model), **{name: str(tmp_path / name) for name in ("OUT", "OUT.dot", "OUT.nb")}}
    assert run_on_full_disk([places.get(word, word) for word in words]) == 2
    assert capsys.readouterr().err == SENTENCE


def program(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "qcc", *words]


def test_the_program_on_a_full_disk() -> None:
    with open("/dev/full", "w") as stream:
        done = subprocess.run(program(["passes"]), stdout=stream, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, SENTENCE)


@pytest.mark.parametrize("words", [["passes"], ["config", "show", "-c", str(CONFIG)]], ids=" ".join)
def test_the_program_before_a_reader_that_has_gone(words: list[str]) -> None:
    with subprocess.Popen(program(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_the_program_without_standard_output() -> None:
    words = ["sh", "-c", 'exec "$@" >&-', "sh", *program(["passes"])]
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "next: qcc passes NAME\n")


def test_what_is_written_arrives_as_it_is() -> None:
    script = "import sys; from qcc.cli.main import main; main()"
    words = [sys.executable, "-c", script, "config", "help", "YOLOv3Head"]
    plain = "import sys; from qcc.cli.main import run; sys.exit(run(sys.argv[1:]))"
    outputs = [
        subprocess.run([*words[:2], text, *words[3:]], capture_output=True) for text in (script, plain)
    ]
    assert outputs[0].stdout == outputs[1].stdout
    assert outputs[0].stdout


def test_what_acts_on_a_terminal_is_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    echo("\x1b[31mred\x1b[0m: \u202ename")
    echo("\x07", err=True)
    printed = capsys.readouterr()
    assert printed.out == "\\x1b[31mred\\x1b[0m: \\u202ename\n"
    assert printed.err == "\\x07\n"
