"""A teacher in the training program, and the losses by which the student is to be like it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from qcc._paddle import paddle
from qcc.errors import ConfigError
from qcc.train.config.strategies import Distiller, FSPDistiller, Pair, SoftLabelDistiller
from qcc.train.models.network import Network
from qcc.train.programs.appending import appending
from qcc.train.programs.feature_maps import (
    FeatureMap,
    MapName,
    check_equal,
    check_feature_map,
    check_flows,
    check_logits,
    check_pair,
    shapes_of,
)
from qcc.train.programs.ops import append_op
from qcc.train.programs.scope import Arrays, persistable_names
from qcc.train.programs.slicing import ops_behind, variables_of

TEACHER_PREFIX = "teacher_"
# Ops in a scope of this name stay float when quantization is inserted.
_NAME_SCOPE = "/skip_quant/teacher/"

Lookup = Callable[[MapName], FeatureMap]
_Names = tuple[MapName, ...]


def add_distillation(network: Network, teacher: Any, distillers: Sequence[Distiller]) -> tuple[Network, str]:
    """Append the test program `teacher` and the losses to `network.train`, which has no backward part yet.

    Returns the network with the sum as its loss, and the name of the distillers' part of it, float32 [].
    The teacher's variables are called like in its own program, with the prefix `teacher_`; it reads the
    student's feeds, has no gradients, and its ops are marked to stay float. Raises ConfigError for
    feature maps that are not there, or of which one cannot be held against the other.
    """
    block, source = network.train.global_block(), teacher.global_block()
    pairs = [pair for distiller in distillers for pair in _pairs(distiller)]
    names = [named for own, other in pairs for named in (*own, *other)]
    for named in names:
        check_feature_map(source if named.of_teacher else block, named)
    append_teacher(block, source, [named.name for named in names if named.of_teacher], _feeds(source))
    shapes = shapes_of(network.train)
    with appending(network.train, paddle.static.Program(), "distillation/"):

        def feature_map(named: MapName) -> FeatureMap:
            var = block.var(TEACHER_PREFIX + named.name if named.of_teacher else named.name)
            return FeatureMap(named, var, shapes[var.name])

        losses = [_loss(distiller, feature_map) for distiller in distillers]
        distance = paddle.add_n(losses)
        loss = block.var(network.loss) + distance
    return replace(network, loss=loss.name), distance.name


def teacher_values(program: Any, weights: Arrays) -> Arrays:
    """The values of the teacher's variables in a program that `add_distillation` has extended."""
    names = [name for name in persistable_names(program) if name.startswith(TEACHER_PREFIX)]
    return {name: weights[name.removeprefix(TEACHER_PREFIX)] for name in names}


# ---------------------------------------------------------------------- the teacher


def append_teacher(block: Any, source: Any, wanted: Sequence[str], feeds: Collection[str]) -> None:
    """Copy what computes the variables `wanted` from the teacher's block to the end of the student's.

    Both read `feeds`; every other variable gets the prefix `teacher_`. Raises ConfigError for one of `feeds`
    that the teacher needs and the student does not have.
    """
    ops = ops_behind(source, wanted)
    names = {}
    for name in sorted({*wanted, *variables_of(ops)}):
        names[name] = name if name in feeds else TEACHER_PREFIX + name
        if name not in feeds:
            _declare(block, source.var(name))
        elif not block.has_var(name):
            raise ConfigError(f"the teacher is fed by '{name}', which training does not give.")
    for op in ops:
        copy = block.desc.append_op()
        copy.copy_from(op.desc)
        for name in op.input_arg_names:
            copy._rename_input(name, names[name])
        for name in op.output_arg_names:
            copy._rename_output(name, names[name])
        copy._set_attr("op_namescope", _NAME_SCOPE)
    block._sync_with_cpp()


def _feeds(block: Any) -> frozenset[str]:
    return frozenset(name for name, var in block.vars.items() if var.is_data)


def _declare(block: Any, var: Any) -> None:
    """A variable like the teacher's, but never a parameter: nothing may train it."""
    block.create_var(
        name=TEACHER_PREFIX + var.name,
        shape=var.shape,
        dtype=var.dtype,
        type=var.type,
        persistable=var.persistable,
        stop_gradient=True,
    )


# ---------------------------------------------------------------------- the losses


def _pairs(distiller: Distiller) -> list[tuple[_Names, _Names]]:
    """The names of the student and those of the teacher that are held against each other."""
    if not isinstance(distiller, FSPDistiller):
        student = MapName(distiller.student_feature_map, distiller.where("student_feature_map"))
        teacher = MapName(distiller.teacher_feature_map, distiller.where("teacher_feature_map"), True)
        return [((student,), (teacher,))]
    return [
        (_pair(distiller, "student_pairs", index, own), _pair(distiller, "teacher_pairs", index, other))
        for index, (own, other) in enumerate(
            zip(distiller.student_pairs, distiller.teacher_pairs, strict=True)
        )
    ]


def _pair(distiller: FSPDistiller, key: str, index: int, pair: Pair) -> _Names:
    of_teacher = key == "teacher_pairs"
    return tuple(
        MapName(name, distiller.where(key, index, number), of_teacher) for number, name in enumerate(pair)
    )


def _loss(distiller: Distiller, lookup: Lookup) -> Any:
    maps = [
        ([lookup(one) for one in own], [lookup(one) for one in other]) for own, other in _pairs(distiller)
    ]
    if isinstance(distiller, FSPDistiller):
        distance = paddle.add_n([_flow_distance(own, other) for own, other in maps])
    else:
        (([student], [teacher]),) = maps
        if isinstance(distiller, SoftLabelDistiller):
            check_logits(student, teacher)
            distance = _soft_label(distiller, student.var, teacher.var)
        else:
            check_equal(student, teacher)
            distance = _l2(student.var, teacher.var)
    return distance * distiller.distillation_loss_weight


def _l2(student: Any, teacher: Any) -> Any:
    return paddle.mean(paddle.square(student - teacher))


def _soft_label(distiller: SoftLabelDistiller, student: Any, teacher: Any) -> Any:
    logits = student / distiller.student_temperature
    label = paddle.nn.functional.softmax(teacher / distiller.teacher_temperature)
    label.stop_gradient = True
    return paddle.mean(paddle.nn.functional.softmax_with_cross_entropy(logits, label, soft_label=True))


def _flow_distance(student: Sequence[FeatureMap], teacher: Sequence[FeatureMap]) -> Any:
    for pair in student, teacher:
        check_pair(*pair)
    check_flows(student, teacher)
    return _l2(*(_flow(first.var, second.var) for first, second in (student, teacher)))


def _flow(first: Any, second: Any) -> Any:
    """[N, C1, H, W] and [N, C2, H, W] to [N, C1, C2]."""
    one, two = paddle.flatten(first, 2), paddle.flatten(second, 2)
    places = paddle.cast(paddle.shape(one)[2], "float32")
    return append_op("matmul_v2", {"X": one, "Y": two}, {"trans_x": False, "trans_y": True}) / places
