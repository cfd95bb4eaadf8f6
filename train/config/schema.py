"""What a training configuration may say, in the grammar of PaddleDetection's configuration files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
)

from qcc.calibrate.data.preprocess import Number, PositiveNumber
from qcc.grammar.section import Section, YamlPath
from qcc.train.config.optimization import LearningRate, OptimizerBuilder, Probability, Share
from qcc.train.models.strides import IMAGENET_STRIDES

ClassifierArchitecture = Literal["MobileNetV1", "MobileNetV2", "ResNet34", "ResNet50"]
# A path makes one slash of the two in a web address, which is where PaddleDetection's files find weights.
Weights = Annotated[
    YamlPath,
    PlainSerializer(
        lambda path: re.sub("^(https?:)/", r"\1//", str(path)), return_type=str, when_used="json"
    ),
]
Strides = Annotated[tuple[Annotated[int, Field(ge=1, le=2)], ...], Field(min_length=14, max_length=14)]


class FloatTraining(Section):
    """How the float network is trained when no `pretrain_weights` are given."""

    epochs: PositiveInt
    """How many."""
    backbone_weights: YamlPath | None = None
    """A file of weights, of a backbone or of another detector: those that the network has under the same name
    and shape are its first values."""
    learning_rate: LearningRate = Field(alias="LearningRate")
    """How fast."""
    optimizer: OptimizerBuilder | None = Field(alias="OptimizerBuilder", default=None)
    """How weights are updated; null: as the configuration's own OptimizerBuilder says."""
    use_ema: bool = False
    """Whether running averages of the weights are evaluated and saved in their place."""
    ema_decay: Share = 0.9998
    """The share of such an average that is kept in a step; less in the first steps."""


class DistillerOptimizer(Section):
    """How the weights are updated in epochs of `qcc quantize` with a DistillationStrategy."""

    learning_rate: LearningRate = Field(alias="LearningRate")
    """How fast; schedulers count all steps of the run, also those without distillation."""
    optimizer: OptimizerBuilder | None = Field(alias="OptimizerBuilder", default=None)
    """How weights are updated; null: as the configuration's own OptimizerBuilder says."""


class Dataset(Section):
    """A data set of labelled images."""

    name: Literal["fashion-mnist"] = "fashion-mnist"
    """Which."""
    dataset_dir: YamlPath | None = None
    """A folder with the files; null: they are fetched into the cache."""
    limit: PositiveInt | None = None
    """Use only the first so many samples; null: all."""


class ClassifierTrainFeed(Section):
    """What a classifier is trained on."""

    batch_size: PositiveInt
    """Images per step, of each process."""
    dataset: Dataset = Dataset()
    """Where they come from."""
    num_workers: NonNegativeInt = 0
    """Processes that prepare them; 0: the training process does."""
    padding: NonNegativeInt = 0
    """Random shift, in pixels."""
    flip_probability: Probability = 0.0
    """Of mirroring left and right."""


class ClassifierEvalFeed(Section):
    """What a classifier is evaluated on."""

    batch_size: PositiveInt
    """Images per run."""
    dataset: Dataset = Dataset()
    """Where they come from."""
    num_workers: NonNegativeInt = 0
    """Processes that prepare them; 0: the evaluating process does."""


class NormalizeImage(Section):
    """Pixels become (value / 255 - mean) / std."""

    mean: Number
    """Of pixel values between 0 and 1."""
    std: PositiveNumber
    """Standard deviation of pixel values between 0 and 1."""


class MobileNetV1(Section):
    """The classifier MobileNetV1."""

    scale: PositiveFloat = 1.0
    """Factor on every channel count."""
    strides: Strides = IMAGENET_STRIDES
    """Of the first convolution and the 13 blocks."""
    norm_decay: NonNegativeFloat = 0.0
    """L2 factor of the batch norms' parameters."""


class MobileNetV2(Section):
    """The classifier MobileNetV2."""

    scale: PositiveFloat = 1.0
    """Factor on every channel count."""
    norm_decay: NonNegativeFloat = 0.0
    """L2 factor of the batch norms' parameters."""


class ResNetClassifier(Section):
    """The classifiers ResNet34 and ResNet50."""

    norm_decay: NonNegativeFloat = 0.0
    """L2 factor of the batch norms' parameters."""


class TrainingConfig(Section):
    """What every configuration holds."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Decides first weights, order of samples and augmentation."""
    use_gpu: bool = False
    """Whether to train, evaluate and infer on GPUs, one per process; it needs the CUDA build of Paddle."""
    epochs: PositiveInt = 1
    """Quantization-aware epochs; a slim file's `compressor.epoch` takes its place."""
    save_dir: YamlPath = Path("output")
    """Takes what no slim file directs elsewhere."""
    pretrain_weights: Weights | None = None
    """The float weights: an .npz file or a Paddle model in any layout; null: FloatTraining makes them."""
    float_training: FloatTraining | None = Field(alias="FloatTraining", default=None)
    """How the float network is trained."""
    learning_rate: LearningRate = Field(alias="LearningRate")
    """How fast to learn."""
    optimizer: OptimizerBuilder = Field(alias="OptimizerBuilder", default=OptimizerBuilder())
    """How weights are updated."""
    distiller_optimizer: DistillerOptimizer | None = Field(alias="DistillerOptimizer", default=None)
    """What takes the place of LearningRate and OptimizerBuilder in epochs with a DistillationStrategy; null:
    nothing does."""
    use_ema: bool = False
    """Whether `qcc quantize` evaluates and saves running averages of the weights in their place."""
    ema_decay: Share = 0.9998
    """The share of such an average that is kept in a step; less in the first steps."""
    keep_checkpoints: PositiveInt | None = None
    """How many checkpoints to keep, the newest ones, besides the best one; null: all."""
    freeze_norm_epoch: NonNegativeInt | None = None
    """The first epoch of `qcc quantize` that leaves batch norm statistics as they are; null: none."""


class ClassifierConfig(TrainingConfig):
    """A classifier's configuration file. The section named as the architecture describes the network."""

    architecture: ClassifierArchitecture
    """The network."""
    num_classes: PositiveInt
    """As many as the data set has."""
    image_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Channels, height, width."""
    mobilenet_v1: MobileNetV1 = Field(alias="MobileNetV1", default=MobileNetV1())
    """Read when it is the architecture."""
    mobilenet_v2: MobileNetV2 = Field(alias="MobileNetV2", default=MobileNetV2())
    """Read when it is the architecture."""
    resnet34: ResNetClassifier = Field(alias="ResNet34", default=ResNetClassifier())
    """Read when it is the architecture."""
    resnet50: ResNetClassifier = Field(alias="ResNet50", default=ResNetClassifier())
    """Read when it is the architecture."""
    normalize: NormalizeImage = Field(alias="NormalizeImage")
    """How pixels become inputs."""
    train_feed: ClassifierTrainFeed = Field(alias="ClassifierTrainFeed")
    """What it is trained on."""
    eval_feed: ClassifierEvalFeed = Field(alias="ClassifierEvalFeed")
    """What it is evaluated on."""
