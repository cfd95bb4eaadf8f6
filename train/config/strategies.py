"""The strategies of a slim file, under the names and with the defaults of fluid.contrib.slim."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from qcc.grammar.section import Section, YamlPath

Bits = Annotated[int, Field(ge=2, le=16)]
INT8_BITS = 8
OpType = Literal["conv2d", "depthwise_conv2d", "conv2d_transpose", "mul", "matmul", "matmul_v2"]
Pair = tuple[str, str]


class QuantizationStrategy(Section):
    """A strategy of a slim file: when to quantize and how, and what to save then."""

    kind: Literal["QuantizationStrategy"] = Field(alias="class", default="QuantizationStrategy")
    """The kind of strategy."""
    start_epoch: NonNegativeInt = 0
    """Quantization is inserted at the start of this epoch; earlier ones train in float."""
    end_epoch: NonNegativeInt = 0
    """The network is frozen and saved at the end of this epoch; later ones train on."""
    float_model_save_path: YamlPath | None = None
    """Folder for the float form; null: it is not saved."""
    mobile_model_save_path: YamlPath | None = None
    """Folder for the mobile form; null: it is not saved."""
    int8_model_save_path: YamlPath | None = None
    """Folder for the int8 form; null: it is not saved."""
    weight_bits: Bits = 8
    """Bits of a weight."""
    activation_bits: Bits = 8
    """Bits of an activation."""
    weight_quantize_type: Literal[
        "abs_max", "channel_wise_abs_max", "range_abs_max", "moving_average_abs_max"
    ] = "abs_max"
    """How scales of weights are found."""
    activation_quantize_type: Literal["abs_max", "range_abs_max", "moving_average_abs_max"] = "abs_max"
    """How scales of activations are found."""
    window_size: PositiveInt = 10000
    """Steps whose largest value counts, for scales of type range_abs_max."""
    moving_rate: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """The share of the average that is kept in a step, for scales of type moving_average_abs_max."""
    quantize_op_types: Annotated[tuple[OpType, ...], Field(min_length=1)] = get_args(OpType)
    """The types of ops that are quantized."""
    target: str | None = None
    """The engine to train for: what it rounds besides the inputs of quantized ops is rounded in training as
    well; null: nothing is."""
    not_quant_pattern: tuple[str, ...] = ("skip_quant",)
    """Ops whose name scope holds one of these words stay float; those in the scope `skip_quant` always do."""
    skip_vars: tuple[str, ...] = ()
    """Ops that read or write one of these variables (names or globs) stay float."""
    save_in_nodes: tuple[str, ...] | None = None
    """Feeds of the saved models; null: those of the evaluation program."""
    save_out_nodes: tuple[str, ...] | None = None
    """Fetches of the saved models; null: those of the evaluation program."""

    @model_validator(mode="after")
    def _epochs_in_order(self) -> QuantizationStrategy:
        if self.end_epoch < self.start_epoch:
            raise ValueError(f"end_epoch {self.end_epoch} lies before start_epoch {self.start_epoch}")
        return self

    @model_validator(mode="after")
    def _int8_holds_the_weights(self) -> QuantizationStrategy:
        # At the end of end_epoch it would be too late.
        if self.int8_model_save_path is not None and self.weight_bits > INT8_BITS:
            raise ValueError(
                f"int8_model_save_path is given, and INT8 holds weights of at most {INT8_BITS} bits, not of"
                f" weight_bits {self.weight_bits}; float_model_save_path saves those"
            )
        return self


class L2Distiller(Section):
    """The mean of squared differences of two feature maps of one shape."""

    kind: Literal["L2Distiller"] = Field(alias="class")
    """The kind of distiller."""
    student_feature_map: str
    """A variable of the network that is trained."""
    teacher_feature_map: str
    """A variable of the teacher."""
    distillation_loss_weight: PositiveFloat = 1.0
    """Factor on this loss."""


class SoftLabelDistiller(Section):
    """The cross entropy of the student's softmax to the teacher's (Hinton et al. 2015, arXiv:1503.02531).

    The feature maps are logits, [N, classes], and are divided by the temperatures first.
    """

    kind: Literal["SoftLabelDistiller"] = Field(alias="class")
    """The kind of distiller."""
    student_feature_map: str
    """A variable of the network that is trained."""
    teacher_feature_map: str
    """A variable of the teacher."""
    student_temperature: PositiveFloat = 1.0
    """The student's logits are divided by it."""
    teacher_temperature: PositiveFloat = 1.0
    """The teacher's logits are divided by it."""
    distillation_loss_weight: PositiveFloat = 1.0
    """Factor on this loss."""


class FSPDistiller(Section):
    """The mean of squared differences of flow matrices (Yim et al. 2017, doi:10.1109/CVPR.2017.754).

    A pair names two feature maps of equal height and width; the flow matrix is the mean over places of the
    products of their channels.
    """

    kind: Literal["FSPDistiller"] = Field(alias="class")
    """The kind of distiller."""
    student_pairs: Annotated[tuple[Pair, ...], Field(min_length=1)]
    """Pairs of variables of the network that is trained."""
    teacher_pairs: Annotated[tuple[Pair, ...], Field(min_length=1)]
    """As many pairs of variables of the teacher."""
    distillation_loss_weight: PositiveFloat = 1.0
    """Factor on this loss."""

    @model_validator(mode="after")
    def _as_many(self) -> FSPDistiller:
        if len(self.student_pairs) != len(self.teacher_pairs):
            count, other = len(self.student_pairs), len(self.teacher_pairs)
            raise ValueError(f"there are {count} student_pairs, but {other} teacher_pairs")
        return self


Distiller = L2Distiller | SoftLabelDistiller | FSPDistiller


class DistillationStrategy(Section):
    """A strategy of a slim file: add losses that pull the network towards a teacher."""

    kind: Literal["DistillationStrategy"] = Field(alias="class", default="DistillationStrategy")
    """The kind of strategy."""
    distillers: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the distillers whose losses are added."""
    start_epoch: NonNegativeInt = 0
    """The first epoch with them."""
    end_epoch: PositiveInt
    """The first epoch without them again."""
    teacher_config: YamlPath | None = None
    """The teacher's configuration; null: the network that is trained, without quantization, and where
    `teacher_weights` are given also without pruning."""
    teacher_weights: YamlPath | None = None
    """The teacher's weights; null: the `pretrain_weights` of `teacher_config`, or those that training
    starts from."""

    @model_validator(mode="after")
    def _epochs_in_order(self) -> DistillationStrategy:
        if self.end_epoch <= self.start_epoch:
            raise ValueError(
                f"end_epoch {self.end_epoch}, the first epoch without distillation, must lie after"
                f" start_epoch {self.start_epoch}"
            )
        return self


Strategy = QuantizationStrategy | DistillationStrategy
