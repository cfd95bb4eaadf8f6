"""The messages of programs are qcc's own: the installed Paddle's are the same, whatever it calls them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from paddle.base.proto import framework_pb2
from saved_models import control_flow, two_feeds

from qcc._paddle import VarType, core
from qcc.ir import framework
from qcc.ir.framework import OpSignature, ProgramProto, VarTypeProto


@pytest.mark.parametrize("build", [two_feeds, control_flow])
def test_paddles_bytes_come_back(build: Any) -> None:
    data = build().program.desc.serialize_to_string()
    program = ProgramProto.FromString(data)
    assert program.SerializeToString() == data
    assert framework_pb2.ProgramDesc.FromString(data).SerializeToString() == data
    assert len(program.blocks) == core.ProgramDesc(data).num_blocks()


def test_a_variable_is_read_by_the_names_of_paddle_2() -> None:
    live = two_feeds()
    program = ProgramProto.FromString(live.program.desc.serialize_to_string())
    (fed,) = (var for var in program.blocks[0].vars if var.name == live.feeds[0].name)
    assert fed.type.type == VarTypeProto.LOD_TENSOR == int(VarType.LOD_TENSOR)
    assert list(fed.type.lod_tensor.tensor.dims) == list(live.program.global_block().var(fed.name).shape)
    assert fed.type.lod_tensor.tensor.data_type == int(VarType.FP32)


def test_every_signature_of_paddle_comes_back() -> None:
    protos = core.get_all_op_protos()
    assert len(protos) > 700
    for data in protos:
        assert OpSignature.FromString(data).SerializeToString() == data


def test_numbers_and_types_are_those_of_the_installed_paddle() -> None:
    """Names may differ, and ours may have more."""
    file = framework.ProgramProto.DESCRIPTOR.file
    ours, theirs = dict(_shape(file)), dict(_shape(framework_pb2.DESCRIPTOR))
    assert theirs.items() <= ours.items()
    assert len(theirs) >= 150


def _shape(file: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """What tells how bytes are read, by places and numbers."""
    for index, enum in enumerate(file.enum_types_by_name.values()):
        for value in enum.values:
            yield (-1, index, value.number), None
    for index, message in enumerate(file.message_types_by_name.values()):
        yield from _message_shape((index,), message)


def _message_shape(place: tuple[int, ...], message: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    for field in message.fields:
        kind = field.message_type or field.enum_type
        default = None if field.label == field.LABEL_REPEATED else field.default_value
        yield (*place, 0, field.number), (field.type, field.label, default, kind is None)
    for index, enum in enumerate(message.enum_types):
        for value in enum.values:
            yield (*place, 1, index, value.number), None
    for index, nested in enumerate(message.nested_types):
        yield from _message_shape((*place, 2, index), nested)
