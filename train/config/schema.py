"""What a training configuration may say, in the grammar of PaddleDetection's configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from qcc.train import schedule
from qcc.train.config.section import Section
from qcc.train.models.strides import IMAGENET_STRIDES

ClassifierArchitecture = Literal["MobileNetV1", "MobileNetV2", "ResNet34", "ResNet50"]
Probability = Annotated[float, Field(ge=0, le=1)]
Strides = Annotated[tuple[Annotated[int, Field(ge=1, le=2)], ...], Field(min_length=14, max_length=14)]


class PiecewiseDecay(Section):
    """`!PiecewiseDecay`: multiply the learning rate by `gamma` at each milestone, counted in steps."""

    type: Literal["PiecewiseDecay"]
    gamma: PositiveFloat = 0.1
    milestones: tuple[PositiveInt, ...]

    @model_validator(mode="after")
    def _milestones_grow(self) -> PiecewiseDecay:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must grow from one to the next, unlike {list(self.milestones)}")
        return self

    def part(self) -> schedule.PiecewiseDecay:
        return schedule.PiecewiseDecay(self.gamma, self.milestones)


class LinearWarmup(Section):
    """`!LinearWarmup`: start at `start_factor` times the rate and reach all of it after `steps` steps."""

    type: Literal["LinearWarmup"]
    steps: PositiveInt
    start_factor: Probability = 0.0

    def part(self) -> schedule.LinearWarmup:
        return schedule.LinearWarmup(self.steps, self.start_factor)


Scheduler = Annotated[PiecewiseDecay | LinearWarmup, Field(discriminator="type")]


class LearningRate(Section):
    base_lr: PositiveFloat
    schedulers: tuple[Scheduler, ...] = ()

    def schedule(self) -> schedule.Schedule:
        return schedule.Schedule(self.base_lr, tuple(scheduler.part() for scheduler in self.schedulers))


class Optimizer(Section):
    type: Literal["Momentum"] = "Momentum"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9


class Regularizer(Section):
    type: Literal["L2"] = "L2"
    factor: NonNegativeFloat


class OptimizerBuilder(Section):
    optimizer: Optimizer = Optimizer()
    regularizer: Regularizer | None = None


class FloatTraining(Section):
    """How the float network is trained when no `pretrain_weights` are given.

    `backbone_weights`: a file of weights, of which those that the network has, too, are its first values.
    """

    epochs: PositiveInt
    backbone_weights: Path | None = None
    learning_rate: LearningRate = Field(alias="LearningRate")


class Dataset(Section):
    """`dataset_dir`: a folder with the files; without it they are fetched into the cache.
    `limit`: use only the first so many samples."""

    name: Literal["fashion-mnist"] = "fashion-mnist"
    dataset_dir: Path | None = None
    limit: PositiveInt | None = None


class ClassifierTrainFeed(Section):
    """`padding`: random shift in pixels; `flip_probability`: of mirroring left and right."""

    batch_size: PositiveInt
    dataset: Dataset = Dataset()
    num_workers: NonNegativeInt = 0
    padding: NonNegativeInt = 0
    flip_probability: Probability = 0.0


class ClassifierEvalFeed(Section):
    batch_size: PositiveInt
    dataset: Dataset = Dataset()
    num_workers: NonNegativeInt = 0


class NormalizeImage(Section):
    """Pixels become (value / 255 - mean) / std."""

    mean: float
    std: PositiveFloat


class MobileNetV1(Section):
    """`scale`: factor on every channel count; `strides`: of the first convolution and the 13 blocks;
    `norm_decay`: L2 factor of the batch norms' parameters."""

    scale: PositiveFloat = 1.0
    strides: Strides = IMAGENET_STRIDES
    norm_decay: NonNegativeFloat = 0.0


class MobileNetV2(Section):
    """`scale`: factor on every channel count; `norm_decay`: L2 factor of the batch norms' parameters."""

    scale: PositiveFloat = 1.0
    norm_decay: NonNegativeFloat = 0.0


class ResNetClassifier(Section):
    """`norm_decay`: L2 factor of the batch norms' parameters."""

    norm_decay: NonNegativeFloat = 0.0


class TrainingConfig(Section):
    """What every configuration holds. `epochs` counts quantization-aware epochs; a slim file's
    `compressor.epoch` takes its place. `save_dir` takes what no slim file directs elsewhere."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    epochs: PositiveInt = 1
    save_dir: Path = Path("output")
    pretrain_weights: Path | None = None
    float_training: FloatTraining | None = Field(alias="FloatTraining", default=None)
    learning_rate: LearningRate = Field(alias="LearningRate")
    optimizer: OptimizerBuilder = Field(alias="OptimizerBuilder", default=OptimizerBuilder())


class ClassifierConfig(TrainingConfig):
    """`image_shape`: channels, height, width. The section named as the architecture describes the network."""

    architecture: ClassifierArchitecture
    num_classes: PositiveInt
    image_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    mobilenet_v1: MobileNetV1 = Field(alias="MobileNetV1", default=MobileNetV1())
    mobilenet_v2: MobileNetV2 = Field(alias="MobileNetV2", default=MobileNetV2())
    resnet34: ResNetClassifier = Field(alias="ResNet34", default=ResNetClassifier())
    resnet50: ResNetClassifier = Field(alias="ResNet50", default=ResNetClassifier())
    normalize: NormalizeImage = Field(alias="NormalizeImage")
    train_feed: ClassifierTrainFeed = Field(alias="ClassifierTrainFeed")
    eval_feed: ClassifierEvalFeed = Field(alias="ClassifierEvalFeed")
