"""The FlatBuffers tables of a naive buffer, as dataclasses.

They follow Paddle Lite's `framework.fbs` (topology) and `param.fbs` (parameters), release 2.13. A field's
position in its class is its id in the table, so fields that qcc never sets stand here as well.
"""

# ruff: noqa: RUF009  (the functions called in the classes return dataclass fields)

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np


class VarKind(IntEnum):
    """`VarType.Type` of the schema: element types of tensors, and kinds of variables."""

    BOOL = 0
    INT16 = 1
    INT32 = 2
    INT64 = 3
    FP16 = 4
    FP32 = 5
    FP64 = 6
    LOD_TENSOR = 7
    SELECTED_ROWS = 8
    FEED_MINIBATCH = 9
    FETCH_LIST = 10
    STEP_SCOPES = 11
    LOD_RANK_TABLE = 12
    LOD_TENSOR_ARRAY = 13
    PLACE_LIST = 14
    READER = 15
    RAW = 17
    TUPLE = 18
    SIZE_T = 19
    UINT8 = 20
    INT8 = 21


NUMPY_DTYPES = {
    VarKind.BOOL: np.dtype(np.bool_),
    VarKind.INT16: np.dtype(np.int16),
    VarKind.INT32: np.dtype(np.int32),
    VarKind.INT64: np.dtype(np.int64),
    VarKind.FP16: np.dtype(np.float16),
    VarKind.FP32: np.dtype(np.float32),
    VarKind.FP64: np.dtype(np.float64),
    VarKind.UINT8: np.dtype(np.uint8),
    VarKind.INT8: np.dtype(np.int8),
}
"""Element types of tensors."""

PARAM_KINDS = frozenset(NUMPY_DTYPES) - {VarKind.FP64}
"""Element types that the runtime takes for parameters."""


class AttrKind(IntEnum):
    """`AttrType` of the schema: which field of an `Attr` holds the value."""

    INT = 0
    FLOAT = 1
    STRING = 2
    INTS = 3
    FLOATS = 4
    STRINGS = 5
    BOOLEAN = 6
    BOOLEANS = 7
    BLOCK = 8
    LONG = 9
    BLOCKS = 10
    LONGS = 11
    FLOAT64S = 12
    VAR = 13
    VARS = 14
    FLOAT64 = 15


VALUE_FIELDS: Mapping[int, str] = {
    AttrKind.INT: "i",
    AttrKind.FLOAT: "f",
    AttrKind.STRING: "s",
    AttrKind.INTS: "ints",
    AttrKind.FLOATS: "floats",
    AttrKind.STRINGS: "strings",
    AttrKind.BOOLEAN: "b",
    AttrKind.BOOLEANS: "bools",
    AttrKind.BLOCK: "block_idx",
    AttrKind.LONG: "l",
    AttrKind.BLOCKS: "blocks_idx",
    AttrKind.LONGS: "longs",
    AttrKind.FLOAT64S: "float64s",
    AttrKind.FLOAT64: "float64",
}


# ---------------------------------------------------------------------- how a field is described


class Kind(NamedTuple):
    """What a field holds: a `scalar`, a `string`, a `table`, or a vector of one of these.

    `element` is the scalar's FlatBuffers name or the table's class; `required` and `key` are the schema's.
    """

    shape: str
    element: Any
    required: bool = False
    key: bool = False


class Slot(NamedTuple):
    """One field of a table."""

    id: int
    name: str
    kind: Kind
    default: Any


def _scalar(element: str, default: Any = 0) -> Any:
    return field(default=default, metadata={"kind": Kind("scalar", element)})


def _string(*, required: bool = False, key: bool = False) -> Any:
    return field(default="", metadata={"kind": Kind("string", None, required, key)})


def _table(element: str, *, required: bool = False) -> Any:
    return field(default=None, metadata={"kind": Kind("table", element, required)})


def _scalars(element: str) -> Any:
    return field(default=(), metadata={"kind": Kind("scalars", element)})


def _strings() -> Any:
    return field(default=(), metadata={"kind": Kind("strings", None)})


def _tables(element: str) -> Any:
    return field(default=(), metadata={"kind": Kind("tables", element)})


# ---------------------------------------------------------------------- topology


@dataclass
class Version:
    """Paddle's version as a number."""

    version: int = _scalar("int64")


@dataclass
class OpVersion:
    """Never written by Paddle Lite's own tools."""

    version: int = _scalar("int32")


@dataclass
class OpVersionPair:
    """Never written by Paddle Lite's own tools."""

    op_name: str = _string(required=True, key=True)
    op_version: OpVersion | None = _table("OpVersion", required=True)


@dataclass
class OpVersionMap:
    """Never written by Paddle Lite's own tools."""

    pair: Sequence[OpVersionPair] = _tables("OpVersionPair")


@dataclass
class TensorDesc:
    """Element type and shape; the shape is information only."""

    data_type: int = _scalar("int32")
    dims: Sequence[int] = _scalars("int64")


@dataclass
class LoDTensorDesc:
    """A tensor; `LoDTensorArrayDesc` of the schema looks the same."""

    tensor: TensorDesc | None = _table("TensorDesc", required=True)
    lod_level: int = _scalar("int32")


@dataclass
class ReaderDesc:
    """Not used by inference programs."""

    lod_tensor: Sequence[LoDTensorDesc] = _tables("LoDTensorDesc")


@dataclass
class Tuple:
    """Not used by inference programs."""

    element_type: Sequence[int] = _scalars("int32")


@dataclass
class VarType:
    """The kind of a variable, and the description that belongs to the kind."""

    type: int = _scalar("int32")
    selected_rows: TensorDesc | None = _table("TensorDesc")
    lod_tensor: LoDTensorDesc | None = _table("LoDTensorDesc")
    tensor_array: LoDTensorDesc | None = _table("LoDTensorDesc")
    reader: ReaderDesc | None = _table("ReaderDesc")
    tuple: Tuple | None = _table("Tuple")


@dataclass
class VarDesc:
    """A variable of a block."""

    name: str = _string(required=True, key=True)
    type: VarType | None = _table("VarType", required=True)
    persistable: bool = _scalar("bool", False)
    need_check_feed: bool = _scalar("bool", False)


@dataclass
class Var:
    """A slot of an op with the variables in it."""

    parameter: str = _string(required=True, key=True)
    arguments: Sequence[str] = _strings()


@dataclass
class Attr:
    """An attribute of an op; the field named by `VALUE_FIELDS[type]` holds the value."""

    name: str = _string(required=True, key=True)
    type: int = _scalar("int32")
    i: int = _scalar("int32")
    f: float = _scalar("float32", 0.0)
    s: str = _string()
    ints: Sequence[int] = _scalars("int32")
    floats: Sequence[float] = _scalars("float32")
    strings: Sequence[str] = _strings()
    b: bool = _scalar("bool", False)
    bools: Sequence[bool] = _scalars("bool")
    block_idx: int = _scalar("int32")
    l: int = _scalar("int64")  # noqa: E741  (the schema's name)
    blocks_idx: Sequence[int] = _scalars("int32")
    longs: Sequence[int] = _scalars("int64")
    float64: float = _scalar("float64", 0.0)
    float64s: Sequence[float] = _scalars("float64")

    @property
    def value(self) -> Any:
        """The value, from the field of its type; None where the type has none, or there is no such type."""
        field = VALUE_FIELDS.get(self.type)
        return None if field is None else getattr(self, field)


@dataclass
class OpDesc:
    """An operator; slots and attributes are sorted bytewise, since the runtime searches them by bisection."""

    type: str = _string(required=True)
    inputs: Sequence[Var] = _tables("Var")
    outputs: Sequence[Var] = _tables("Var")
    attrs: Sequence[Attr] = _tables("Attr")
    is_target: bool = _scalar("bool", False)

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute's value, of whatever type; `default` where the op does not carry it."""
        return next((attr.value for attr in self.attrs if attr.name == name), default)

    def text(self, name: str) -> str:
        """The value of an attribute that is a string; empty where it is none."""
        value = self.attr(name)
        return value if isinstance(value, str) else ""


@dataclass
class BlockDesc:
    """A block of a program."""

    idx: int = _scalar("int32")
    parent_idx: int = _scalar("int32")
    vars: Sequence[VarDesc] = _tables("VarDesc")
    ops: Sequence[OpDesc] = _tables("OpDesc")
    forward_block_idx: int = _scalar("int32", -1)


@dataclass
class ProgramDesc:
    """The root of the topology."""

    blocks: Sequence[BlockDesc] = _tables("BlockDesc")
    version: Version | None = _table("Version")
    op_version_map: OpVersionMap | None = _table("OpVersionMap")


# ---------------------------------------------------------------------- parameters


@dataclass
class ParamVersion:
    """Not written."""

    version: int = _scalar("int32")
    model_version: int = _scalar("int32")


@dataclass
class ParamTensor:
    """`LoDTensorDesc` of `param.fbs`: a parameter's shape, type and raw little-endian bytes in C order."""

    lod_level: int = _scalar("int32")
    lod: Sequence[int] = _scalars("int64")
    dim: Sequence[int] = _scalars("int64")
    data_type: int = _scalar("int32")
    data: Any = _scalars("int8")

    @staticmethod
    def of(array: np.ndarray) -> ParamTensor:
        """The tensor that holds an array's values."""
        kind = next(kind for kind, dtype in NUMPY_DTYPES.items() if dtype == array.dtype)
        raw = np.ascontiguousarray(array).reshape(-1).view(np.int8)
        return ParamTensor(dim=array.shape, data_type=kind, data=raw)

    @property
    def array(self) -> np.ndarray:
        """The values, as a read-only array."""
        dtype = NUMPY_DTYPES[VarKind(self.data_type)]
        array = np.frombuffer(memoryview(self.data), dtype).reshape(tuple(self.dim))
        array.flags.writeable = False
        return array


@dataclass
class ParamDesc:
    """The root of one parameter. `variable_type` tags the union; 1 is the tensor, its only member."""

    version: ParamVersion | None = _table("ParamVersion")
    name: str = _string(required=True, key=True)
    variable_type: int = _scalar("uint8")
    variable: ParamTensor | None = _table("ParamTensor")


@dataclass
class CombinedParamsDesc:
    """The root of all parameters together, in files of meta version 1."""

    params: Sequence[ParamDesc] = _tables("ParamDesc")


_slots: dict[type, tuple[Slot, ...]] = {}


def slots(table: type) -> tuple[Slot, ...]:
    """The fields of a table in the order of their ids, with classes in place of their names."""
    if table not in _slots:
        _slots[table] = tuple(_read_slots(table))
    return _slots[table]


def _read_slots(table: type) -> Iterator[Slot]:
    for index, entry in enumerate(fields(table)):
        kind: Kind = entry.metadata["kind"]
        if kind.shape in ("table", "tables"):
            kind = kind._replace(element=globals()[kind.element])
        yield Slot(index, entry.name, kind, entry.default)
