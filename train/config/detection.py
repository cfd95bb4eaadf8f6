"""What the configuration of a detector may say: PaddleDetection's grammar of the time of Paddle 1.6."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from qcc.train.config.schema import Probability, TrainingConfig
from qcc.train.config.section import Section

Anchor = Annotated[tuple[PositiveInt, PositiveInt], Field(description="width and height in pixels")]
ImageShape = tuple[Literal[3], PositiveInt, PositiveInt]
COARSEST_STRIDE = 32


class MobileNet(Section):
    """MobileNetV1. `conv_group_scale` multiplies every channel count. `sync_bn` is `bn` in one process."""

    norm_type: Literal["bn", "sync_bn"] = "bn"
    norm_decay: NonNegativeFloat = 0.0
    conv_group_scale: PositiveFloat = 1
    with_extra_blocks: Literal[False] = False


class ResNet(Section):
    """ResNet as a backbone. `feature_maps` are those that YOLOv3 uses: strides 8, 16 and 32."""

    depth: Literal[34] = 34
    norm_type: Literal["bn", "sync_bn"] = "bn"
    norm_decay: NonNegativeFloat = 0.0
    feature_maps: tuple[Literal[3], Literal[4], Literal[5]] = (3, 4, 5)
    freeze_at: Literal[0] = 0
    freeze_norm: Literal[False] = False


class MultiClassNMS(Section):
    """Non-maximum suppression per class. `normalized`: whether boxes are fractions instead of pixels."""

    background_label: int = -1
    keep_top_k: PositiveInt = 100
    nms_threshold: Probability = 0.45
    nms_top_k: PositiveInt = 1000
    normalized: bool = False
    score_threshold: Probability = 0.01


class YOLOv3Head(Section):
    """`anchors` in pixels of the network's input; `anchor_masks`: which of them each output uses, the one of
    stride 32 first. `scale` multiplies every channel count."""

    anchors: tuple[Anchor, ...] = (
        (10, 13),
        (16, 30),
        (33, 23),
        (30, 61),
        (62, 45),
        (59, 119),
        (116, 90),
        (156, 198),
        (373, 326),
    )
    anchor_masks: tuple[tuple[NonNegativeInt, ...], ...] = ((6, 7, 8), (3, 4, 5), (0, 1, 2))
    norm_decay: NonNegativeFloat = 0.0
    ignore_thresh: Probability = 0.7
    label_smooth: bool = True
    scale: PositiveFloat = 1.0
    nms: MultiClassNMS = MultiClassNMS()

    @model_validator(mode="after")
    def _masks_fit(self) -> YOLOv3Head:
        if not 1 <= len(self.anchor_masks) <= 3:
            raise ValueError(f"anchor_masks must name 1 to 3 outputs, not {len(self.anchor_masks)}")
        used = [number for mask in self.anchor_masks for number in mask]
        if max(used, default=-1) >= len(self.anchors) or any(not mask for mask in self.anchor_masks):
            raise ValueError(f"anchor_masks must name some of the anchors 0 to {len(self.anchors) - 1} each")
        return self


class YOLOv3(Section):
    backbone: Literal["MobileNet", "ResNet"] = "MobileNet"
    yolo_head: Literal["YOLOv3Head"] = "YOLOv3Head"


class DetectionDataset(Section):
    """`annotation`: COCO's .json, or a list in the layout of Pascal VOC, relative to `dataset_dir`.
    `image_dir`: what image paths are relative to, by default `dataset_dir`. Class names are those of the
    .json; else VOC's 20 with `use_default_label`, or the lines of label_list.txt."""

    dataset_dir: Path = Path(".")
    annotation: str = ""
    image_dir: str = ""
    use_default_label: bool = False


class Augmentation(Section):
    """How strongly training images are changed. `mixup_alpha`, `mixup_beta`: of the Beta distribution that
    the share of the first image is drawn from; `distort_probability`: of each change of colour;
    `expand_ratio`: by which the canvas grows at most; `crop`: whether to cut out parts."""

    mixup_alpha: PositiveFloat = 1.5
    mixup_beta: PositiveFloat = 1.5
    distort_probability: Probability = 0.5
    expand_ratio: Annotated[float, Field(ge=1)] = 4.0
    expand_probability: Probability = 0.5
    crop: bool = True
    flip_probability: Probability = 0.5


class YoloTrainFeed(Section):
    """`mixup_epoch`: up to which pass over the data two images are blended; `random_shapes`: heights (and
    widths) of which each batch takes one at random; `num_max_boxes`: boxes per image, further ones are left
    out. `bufsize` and `use_process` are accepted and have no effect: workers are always processes."""

    batch_size: PositiveInt = 8
    dataset: DetectionDataset = DetectionDataset()
    num_workers: NonNegativeInt = 0
    mixup_epoch: int = 250
    num_max_boxes: PositiveInt = 50
    random_shapes: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = tuple(range(320, 609, 32))
    augmentation: Augmentation = Augmentation()
    bufsize: PositiveInt | None = None
    use_process: bool | None = None

    @model_validator(mode="after")
    def _shapes_fit(self) -> YoloTrainFeed:
        for side in self.random_shapes:
            if side % COARSEST_STRIDE:
                raise ValueError(f"random_shapes must be multiples of {COARSEST_STRIDE}, unlike {side}")
        return self


class YoloEvalFeed(Section):
    """`image_shape`: channels, height, width that images are resized to."""

    batch_size: PositiveInt = 8
    dataset: DetectionDataset = DetectionDataset()
    num_workers: NonNegativeInt = 0
    image_shape: ImageShape = (3, 608, 608)
    bufsize: PositiveInt | None = None
    use_process: bool | None = None

    @model_validator(mode="after")
    def _shape_fits(self) -> YoloEvalFeed:
        if any(side % COARSEST_STRIDE for side in self.image_shape[1:]):
            raise ValueError(
                f"image_shape must have sides that are multiples of {COARSEST_STRIDE},"
                f" unlike {list(self.image_shape)}"
            )
        return self


class YoloTestFeed(YoloEvalFeed):
    """What `qcc infer` reads; of the data set only the class names."""

    batch_size: PositiveInt = 1


class DetectorConfig(TrainingConfig):
    """YOLOv3. `max_iters`: batches per epoch, as the original's compress.py counts them, by default one pass
    over the data. Of no effect are `log_smooth_window`, `snapshot_iter` and `weights`, which the original's
    other programs read."""

    architecture: Literal["YOLOv3"]
    train_feed: Literal["YoloTrainFeed"] = "YoloTrainFeed"
    eval_feed: Literal["YoloEvalFeed"] = "YoloEvalFeed"
    test_feed: Literal["YoloTestFeed"] = "YoloTestFeed"
    use_gpu: bool = False
    max_iters: PositiveInt | None = None
    log_smooth_window: PositiveInt | None = None
    snapshot_iter: PositiveInt | None = None
    metric: Literal["VOC", "COCO"] = "COCO"
    map_type: Literal["11point", "integral"] = "11point"
    weights: Path | None = None
    num_classes: PositiveInt
    yolov3: YOLOv3 = Field(alias="YOLOv3", default=YOLOv3())
    mobilenet: MobileNet = Field(alias="MobileNet", default=MobileNet())
    resnet: ResNet = Field(alias="ResNet", default=ResNet())
    head: YOLOv3Head = Field(alias="YOLOv3Head", default=YOLOv3Head())
    yolo_train_feed: YoloTrainFeed = Field(alias="YoloTrainFeed", default=YoloTrainFeed())
    yolo_eval_feed: YoloEvalFeed = Field(alias="YoloEvalFeed", default=YoloEvalFeed())
    yolo_test_feed: YoloTestFeed = Field(alias="YoloTestFeed", default=YoloTestFeed())
