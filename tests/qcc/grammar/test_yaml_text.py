"""A configuration that is written says what it said."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcc.grammar.yaml_text import as_yaml, value_as_yaml
from qcc.train.config import load_config

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.yml"))
OVERRIDES = (
    "LearningRate.base_lr=1e-30",
    "LearningRate.schedulers=[!PiecewiseDecay {gamma: 0.1, milestones: [8, 16]}, !LinearWarmup {steps: 3}]",
    "pretrain_weights='yes: no'",
    "save_dir='1'",
)


@pytest.mark.parametrize("overrides", [(), OVERRIDES], ids=["as it is", "overridden"])
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_reads_back_to_the_same(path: Path, overrides: tuple[str, ...], tmp_path: Path) -> None:
    config = load_config(path, overrides)
    copy = tmp_path / "copy.yml"

    copy.write_text(as_yaml(config))

    assert load_config(copy) == config
    assert as_yaml(load_config(copy)) == copy.read_text()


def test_web_addresses_stay_whole() -> None:
    text = as_yaml(load_config(CONFIGS[0].with_name("yolov3_mobilenet_v1_voc.yml")))

    assert (
        "pretrain_weights: http://paddle-imagenet-models-name.bj.bcebos.com/MobileNetV1_pretrained.tar\n"
        in text
    )


def test_tags_are_written_as_tags() -> None:
    text = as_yaml(load_config(CONFIGS[0], OVERRIDES))

    assert "- !PiecewiseDecay" in text
    assert "type: PiecewiseDecay" not in text
    assert "type: Momentum" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("", "''"),
        ("bn", "bn"),
        ("1e-4", "'1e-4'"),
        (0.1, "0.1"),
        ([[1, 2], [3]], "[[1, 2], [3]]"),
    ],
)
def test_values_on_one_line(value: object, text: str) -> None:
    assert value_as_yaml(value) == text
    assert "\n" not in value_as_yaml(list(range(200)))
