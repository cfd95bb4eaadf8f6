"""Bytes: what is written is read back, and what is damaged is refused."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flatbuffers import Builder
from lite_agreement import lowered
from lite_ops import CASES

import qcc
from qcc._paddle import core
from qcc.backends.lite.file import (
    NaiveBuffer,
    is_naive_buffer,
    parse_naive_buffer,
    read_naive_buffer,
    write_naive_buffer,
)
from qcc.backends.lite.pack import pack
from qcc.backends.lite.schema import (
    Attr,
    AttrKind,
    BlockDesc,
    CombinedParamsDesc,
    OpDesc,
    ParamDesc,
    ParamTensor,
    ProgramDesc,
    Var,
    VarDesc,
    VarKind,
    VarType,
    Version,
)
from qcc.errors import ModelFormatError, OutputError


def written(buffer: NaiveBuffer) -> bytes:
    stream = io.BytesIO()
    write_naive_buffer(buffer, stream)
    return stream.getvalue()


def example() -> NaiveBuffer:
    """A value in every field that an attribute has, and a parameter of every type."""
    attrs = [
        Attr("a", AttrKind.INT, i=-3),
        Attr("b", AttrKind.FLOAT, f=0.5),
        Attr("c", AttrKind.STRING, s="text with \u00e4"),
        Attr("d", AttrKind.INTS, ints=(1, -2)),
        Attr("e", AttrKind.FLOATS, floats=(0.25, -1.5)),
        Attr("f", AttrKind.STRINGS, strings=("x", "")),
        Attr("g", AttrKind.BOOLEAN, b=True),
        Attr("h", AttrKind.LONG, l=1 << 40),
        Attr("i", AttrKind.LONGS, longs=(-(1 << 40), 7)),
        Attr("j", AttrKind.FLOAT64, float64=1e300),
        Attr("k", AttrKind.FLOAT64S, float64s=(1e-300,)),
        Attr("l", AttrKind.BOOLEANS, bools=(True, False)),
    ]
    op = OpDesc("op", [Var("X", ("in", "in2")), Var("Y", ())], [Var("Out", ("out",))], attrs, True)
    declared = tuple(VarDesc(name, VarType(VarKind.RAW)) for name in ("in", "in2", "out"))
    block = BlockDesc(0, -1, declared, (op,))
    params = [
        ParamDesc(name=str(dtype), variable_type=1, variable=ParamTensor.of(np.array([[0, 1, 1]], dtype)))
        for dtype in ("bool", "int8", "uint8", "int16", "int32", "int64", "float16", "float32")
    ]
    return NaiveBuffer(ProgramDesc((block,), Version(2006002)), params)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.nb"
    path.write_bytes(written(example()))
    parsed = parse_naive_buffer(path)
    assert parsed.complaints == []
    assert parsed.buffer.lite_version == "v2.13-rc"
    op = parsed.buffer.ops[0]
    assert [attr.value for attr in op.attrs] == [attr.value for attr in example().ops[0].attrs]
    assert [slot.arguments for slot in op.inputs] == [("in", "in2"), ()]
    for param in parsed.buffer.params:
        assert param.variable is not None
        array = param.variable.array
        assert (str(array.dtype), array.shape, array.tolist()) == (param.name, (1, 3), [[0, 1, 1]])
    assert written(parsed.buffer) == written(example())


def test_a_parameter_without_elements(tmp_path: Path) -> None:
    path = tmp_path / "a.nb"
    empty = ParamDesc(name="a", variable_type=1, variable=ParamTensor.of(np.zeros((0, 3), np.float32)))
    path.write_bytes(written(NaiveBuffer(example().program, [empty])))
    parsed = parse_naive_buffer(path)
    assert parsed.complaints == []
    (param,) = parsed.buffer.params
    assert param.variable is not None
    assert param.variable.array.shape == (0, 3)


def test_meta_1_is_read(tmp_path: Path) -> None:
    """Release 2.7 wrote all parameters into one FlatBuffer."""
    buffer = example()
    topology = pack(buffer.program)
    header = struct.pack("<H16sQ", 1, b"v2.7.0", len(topology))
    path = tmp_path / "a.nb"
    path.write_bytes(header + topology + pack(CombinedParamsDesc(buffer.params)))
    found = read_naive_buffer(path)
    assert found.lite_version == "v2.7.0"
    assert written(NaiveBuffer(found.program, found.params)) == written(buffer)


def cut(length: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:length]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut(10), "shorter than the header"),
        (cut(200), "truncated"),
        (lambda data: data[:-1], "truncated"),
        (lambda data: b"\0\0" + data[2:], "meta version 0"),
        (lambda data: b"\7\0" + data[2:], "meta version 7"),
        (lambda data: data[:26] + b"\xff\xff\xff\x7f" + data[30:], "alignment|outside"),
    ],
)
def test_damaged(tmp_path: Path, damage: Callable[[bytes], bytes], words: str) -> None:
    path = tmp_path / "a.nb"
    path.write_bytes(damage(written(example())))
    with pytest.raises(ModelFormatError, match=words) as error:
        read_naive_buffer(path)
    assert str(path) in str(error.value)


def test_every_flipped_byte_is_survived(tmp_path: Path) -> None:
    """Whatever byte of the topology is wrong, reading ends in an error or a result, and soon."""
    data = written(example())
    path = tmp_path / "a.nb"
    refused = 0
    for position in range(0, 26 + struct.unpack_from("<Q", data, 18)[0], 3):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        try:
            parse_naive_buffer(path)
        except ModelFormatError:
            refused += 1
    assert refused > 100


def test_a_table_that_is_held_many_times(tmp_path: Path) -> None:
    """Five kilobytes, read as what they say, would be a billion ops."""
    builder = Builder(1024)
    table = _table_of(builder, 0, builder.CreateString("a"))
    for place in (3, 3, 0):  # attributes of ops of blocks of a program
        builder.StartVector(4, 400, 4)
        for _ in range(400):
            builder.PrependUOffsetTRelative(table)
        table = _table_of(builder, place, builder.EndVector())
    builder.Finish(table)
    topology = bytes(builder.Output())
    path = tmp_path / "deep.nb"
    path.write_bytes(struct.pack("<H16sQ", 2, b"v2.13-rc", len(topology)) + topology)
    with pytest.raises(ModelFormatError, match="used more than 4 times over"):
        parse_naive_buffer(path)


def _table_of(builder: Builder, place: int, child: int) -> int:
    builder.StartObject(place + 1)
    builder.PrependUOffsetTRelativeSlot(place, child, 0)
    return int(builder.EndObject())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="cannot be read"):
        read_naive_buffer(tmp_path / "none.nb")


def test_too_many_params() -> None:
    buffer = NaiveBuffer(ProgramDesc(), [ParamDesc()] * 65536)
    with pytest.raises(OutputError, match="at most 65535"):
        written(buffer)


def test_is_naive_buffer(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(written(example()))
    assert is_naive_buffer(path)
    for other in (b"", b"\x0a\x05hello", b"PK\3\4" + bytes(100), b"\2\0" + b"v" * 16 + b"\xff" * 8):
        path.write_bytes(other)
        assert not is_naive_buffer(path)


_EXPORT = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from lite_agreement import lowered
from lite_ops import CASES
lowered(CASES["swap_squeeze_excite"].model(), Path({file!r}))
"""


def test_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """And nothing of the machine in them."""
    found = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        file = folder / "model.nb"
        code = _EXPORT.format(path=[entry for entry in sys.path if entry], file=str(file))
        env = {**os.environ, "PYTHONHASHSEED": str(number)}
        subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, check=True, capture_output=True)
        found.append(file.read_bytes())
    assert found[0] == found[1]
    for local in (str(tmp_path), str(Path.cwd()), str(Path.home()), "callstack", ".py"):
        assert local.encode() not in found[0]


def test_params_are_used_ones_only(tmp_path: Path) -> None:
    model = CASES["conv_bn_relu"].model()
    assert len(model.weights) == 5
    buffer = lowered(model, tmp_path / "a.nb")
    assert [param.name for param in buffer.params] == ["batch_norm_0.b_0", "conv2d_0.w_0"]
    assert all(
        param.variable is not None and param.variable.data_type == VarKind.FP32 for param in buffer.params
    )


def test_version_of_paddle(tmp_path: Path) -> None:
    model = CASES["relu"].model()
    buffer = lowered(model, tmp_path / "a.nb")
    assert buffer.program.version == Version(model.graph.shell.version)
    assert model.graph.shell.version == core.ProgramDesc()._version()
    assert qcc.__version__.encode() not in (tmp_path / "a.nb").read_bytes()
