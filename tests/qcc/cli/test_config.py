from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qcc.cli.main import run
from qcc.train.config import load_config

VOC = Path(__file__).parents[3] / "configs/yolov3_mobilenet_v1_voc.yml"


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "list"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert "YoloTrainFeed: What a detector is trained on." in lines
    assert lines == sorted(lines, key=lambda line: line.partition(":")[0].lower())


def test_help_of_a_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "help", "YOLOv3Head"]) == 0

    out = capsys.readouterr().out
    assert out.startswith("YOLOv3Head: The head of YOLOv3")
    assert "\nIt stands in DetectorConfig.\n" in out
    assert "\n  label_smooth=true: true | false. Whether classes are learnt with smoothed labels.\n" in out


def test_help_in_the_other_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "YOLOv3Head", "help"]) == 0
    assert capsys.readouterr().out.startswith("YOLOv3Head: The head of YOLOv3")


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("label_smooth", ["YOLOv3Head"]),
        ("YoloTrainFeed.batch_size", ["YoloTrainFeed"]),
        ("yolotrainfeed.batch_size", ["YoloTrainFeed"]),
        ("strategies.q.weight_bits", ["QuantizationStrategy"]),
        (
            "batch_size",
            ["ClassifierEvalFeed", "ClassifierTrainFeed", "YoloEvalFeed", "YoloTestFeed", "YoloTrainFeed"],
        ),
    ],
)
def test_help_of_a_key(name: str, sections: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "help", name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if line[:1] != " " and ": " in line] == sections
    keys = [line.strip() for line in lines if line.startswith("  ")]
    assert len(keys) == len(sections)
    assert all(key.startswith(name.rpartition(".")[2]) for key in keys)


def test_help_of_an_unknown_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "help", "YoloTrianFeed"]) == 2
    assert "unknown section or key 'YoloTrianFeed'; did you mean 'YoloTrainFeed'?" in capsys.readouterr().err


def test_show_with_the_originals_overrides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = (
        "max_iters=258",
        "LearningRate.base_lr=0.0001",
        "LearningRate.schedulers=[!PiecewiseDecay {gamma: 0.1, milestones: [258, 516]}]",
        "pretrain_weights=weights/yolov3",
        "YoloTrainFeed.batch_size=64",
    )

    assert run(["config", "show", "-o", *overrides, "-c", str(VOC)]) == 0

    copy = tmp_path / "shown.yml"
    copy.write_text(capsys.readouterr().out)
    assert load_config(copy) == load_config(VOC, overrides)


def test_a_web_address_is_refused_as_by_quantize(capsys: pytest.CaptureFixture[str]) -> None:
    line = next(
        number
        for number, text in enumerate(VOC.read_text().splitlines(), start=1)
        if text.startswith("pretrain_weights: http")
    )
    messages = []
    for command in (["config", "show"], ["quantize"]):
        assert run([*command, "-c", str(VOC)]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        messages.append(shown.err)
    assert messages[0] == messages[1]
    assert messages[0].startswith(
        f"qcc: error: {VOC}, line {line}: pretrain_weights: the weights are to come from the web address http://"
    )


def test_no_part_of_it_needs_paddle() -> None:
    program = (
        "import sys; from qcc.cli.main import run\n"
        "assert run(['config', 'list']) == run(['config', 'help', 'YOLOv3Head']) == 0\n"
        f"assert run(['config', 'show', '-c', {str(VOC)!r}, '-o', 'pretrain_weights=null']) == 0\n"
        "assert 'paddle' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
