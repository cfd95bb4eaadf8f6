"""The messages of Paddle's `framework.proto`, in which programs are stored, under the names of Paddle 2.6.

Paddle 3 has renamed a few of their fields (`lod_tensor` is `dense_tensor`, the number is the same), so the
classes that an installed Paddle brings cannot be used. Those here come from `framework.textproto`, which
describes messages as protobuf itself does: it has what Paddle 3.3 has, and the bytes are those of any Paddle.
They live in a pool of descriptors of their own, beside those that Paddle registers under the same names.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from google.protobuf.internal import enum_type_wrapper  # type: ignore[import-untyped]

_PACKAGE = "paddle.framework.proto"


def _pool() -> Any:
    text = files("qcc.ir").joinpath("framework.textproto").read_text(encoding="utf-8")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(text, descriptor_pb2.FileDescriptorProto()))
    return pool


_POOL = _pool()


def _message(name: str) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


ProgramProto: Any = _message("ProgramDesc")
BlockProto: Any = _message("BlockDesc")
OpProto: Any = _message("OpDesc")
VarProto: Any = _message("VarDesc")
AttrProto: Any = OpProto.Attr
VarTypeProto: Any = _message("VarType")
TensorProto: Any = VarTypeProto.TensorDesc
AttrType: Any = enum_type_wrapper.EnumTypeWrapper(_POOL.FindEnumTypeByName(f"{_PACKAGE}.AttrType"))
OpSignature: Any = _message("OpProto")
"""Paddle's declaration of an op type: its slots and attributes."""
