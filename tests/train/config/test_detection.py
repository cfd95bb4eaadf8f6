"""PaddleDetection's files are read as they are; what it would not have understood is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcc.errors import ConfigError
from qcc.train.config import DetectorConfig, load_config, load_slim

CONFIGS = Path(__file__).parents[3] / "configs"
VOC, COCO = CONFIGS / "yolov3_mobilenet_v1_voc.yml", CONFIGS / "yolov3_mobilenet_v1.yml"

MINIMAL = """\
architecture: YOLOv3
num_classes: 2
LearningRate: {base_lr: 0.001}
"""


def load(path: Path, *overrides: str) -> DetectorConfig:
    config = load_config(path, overrides)
    assert isinstance(config, DetectorConfig)
    return config


def test_voc_file() -> None:
    config = load(VOC)

    assert (config.metric, config.map_type, config.num_classes) == ("VOC", "11point", 20)
    assert config.max_iters == 70000
    assert config.head.anchors[8] == (373, 326)
    assert config.head.nms.keep_top_k == 100
    assert not config.head.label_smooth
    assert config.yolo_train_feed.mixup_epoch == 250
    assert config.yolo_train_feed.random_shapes == tuple(range(320, 609, 32))
    assert config.yolo_train_feed.num_max_boxes == 50
    assert config.yolo_eval_feed.image_shape == (3, 608, 608)
    schedule = config.learning_rate.schedule()
    assert schedule.rate(500) == pytest.approx(0.0005)
    assert schedule.rate(55000) == pytest.approx(0.0001)


def test_coco_file() -> None:
    config = load(COCO)

    assert (config.metric, config.num_classes, config.head.label_smooth) == ("COCO", 80, True)
    assert config.yolo_eval_feed.dataset.image_dir == "val2017"


def test_slim_file() -> None:
    slim = load_slim(CONFIGS / "slim" / "yolov3_mobilenet_v1_slim.yaml")

    assert slim.epochs == 5
    assert slim.strategy.save_out_nodes == ("multiclass_nms_0.tmp_0",)


def test_the_originals_overrides() -> None:
    config = load(
        VOC,
        "max_iters=258",
        "LearningRate.base_lr=0.0001",
        "LearningRate.schedulers=[!PiecewiseDecay {gamma: 0.1, milestones: [258, 516]}]",
        "pretrain_weights=weights/yolov3",
        "YoloTrainFeed.batch_size=64",
    )

    assert config.max_iters == 258
    assert config.yolo_train_feed.batch_size == 64
    assert config.learning_rate.schedule().rate(516) == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("YOLOv3Hed: {}\n", "line 4: unknown key 'YOLOv3Hed'; did you mean 'YOLOv3Head'?"),
        (
            "YOLOv3Head:\n  ignore_tresh: 0.5\n",
            "line 5: in YOLOv3Head: unknown key 'ignore_tresh'; did you mean",
        ),
        (
            "YOLOv3Head: {anchors: [[1, 2]]}\n",
            "YOLOv3Head: anchor_masks must name some of the anchors 0 to 0",
        ),
        ("YoloTrainFeed: {random_shapes: [320, 330]}\n", "random_shapes must be multiples of 32, unlike 330"),
        (
            "YoloEvalFeed: {image_shape: [3, 600, 600]}\n",
            "image_shape must have sides that are multiples of 32",
        ),
        ("MobileNet: {with_extra_blocks: true}\n", "MobileNet.with_extra_blocks"),
        ("max_iters: 3.7\n", "line 4: max_iters: it should be a valid integer, not 3.7."),
        ('use_gpu: "yes"\n', "line 4: use_gpu: it should be a valid boolean, not 'yes'."),
        ("YOLOv3Head: {anchor_masks: [[0, true]]}\n", "line 4: YOLOv3Head.anchor_masks[0][1]: it should be"),
        ("MobileNet: {conv_group_scale: true}\n", "conv_group_scale: it should be a valid number, not True."),
        ("map_type: 12point\n", "line 4: map_type: it should be '11point' or 'integral'"),
    ],
)
def test_errors_name_line_and_key(tmp_path: Path, added: str, message: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(MINIMAL + added)

    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert message in str(error.value)
