"""Every command of docs/from-paddledetection.md does what it says, with a tiny network and data set."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from tiny_detector import write_detector_config

from qcc.cli.main import run

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[2] / "docs/from-paddledetection.md"
SLIM = """\
version: 1.0
strategies:
    quantization_strategy:
        class: 'QuantizationStrategy'
        start_epoch: 0
        end_epoch: 1
        weight_quantize_type: 'abs_max'
        activation_quantize_type: 'moving_average_abs_max'
        save_in_nodes: ['image', 'im_size']
        save_out_nodes: ['multiclass_nms_0.tmp_0']
compressor:
    epoch: 2
    checkpoint_path: './checkpoints/yolov3/'
    strategies:
        - quantization_strategy
"""


def commands() -> list[list[str]]:
    (block,) = re.findall(r"^```\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    text = (
        block.replace("\\\n", " ")
        .replace("max_iters=258", "max_iters=2")
        .replace("batch_size=64", "batch_size=4")
    )
    return [shlex.split(line)[1:] for line in text.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the commands name, in which all of them have been run."""
    folder = tmp_path_factory.mktemp("original")
    (folder / "configs/slim").mkdir(parents=True)
    (folder / "configs/slim/yolov3_mobilenet_v1_slim.yaml").write_text(SLIM)
    write_detector_config(folder).rename(folder / "configs/yolov3_mobilenet_v1_voc.yml")
    (folder / "dataset").mkdir()
    (folder / "data").rename(folder / "dataset/voc")  # where the configuration does not look, but -d does
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in commands():
            assert run(words) == 0, words
    return folder


def test_the_flow_reaches_its_end(folder: Path) -> None:
    assert (folder / "output/seen/test_0.png").exists()
    assert (folder / "output/test_0.png").exists()
    names = {path.name for path in (folder / "output/frozen/float").iterdir()}
    assert names == {"model", "weights", "qcc.json"}
    for board in ("numbers", "board"):
        assert list((folder / "output" / board).glob("events.out.tfevents.*"))


@pytest.mark.parametrize("name", ["detections", "before", "after"])
def test_detections_are_a_list_in_cocos_format(folder: Path, name: str) -> None:
    found = json.loads((folder / "output" / name / "bbox.json").read_text())

    assert found
    for one in found:
        assert 0 <= one["image_id"] < 6
        assert one["category_id"] in (0, 1)
        assert 0 <= one["score"] <= 1
        assert min(one["bbox"][2:]) > 0
        assert set(one) == {"image_id", "category_id", "bbox", "score"}


def test_weights_are_rounded_as_told(folder: Path) -> None:
    history = json.loads((folder / "output/frozen/int8/qcc.json").read_text())
    assert "freeze{weight_type=abs_max}" in json.dumps(history)
