"""Files of other programs, and of the other option, say in one sentence what they are and what does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcc.errors import ConfigError
from qcc.train.config import load_config, load_slim

# The first lines of files as these programs ship them.
FOREIGN = {
    "_BASE_": """\
_BASE_: [
  '../datasets/voc.yml',
  '_base_/optimizer_270e.yml',
]
snapshot_epoch: 5
weights: output/yolov3_mobilenet_v1_270e_voc/model_final
""",
    "slim": """\
pretrain_weights: https://paddledet.bj.bcebos.com/models/yolov3_mobilenet_v1_270e_coco.pdparams
slim: QAT
QAT:
  quant_config: {weight_quantize_type: channel_wise_abs_max, weight_bits: 8, not_quant_pattern: [skip_quant]}
  print_model: True
""",
    "TrainDataset": """\
metric: VOC
num_classes: 20
TrainDataset:
  !VOCDataSet
    dataset_dir: dataset/voc
""",
    "YOLOv3.neck": """\
architecture: YOLOv3
norm_type: sync_bn
YOLOv3:
  backbone: MobileNet
  neck: YOLOv3FPN
  yolo_head: YOLOv3Head
  post_process: BBoxPostProcess
""",
    "TrainConfig": """\
Distillation: {alpha: 1.0, loss: l2}
TrainConfig: {epochs: 1, eval_iter: 500, learning_rate: 0.0001}
""",
    "QuantAware": """\
Global: {reader_config: configs/yolo_reader.yml, model_dir: ./yolov3, Evaluation: True}
Distillation: {alpha: 1.0, loss: soft_label}
QuantAware: {use_pact: true, activation_quantize_type: moving_average_abs_max, onnx_format: True}
""",
    "QuantPost": "QuantPost: {batch_size: 32, algorithm: hist}\n",
    "Arch": "Global: {checkpoints: null, epochs: 120}\nArch: {name: MobileNetV1, class_num: 1000}\n",
    "train_dataset": "batch_size: 2\niters: 80000\ntrain_dataset: {type: Cityscapes}\nmodel: {type: A}\n",
    "_base_": "_base_: '../_base_/cityscapes.yml'\nmodel: {type: PPLiteSeg}\n",
    "arch": "mode: paddle\nmetric: COCO\narch: YOLO\nPreprocess: []\nlabel_list: [person]\n",
}
NAMES = {
    "PaddleDetection 2": ["_BASE_", "slim", "TrainDataset", "YOLOv3.neck", "arch"],
    "PaddleSlim's auto compression (ACT)": ["TrainConfig", "QuantAware", "QuantPost"],
    "PaddleClas": ["Arch"],
    "PaddleSeg": ["train_dataset", "_base_"],
}


@pytest.mark.parametrize("load", [load_config, load_slim])
@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in NAMES.items() for key in keys])
def test_what_it_is_and_what_does_it(
    tmp_path: Path, load: Callable[[Path], Any], name: str, key: str
) -> None:
    path = tmp_path / "file.yml"
    path.write_text(FOREIGN[key])
    with pytest.raises(ConfigError) as error:
        load(path)
    first = next(
        number
        for number, line in enumerate(FOREIGN[key].splitlines(), start=1)
        if line.strip().startswith(f"{key.rpartition('.')[2]}:")
    )
    message = str(error.value)
    assert message.startswith(f"{path}, line {first}: key '{key}' is of {name}, and qcc's ")
    assert ("PaddleDetection 0.1" if load is load_config else "Paddle's Compressor") in message
    assert "`qcc quantize MODEL --data PHOTOS -o OUT` quantizes the inference model" in message


def test_a_tag_gives_a_file_away(tmp_path: Path) -> None:
    path = tmp_path / "file.yml"
    path.write_text("architecture: YOLOv3\nOther:\n  !COCODataSet\n    image_dir: train\n")
    with pytest.raises(ConfigError, match=r"line 3: tag '!COCODataSet' is of PaddleDetection 2"):
        load_config(path)


def test_the_files_of_the_other_option(tmp_path: Path) -> None:
    path = tmp_path / "file.yml"
    path.write_text("version: 1.0\ncompressor: {epoch: 1}\n")
    with pytest.raises(
        ConfigError, match=r"line 2: key 'compressor' is of a slim file, which -s takes: `qcc q"
    ):
        load_config(path)
    path.write_text("seed: 1\narchitecture: YOLOv3\n")
    with pytest.raises(
        ConfigError, match=r"line 2: key 'architecture' is of a training conf.* -s SLIM -c .*yml`"
    ):
        load_slim(path)


@pytest.mark.parametrize("text", ["[a]: 1\n", "{a: 1}: 2\n", "a: [1\n", "- a\n", "", "QuantAwar: 1\n"])
def test_what_is_no_such_file_is_told_as_before(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"file\.yml") as error:
        load_config(path)
    assert "is of" not in str(error.value)
