"""What Paddle's tools leave beside a model, read as the grammar of `--preprocess`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tool_files import (
    BLUE_FIRST,
    BY_PILLOW,
    CENTRES,
    CLASSES,
    DETECTION,
    IMAGENET,
    LINE,
    LINES,
    MATTING,
    NOT_NORMALIZED,
    NOT_NORMALIZED_AT_ALL,
    OF_ONE_SIZE,
    OF_PADDLEX,
    OF_PADDLEX_1,
    OF_PILLOW,
    OLD,
    PADDED_WITH_BLACK,
    PAGES,
    POSES,
    SEGMENTATION,
    TABLE,
    TURNED,
    TURNED_AT_THE_END,
    TWO_STAGES,
    WIDE_CLASSES,
)

from qcc.calibrate.data.beside import copy_beside, load_preprocess, preprocess_beside, recorded_preprocess
from qcc.calibrate.data.preprocess import Preprocess
from qcc.calibrate.data.suites import NAMES, read_foreign
from qcc.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            DETECTION,
            {**IMAGENET, "steps": [{"type": "Resize", "size": [608, 416], "interpolation": "cubic"}]},
        ),
        (
            TWO_STAGES,
            {
                "mean": [123.675, 116.28, 103.53],
                "std": [58.4, 57.1, 57.4],
                "scale": 1.0,
                "steps": [
                    {"type": "Resize", "size": [800, 1333], "keep_ratio": True},
                    {"type": "PadStride", "stride": 32},
                ],
            },
        ),
        (
            NOT_NORMALIZED,
            {
                "steps": [
                    {
                        "type": "Fit",
                        "size": [640, 640],
                        "place": "center",
                        "value": 128,  # OpenCV's pad of 127.5
                        "interpolation": "area",
                    }
                ]
            },
        ),
        (POSES, {**IMAGENET, "steps": [{"type": "Resize", "size": [256, 192]}]}),
        (
            CENTRES,
            {
                "mean": [0.408, 0.447, 0.47],
                "std": [0.289, 0.274, 0.278],
                "channels": "BGR",
                "steps": [{"type": "Fit", "size": [512, 512], "place": "center", "value": 0.0}],
            },
        ),
        (OLD, {**IMAGENET, "steps": [{"type": "Resize", "size": [608, 608], "interpolation": "cubic"}]}),
        (
            OF_PILLOW,
            {
                "scale": 1.0,
                "layout": "NHWC",
                "steps": [
                    {"type": "Resize", "size": [300, 300], "interpolation": "lanczos", "library": "pillow"}
                ],
            },
        ),
        (
            OF_ONE_SIZE,
            {
                **IMAGENET,
                "steps": [
                    {"type": "Resize", "size": [800, 1333], "keep_ratio": True},
                    {"type": "Pad", "size": [1333, 1333]},
                ],
            },
        ),
        (
            CLASSES,
            {
                **IMAGENET,
                "steps": [{"type": "ResizeShort", "length": 256}, {"type": "CenterCrop", "size": [224, 224]}],
            },
        ),
        (
            WIDE_CLASSES,
            {**IMAGENET, "steps": [{"type": "Resize", "size": [80, 160], "interpolation": "cubic"}]},
        ),
        (
            BY_PILLOW,
            {
                "scale": 1.0,
                "steps": [
                    {"type": "ResizeShort", "length": 256, "interpolation": "cubic", "library": "pillow"}
                ],
            },
        ),
        (
            PAGES % "{resize_long: 960}",
            {
                **IMAGENET,
                "channels": "BGR",
                "steps": [{"type": "ResizeLong", "length": 960, "rounding": "down", "multiple": 128}],
            },
        ),
        (
            PAGES % "{resize_long: 960, limit_side_len: 640}",  # of which DetResizeForTest takes the second
            {**IMAGENET, "channels": "BGR", "steps": [{"type": "ResizeLimit", "length": 640}]},
        ),
        (
            PAGES % "{limit_side_len: 960, limit_type: max}",
            {
                **IMAGENET,
                "channels": "BGR",
                "steps": [{"type": "ResizeLimit", "side": "long", "length": 960}],
            },
        ),
        (PAGES % "null", {**IMAGENET, "channels": "BGR", "steps": [{"type": "ResizeLimit"}]}),
        (LINES, {**LINE, "steps": [{"type": "FitHeight", "size": [48, 320], "widest": 3200}]}),
        (TURNED, {**LINE, "steps": [{"type": "FitHeight", "size": [48, 192]}]}),
        (
            NOT_NORMALIZED_AT_ALL,
            {
                "scale": 1.0,
                "steps": [
                    {"type": "Resize", "size": [640, 640], "keep_ratio": True},
                    {"type": "Pad", "size": [640, 640], "value": 114.0},
                ],
            },
        ),
        (
            TURNED_AT_THE_END,
            {
                "channels": "BGR",
                "mean": [0.3, 0.2, 0.1],
                "std": [0.6, 0.5, 0.4],
                "steps": [
                    {"type": "Resize", "size": [8, 8], "keep_ratio": True},
                    {"type": "Pad", "size": [8, 8], "value": [3, 2, 1]},
                ],
            },
        ),
        (
            PADDED_WITH_BLACK,
            {
                "mean": [0.1, 0.2, 0.3],
                "std": [0.4, 0.5, 0.6],
                "steps": [{"type": "Pad", "size": [8, 8], "value": 0}],
            },
        ),
        (BLUE_FIRST, {"channels": "BGR", "scale": 1.0}),
        (
            TABLE,
            {
                **IMAGENET,
                "channels": "BGR",
                "steps": [
                    {"type": "ResizeLong", "length": 488, "rounding": "down"},
                    {"type": "Pad", "size": [488, 488]},
                ],
            },
        ),
        (
            SEGMENTATION,
            {
                "mean": [0.5],
                "std": [0.5],
                "steps": [
                    {"type": "PadRatio", "ratio": 1.5, "value": 128},
                    {"type": "Resize", "size": [224, 398], "sampled_by": "size"},
                ],
            },
        ),
        (
            MATTING,
            {
                **IMAGENET,
                "steps": [
                    {"type": "LimitSide", "side": "short", "most": 512},
                    {"type": "ResizeMultiple"},
                    {
                        "type": "Pad",
                        "size": [512, 1024],
                        "value": [
                            (0.5 * std + mean) * 255 for mean, std in zip(*IMAGENET.values(), strict=True)
                        ],
                    },
                ],
            },
        ),
        (
            OF_PADDLEX,
            {
                **IMAGENET,
                "steps": [{"type": "ResizeShort", "length": 256}, {"type": "CenterCrop", "size": [224, 224]}],
            },
        ),
        (
            OF_PADDLEX_1,
            {
                **IMAGENET,
                "channels": "BGR",
                "steps": [
                    {"type": "Resize", "size": [800, 1333], "keep_ratio": True, "sampled_by": "size"},
                    {"type": "PadStride", "stride": 32},
                ],
            },
        ),
    ],
)
def test_what_each_tool_leaves(text: str, wanted: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "inference.yml").write_text(text)
    found = preprocess_beside(tmp_path / "inference.pdmodel")
    assert found == (Preprocess.model_validate(wanted), tmp_path / "inference.yml")


def test_the_files_that_are_looked_for(tmp_path: Path) -> None:
    assert preprocess_beside(tmp_path / "model.pdmodel") is None
    (tmp_path / "inference.yml").write_text("Global: {model_name: something}\n")
    assert preprocess_beside(tmp_path / "model.pdmodel") is None
    (tmp_path / "infer_cfg.yml").write_text(DETECTION)
    found = preprocess_beside(tmp_path / "model.pdmodel")
    assert found is not None
    assert found[1].name == "infer_cfg.yml"


def test_a_record_is_found_above_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "qcc.json").write_text('{"data": {"preprocess": {"channels": "BGR"}}}')
    (tmp_path / "qdq").mkdir()
    monkeypatch.chdir(tmp_path / "qdq")
    found = recorded_preprocess([Path()])
    assert found == (Preprocess(channels="BGR"), tmp_path / "qcc.json")


@pytest.mark.parametrize(
    "text",
    [
        "Preprocess: [{type: Resize, target_size: 8, use_cv2: true}]",
        "Preprocess: [{type: Resize, target_size: 8, keep_ratio: 0, max_size: null}]",
        PAGES % "{resize_long: 960, max_side_limit: 4000}",
        "Deploy: {transforms: [{type: Padding, target_size: [8, 8], label_padding_value: 255}]}",
    ],
)
def test_keys_that_are_of_no_effect_may_stand_there(text: str, tmp_path: Path) -> None:
    (tmp_path / "infer_cfg.yml").write_text(text)
    assert preprocess_beside(tmp_path / "model.pdmodel") is not None


@pytest.mark.parametrize("name", NAMES)
def test_files_of_other_tools_are_not_looked_at(name: str, tmp_path: Path) -> None:
    """Such as Kubernetes' deploy.yaml: several documents, of other tags."""
    (tmp_path / name).write_text("kind: Deployment\nspec: !Sub here\n---\nkind: Service\n")
    (tmp_path / "copies").mkdir()
    assert preprocess_beside(tmp_path / "model.pdmodel") is None
    assert copy_beside(tmp_path / "model.pdmodel", tmp_path / "copies") == []


def test_a_file_goes_along_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.yml").write_text(OF_PADDLEX)
    (tmp_path / "copies").mkdir()
    assert copy_beside(tmp_path / "model.pdmodel", tmp_path / "copies") == [tmp_path / "copies/model.yml"]
    assert (tmp_path / "copies/model.yml").read_text() == OF_PADDLEX


def test_a_file_that_is_named_may_be_of_either_grammar(tmp_path: Path) -> None:
    own, foreign = tmp_path / "own.yml", tmp_path / "foreign.yml"
    own.write_text("channels: BGR\n")
    foreign.write_text(LINES)
    assert load_preprocess(own) == Preprocess(channels="BGR")
    assert load_preprocess(foreign) == read_foreign(foreign)
    with pytest.raises(ConfigError, match="does not exist"):
        load_preprocess(tmp_path / "missing.yml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Preprocess: [{type: WarpAffine, keep_res: true}]",
            "WarpAffine: only a square is known here, without keep_res",
        ),
        (PAGES % "{image_shape: [64, 64], keep_ratio: true}", "DetResizeForTest: the width"),
        (
            PAGES % "{limit_side_len: 960, limit_type: resize_long}",
            "limit_type should be one of min, max, not",
        ),
        (
            "PreProcess: {transform_ops: [{ResizeImage: {size: 8, backend: x}}]}",
            "backend should be one of cv2, pil, not",
        ),
        ("Preprocess: [{type: Resize, target_size: .inf}]", "target_size should be a whole number, not inf"),
        (
            "PreProcess: {transform_ops: [{NormalizeImage: {scale: 1/0}}]}",
            "scale should be a number, not '1/0'",
        ),
        ("Transforms: [{Normalize: {mean: [0.5], std: [0.5], max_val: [0]}}]", "one max_val above it"),
        ("Preprocess: [{type: Resize}]", "Resize: key 'target_size' is missing"),
        ("Preprocess: [{type: Resize, target_size: [0, 3]}]", "size"),
        (
            "PreProcess: {transform_ops: [{NormalizeImage: {scale: one}}]}",
            "scale should be a number, not 'one'",
        ),
        (
            "Transforms: [{Resize: {target_size: [320, 640], keep_ratio: true}}]",
            "Resize: keep_ratio is known here for squares alone",
        ),
        ("Transforms: [{Normalize: {mean: [0.5], std: [0.5], min_val: [1]}}]", "only a min_val of 0"),
        (
            "Deploy: {transforms: [{type: Padding, target_size: [8, 8], im_padding_value: [1, 2]}]}",
            "value of Pad",
        ),
        (
            "Preprocess: [{type: Resize, target_size: 8, keep_ration: true}]",
            "'keep_ration' is unknown, and much",
        ),
        (
            "Preprocess: [{type: Resize, target_szie: 8}]",
            "'target_szie' is unknown, and much like 'target_size'",
        ),
        (
            "Preprocess: [{type: Resize, target_size: 8, keep_ratio: 'false'}]",
            "Resize: keep_ratio should be true or false, not 'false'; --preprocess FILE.yml can say",
        ),
        ("Preprocess: [{type: Resize, target_size: [8.5, 8]}]", "should be a whole number, not 8.5"),
        ("Preprocess: [{type: Resize, target_size: [8, 8, 8]}]", "target_size should be one size, or two"),
        ("Preprocess: [{type: Resize, target_size: 8, interp: 9}]", "interp should be one of 0, 1, 2"),
        (
            "Preprocess: [{type: Resize, target_size: 8, interp: 5, use_cv2: false}]",
            "interp should be one of 0, 1, 2, 3, 4, not 5",
        ),
        (
            "Preprocess: [{type: Resize, target_size: 8, max_size: 9, use_cv2: false}]",
            "Resize: max_size goes with use_cv2: true alone",
        ),
        ("Preprocess: [{type: NormalizeImage, norm_type: std}]", "should be mean_std or none, not 'std'"),
        (f"Preprocess: [{{type: NormalizeImage, mean: 1{'0' * 400}}}]", "mean should be a number, not 1000"),
        ("Preprocess: [{type: NormalizeImage, mean: true}]", "mean should be a number, not True"),
        ("Preprocess: [{Resize: 8}]", "Resize: its options should be keys with values, not 8"),
        (
            "Preprocess: [{type: NormalizeImage}, {type: Pad, size: 8, fill_value: [1, 2]}]",
            "Pad: it pads with 2 values, where mean has 3",
        ),
        ("Deploy: {transforms: [{type: RandomNoise}]}", "images go through RandomNoise, which qcc does not"),
        ("Preprocess: [", "line 1: this is not YAML"),
        ("Preprocess: !!python/object/apply:os.system [true]", "line 1: tag .* is not known"),
    ],
)
def test_files_that_cannot_be_followed(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "infer_cfg.yml").write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        preprocess_beside(tmp_path / "model.pdmodel")
    assert str(tmp_path / "infer_cfg.yml") in str(caught.value)
