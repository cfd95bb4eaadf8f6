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

from qcc.grammar.section import Section, YamlPath
from qcc.train.config.optimization import Probability
from qcc.train.config.schema import TrainingConfig

Anchor = Annotated[tuple[PositiveInt, PositiveInt], Field(description="width and height in pixels")]
Side = Annotated[PositiveInt, Field(le=8192)]
ImageShape = tuple[Literal[3], Side, Side]
COARSEST_STRIDE = 32


class MobileNet(Section):
    """The backbone MobileNetV1."""

    norm_type: Literal["bn", "sync_bn"] = "bn"
    """Batch norm; `sync_bn` is read as `bn`: every process normalises by its own batch."""
    norm_decay: NonNegativeFloat = 0.0
    """L2 factor of the batch norms' parameters."""
    conv_group_scale: PositiveFloat = 1
    """Factor on every channel count."""
    with_extra_blocks: Literal[False] = False
    """Further blocks, for SSD; YOLOv3 has none."""


class ResNet(Section):
    """The backbone ResNet."""

    depth: Literal[34] = 34
    """Layers."""
    norm_type: Literal["bn", "sync_bn"] = "bn"
    """Batch norm; `sync_bn` is read as `bn`: every process normalises by its own batch."""
    norm_decay: NonNegativeFloat = 0.0
    """L2 factor of the batch norms' parameters."""
    feature_maps: tuple[Literal[3], Literal[4], Literal[5]] = (3, 4, 5)
    """Those that YOLOv3 uses: strides 8, 16 and 32."""
    freeze_at: Literal[0] = 0
    """Stages that are not trained: none."""
    freeze_norm: Literal[False] = False
    """Whether batch norms are not trained: they are."""


class MultiClassNMS(Section):
    """Non-maximum suppression per class."""

    background_label: int = -1
    """The class that is no object; -1: there is none."""
    keep_top_k: PositiveInt = 100
    """Detections per image that are kept at the end."""
    nms_threshold: Probability = 0.45
    """Boxes that overlap a likelier one by more (IoU) are dropped."""
    nms_top_k: PositiveInt = 1000
    """Boxes per class that are looked at, the likeliest first."""
    normalized: bool = False
    """Whether boxes are fractions instead of pixels."""
    score_threshold: Probability = 0.01
    """Boxes that score less are dropped first."""


class YOLOv3Head(Section):
    """The head of YOLOv3: what is predicted from the backbone's feature maps."""

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
    """Typical boxes, in pixels of the network's input."""
    anchor_masks: tuple[tuple[NonNegativeInt, ...], ...] = ((6, 7, 8), (3, 4, 5), (0, 1, 2))
    """Which of the anchors each output uses, the output of stride 32 first."""
    norm_decay: NonNegativeFloat = 0.0
    """L2 factor of the batch norms' parameters."""
    ignore_thresh: Probability = 0.7
    """A prediction that overlaps a box by more (IoU) without being its own is not called wrong."""
    label_smooth: bool = True
    """Whether classes are learnt with smoothed labels."""
    scale: PositiveFloat = 1.0
    """Factor on every channel count."""
    nms: MultiClassNMS = MultiClassNMS()
    """How overlapping detections are thinned out."""

    @model_validator(mode="after")
    def _masks_fit(self) -> YOLOv3Head:
        if not 1 <= len(self.anchor_masks) <= 3:
            raise ValueError(f"anchor_masks must name 1 to 3 outputs, not {len(self.anchor_masks)}")
        used = [number for mask in self.anchor_masks for number in mask]
        if max(used, default=-1) >= len(self.anchors) or any(not mask for mask in self.anchor_masks):
            raise ValueError(f"anchor_masks must name some of the anchors 0 to {len(self.anchors) - 1} each")
        return self


class YOLOv3(Section):
    """The parts of the detector, each described by the section of its name."""

    backbone: Literal["MobileNet", "ResNet"] = "MobileNet"
    """What computes feature maps."""
    yolo_head: Literal["YOLOv3Head"] = "YOLOv3Head"
    """What predicts boxes from them."""


class DetectionDataset(Section):
    """A data set of images with boxes, in the layout of COCO or of Pascal VOC."""

    dataset_dir: YamlPath = Path(".")
    """The folder; `-d` takes its place."""
    annotation: str = ""
    """COCO's .json, or a list of images and XML files, relative to `dataset_dir`."""
    image_dir: str = ""
    """What image paths are relative to, inside `dataset_dir`."""
    use_default_label: bool = False
    """Without a .json: VOC's 20 class names, instead of the lines of label_list.txt."""


class Augmentation(Section):
    """How strongly training images are changed."""

    mixup_alpha: PositiveFloat = 1.5
    """Of the Beta distribution that the share of the first of two blended images is drawn from."""
    mixup_beta: PositiveFloat = 1.5
    """Of the same distribution."""
    distort_probability: Probability = 0.5
    """Of each change of colour."""
    expand_ratio: Annotated[float, Field(ge=1)] = 4.0
    """By which the canvas grows at most."""
    expand_probability: Probability = 0.5
    """Of growing it."""
    crop: bool = True
    """Whether parts are cut out."""
    flip_probability: Probability = 0.5
    """Of mirroring left and right."""


class YoloTrainFeed(Section):
    """What a detector is trained on."""

    batch_size: PositiveInt = 8
    """Images per step, of each process."""
    dataset: DetectionDataset = DetectionDataset()
    """Where they come from."""
    num_workers: NonNegativeInt = 0
    """Processes that prepare them; 0: the training process does."""
    mixup_epoch: int = 250
    """Up to which pass over the data two images are blended."""
    num_max_boxes: Annotated[PositiveInt, Field(le=10_000)] = 50
    """Boxes per image; further ones are left out."""
    random_shapes: Annotated[tuple[Side, ...], Field(min_length=1)] = tuple(range(320, 609, 32))
    """Heights (and widths) of which each batch takes one at random."""
    augmentation: Augmentation = Augmentation()
    """How strongly images are changed."""
    bufsize: PositiveInt | None = None
    """Has no effect."""
    use_process: bool | None = None
    """Has no effect: workers are always processes."""

    @model_validator(mode="after")
    def _shapes_fit(self) -> YoloTrainFeed:
        for side in self.random_shapes:
            if side % COARSEST_STRIDE:
                raise ValueError(f"random_shapes must be multiples of {COARSEST_STRIDE}, unlike {side}")
        return self


class YoloEvalFeed(Section):
    """What a detector is evaluated on."""

    batch_size: PositiveInt = 8
    """Images per run."""
    dataset: DetectionDataset = DetectionDataset()
    """Where they come from."""
    num_workers: NonNegativeInt = 0
    """Processes that prepare them; 0: the evaluating process does."""
    image_shape: ImageShape = (3, 608, 608)
    """Channels, height and width that images are resized to."""
    bufsize: PositiveInt | None = None
    """Has no effect."""
    use_process: bool | None = None
    """Has no effect: workers are always processes."""

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
    """Has no effect: images are looked at one at a time."""
    num_workers: NonNegativeInt = 0
    """Has no effect, for the same reason."""


class DetectorConfig(TrainingConfig):
    """A detector's configuration file."""

    architecture: Literal["YOLOv3"]
    """The network, described by the section of its name."""
    train_feed: Literal["YoloTrainFeed"] = "YoloTrainFeed"
    """The section that says what it is trained on."""
    eval_feed: Literal["YoloEvalFeed"] = "YoloEvalFeed"
    """The section that says what it is evaluated on."""
    test_feed: Literal["YoloTestFeed"] = "YoloTestFeed"
    """The section that says what `qcc infer` reads."""
    max_iters: Annotated[PositiveInt, Field(lt=2**31)] | None = None
    """Batches per epoch, as the original's compress.py counts them; null: one pass over the data."""
    log_smooth_window: PositiveInt | None = None
    """Has no effect."""
    snapshot_iter: PositiveInt | None = None
    """Has no effect: there is a checkpoint per epoch."""
    metric: Literal["VOC", "COCO"] = "COCO"
    """How detections are rated."""
    map_type: Literal["11point", "integral"] = "11point"
    """How VOC's average precision is computed."""
    weights: YamlPath | None = None
    """Has no effect: the original's other programs read it."""
    num_classes: PositiveInt
    """As many as the data sets have."""
    yolov3: YOLOv3 = Field(alias="YOLOv3", default=YOLOv3())
    """The parts of the detector."""
    mobilenet: MobileNet = Field(alias="MobileNet", default=MobileNet())
    """Read when it is the backbone."""
    resnet: ResNet = Field(alias="ResNet", default=ResNet())
    """Read when it is the backbone."""
    head: YOLOv3Head = Field(alias="YOLOv3Head", default=YOLOv3Head())
    """The head."""
    yolo_train_feed: YoloTrainFeed = Field(alias="YoloTrainFeed", default=YoloTrainFeed())
    """What it is trained on."""
    yolo_eval_feed: YoloEvalFeed = Field(alias="YoloEvalFeed", default=YoloEvalFeed())
    """What it is evaluated on."""
    yolo_test_feed: YoloTestFeed = Field(alias="YoloTestFeed", default=YoloTestFeed())
    """What `qcc infer` reads."""
