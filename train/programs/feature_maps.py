"""The variables that distillers name, and whether they can be held against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qcc._paddle import core, paddle
from qcc.errors import ConfigError

# Of images where a program takes any size: enough for maps of different strides to differ.
_SIDE = 96

_DENSE = core.VarDesc.VarType.LOD_TENSOR

Shape = tuple[int, ...]


@dataclass(frozen=True)
class MapName:
    """`name` of a variable, of the student or of the teacher, that stands at `where` of a slim file."""

    name: str
    where: str
    of_teacher: bool = False


@dataclass(frozen=True)
class FeatureMap:
    """`var`: what a name stands for in training, float32 of `shape` [N, ...]."""

    named: MapName
    var: Any
    shape: Shape

    @property
    def where(self) -> str:
        return self.named.where

    @property
    def name(self) -> str:
        return self.named.name

    def __str__(self) -> str:
        return f"'{self.name}' has shape {list(self.shape)}"


def shapes_of(program: Any) -> Mapping[str, Shape]:
    """The shape of every variable of a program; where it takes images of any size, those for 96 x 96."""
    probe = program.clone()
    block = probe.global_block()
    for var in block.vars.values():
        if var.is_data:
            var.desc.set_shape([-1, *(_SIDE if side < 0 else side for side in var.shape[1:])])
    for op in block.ops:
        op.desc.infer_shape(block.desc)
    return {name: tuple(var.shape) for name, var in block.vars.items() if var.type == _DENSE}


def check_feature_map(block: Any, named: MapName) -> None:
    """Raise ConfigError unless the name is that of something computed in the block of its program."""
    if not block.has_var(named.name):
        whose = "teacher" if named.of_teacher else "student"
        raise ConfigError(f"{named.where}: the {whose}'s program has no variable '{named.name}'.")
    var = block.var(named.name)
    if var.is_data or var.dtype != paddle.float32:
        raise ConfigError(
            f"{named.where}: '{named.name}' is no feature map: it must be float32, and what the network"
            " computes."
        )


def check_equal(student: FeatureMap, teacher: FeatureMap) -> None:
    """Raise ConfigError unless both have one shape."""
    if student.shape != teacher.shape:
        raise ConfigError(f"{student.where}: {student}, but the teacher's {teacher}.")


def check_logits(student: FeatureMap, teacher: FeatureMap) -> None:
    """Raise ConfigError unless both are [N, classes]."""
    if len(student.shape) != 2:
        raise ConfigError(f"{student.where}: {student}, but must be logits, [N, classes].")
    check_equal(student, teacher)


def check_pair(first: FeatureMap, second: FeatureMap) -> None:
    """Raise ConfigError unless both are [N, C, H, W], with one height and width."""
    if len(first.shape) != 4 or first.shape[2:] != second.shape[2:]:
        raise ConfigError(
            f"{first.where}: {first} and {second}, but a pair must be [N, C, H, W] with one height and width."
        )


def check_flows(student: Sequence[FeatureMap], teacher: Sequence[FeatureMap]) -> None:
    """Raise ConfigError unless the flow matrices of two pairs have one shape."""
    own, other = ([one.shape[1] for one in pair] for pair in (student, teacher))
    if own != other:
        raise ConfigError(
            f"{student[0].where}: '{student[0].name}' and '{student[1].name}' have {own} channels, but the"
            f" teacher's '{teacher[0].name}' and '{teacher[1].name}' have {other}."
        )
