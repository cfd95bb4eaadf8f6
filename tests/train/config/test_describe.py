"""Every section and key is explained, from the schema alone."""

from __future__ import annotations

import pytest

from qcc.errors import ConfigError
from qcc.train.config import DetectorConfig
from qcc.train.config.describe import describe, describe_all

NAMES = [description.name for description in describe_all()]


def test_sections_go_by_the_names_that_files_give_them() -> None:
    assert {"YOLOv3Head", "ResNet34", "ResNet50", "PiecewiseDecay", "MultiClassNMS"} < set(NAMES)
    assert {"DetectorConfig", "ClassifierConfig", "QuantizationStrategy", "Compressor"} < set(NAMES)
    assert not {"TrainingConfig", "ResNetClassifier"} & set(NAMES)  # names that no file has


@pytest.mark.parametrize("name", NAMES)
def test_every_section_and_key_is_explained(name: str) -> None:
    description = describe(name)

    assert description.summary.endswith(".")
    for key in description.keys:
        assert key.text.endswith("."), key
        assert key.values, key


def test_keys_are_those_of_the_schema() -> None:
    assert [key.name for key in describe("DetectorConfig").keys] == DetectorConfig.known_keys()


def test_values_and_defaults() -> None:
    keys = {key.name: key for key in describe("YOLOv3Head").keys}

    assert keys["ignore_thresh"].values == "number >= 0, <= 1"
    assert keys["ignore_thresh"].default == "0.7"
    assert keys["anchors"].values == "[[integer > 0, integer > 0], ...]"
    assert keys["anchor_masks"].default == "[[6, 7, 8], [3, 4, 5], [0, 1, 2]]"
    assert keys["label_smooth"].values == "true | false"
    assert (keys["nms"].values, keys["nms"].default) == ("MultiClassNMS", "{}")
    top = {key.name: key for key in describe("DetectorConfig").keys}
    assert (top["num_classes"].default, top["max_iters"].default) == ("", "null")
    assert top["pretrain_weights"].values == "path | null"
    assert top["metric"].values == "VOC | COCO"


def test_where_a_section_stands() -> None:
    assert describe("MultiClassNMS").holders == ("YOLOv3Head",)
    assert describe("PiecewiseDecay").holders == ("LearningRate",)
    assert describe("ResNet50").holders == ("ClassifierConfig",)
    assert describe("DetectorConfig").holders == ()


def test_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown section 'YOLOv3Hed'; did you mean 'YOLOv3Head'\?"):
        describe("YOLOv3Hed")
    with pytest.raises(ConfigError, match=r"did you mean 'YOLOv3Head'\?"):
        describe("yolov3head")
