"""The file around the tables: header, topology, parameters. Meta version 2 is written, 1 and 2 are read.

    uint16   meta version
    char[16] version of the writer, ended by a zero; qcc names the release whose runtime it writes for
    uint64   size of the topology
    ...      topology: a FlatBuffer, root ProgramDesc
    uint16   version of the parameters' format, 0
    uint16   size of a reserved block, 0
    uint16   size of the next two fields, 6
    uint16   number of parameters
    uint32   size of the largest one's data
    per parameter:
    uint32   size of the rest of the entry
    uint32   distance of the FlatBuffer from here, 4
    ...      a FlatBuffer, root ParamDesc

All integers are little-endian, and nothing is aligned or padded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from qcc.backends.lite.pack import pack
from qcc.backends.lite.schema import CombinedParamsDesc, OpDesc, ParamDesc, ProgramDesc
from qcc.backends.lite.soundness import unsound
from qcc.backends.lite.unpack import DamagedError, Unpacker
from qcc.errors import ModelFormatError, OutputError
from qcc.files import finish_around
from qcc.inputs import open_input, read_input

LITE_VERSION = "v2.13-rc"
MOST_PARAMS = 65535
GARBAGE = "the version in the header is followed by garbage"
"""A complaint about a file that Paddle Lite's own optimizer may deserve; the runtime does not mind."""

_HEADER = struct.Struct("<H16sQ")
_PARAMS_HEADER = struct.Struct("<HHHHI")
_ENTRY = struct.Struct("<II")
_ROOM = 256
_MAX_SIZE = 1 << 32
_T = TypeVar("_T")


@dataclass
class NaiveBuffer:
    """What a `.nb` file holds."""

    program: ProgramDesc
    params: Sequence[ParamDesc]
    lite_version: str = LITE_VERSION

    @property
    def ops(self) -> Sequence[OpDesc]:
        """The operators of the main block."""
        return self.program.blocks[0].ops


def write_naive_buffer(buffer: NaiveBuffer, stream: IO[bytes]) -> None:
    """Write a file of meta version 2, one parameter after the other; the same bytes at every run.

    Raises OutputError when there are more parameters than the format can count.
    """
    if len(buffer.params) > MOST_PARAMS:
        raise OutputError(
            f"a naive buffer holds at most {MOST_PARAMS} parameters, and this model has {len(buffer.params)}."
        )
    topology = pack(buffer.program, room=1 << 16)
    stream.write(_HEADER.pack(2, buffer.lite_version.encode(), len(topology)))
    stream.write(topology)
    sizes = [len(param.variable.data) for param in buffer.params if param.variable is not None]
    stream.write(_PARAMS_HEADER.pack(0, 0, 6, len(buffer.params), max(sizes, default=0)))
    for param, size in zip(buffer.params, sizes, strict=True):
        _write_param(param, size, stream)


def _write_param(param: ParamDesc, size: int, stream: IO[bytes]) -> None:
    """One at a time: nothing of the parameter before is in memory any more."""
    packed = pack(param, room=size + _ROOM)
    stream.write(_ENTRY.pack(len(packed) + 4, 4))
    stream.write(packed)


@dataclass
class Parsed:
    """A file as read: its content, and what the verifier has to say about its bytes."""

    buffer: NaiveBuffer
    complaints: list[str]


def read_naive_buffer(path: Path) -> NaiveBuffer:
    """Read a file of meta version 1 or 2.  Raises ModelFormatError naming the file and what is wrong."""
    return parse_naive_buffer(path).buffer


def parse_naive_buffer(path: Path) -> Parsed:
    """Read a file and judge every byte of it.  Raises ModelFormatError."""
    finish_around(path)
    try:
        data = memoryview(read_input(path, _MAX_SIZE))
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be read: {error.strerror}.") from error
    return parse_bytes(data, str(path))


def parse_bytes(data: memoryview | bytes, name: str = "it") -> Parsed:
    """The same for a file's bytes; `name` is what a message calls it."""
    try:
        return _parse(memoryview(data))
    except (DamagedError, struct.error) as error:
        raise ModelFormatError(f"{name} is not a Paddle Lite naive buffer, or is damaged: {error}.") from None


def is_naive_buffer(path: Path) -> bool:
    """True when the header, the only mark that the format has, fits the file's size."""
    size = path.stat().st_size
    with open_input(path) as stream:
        head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return False
    meta, _, topology = _HEADER.unpack(head)
    return meta in (0, 1, 2) and 0 < topology <= size - _HEADER.size


def _parse(data: memoryview) -> Parsed:
    if len(data) < _HEADER.size:
        raise DamagedError("it is shorter than the header")
    meta, version, size = _HEADER.unpack_from(data)
    if meta == 0:
        raise DamagedError("it has meta version 0, which Paddle Lite wrote before release 2.7")
    if meta not in (1, 2):
        raise DamagedError(f"it has meta version {meta}")
    start = _HEADER.size
    if size > len(data) - start:
        raise DamagedError(f"its topology of {size} bytes is truncated")
    complaints: list[str] = []
    text, _, rest = bytes(version).partition(b"\0")
    if any(rest):
        complaints.append(GARBAGE)
    program = _read_root(data[start : start + size], ProgramDesc, "topology", complaints)
    if not program.blocks:
        raise DamagedError("its program has no block")
    params = data[start + size :]
    if meta == 1:
        combined = _read_root(params, CombinedParamsDesc, "parameters", complaints)
        found = list(combined.params)
    else:
        found = list(_params(params, complaints))
    _require_sound(program)
    return Parsed(NaiveBuffer(program, found, text.decode(errors="replace")), complaints)


def _require_sound(program: ProgramDesc) -> None:
    # An op of a sub-block also sees what is declared outside it.
    declared = {var.name for block in program.blocks for var in block.vars}
    for op in (op for block in program.blocks for op in block.ops):
        for what in unsound(op, declared):
            raise DamagedError(what)


def _params(data: memoryview, complaints: list[str]) -> Iterator[ParamDesc]:
    version, reserved = struct.unpack_from("<HH", data)
    if version != 0:
        raise DamagedError(f"its parameters have format version {version}")
    header, count, largest = struct.unpack_from("<HHI", data, 4 + reserved)
    position = 4 + reserved + 2 + header
    sizes = [0]
    for index in range(count):
        total, offset = _ENTRY.unpack_from(data, position)
        start, position = position + 4 + offset, position + 4 + total
        if start > position or position > len(data):
            raise DamagedError(f"parameter {index + 1} of {count} is truncated")
        param = _read_root(data[start:position], ParamDesc, f"parameter {index + 1}", complaints)
        sizes.append(len(param.variable.data) if param.variable is not None else 0)
        yield param
    if position != len(data):
        complaints.append(f"{len(data) - position} bytes follow the last parameter")
    if largest != max(sizes):
        complaints.append(f"the header says that the largest parameter has {largest} bytes, not {max(sizes)}")


def _read_root(data: memoryview, table: type[_T], where: str, complaints: list[str]) -> _T:
    unpacker = Unpacker(data)
    root = unpacker.root(table)
    complaints += [f"{where}: {complaint}" for complaint in unpacker.complaints]
    complaints += [
        f"{where}: the bytes {start} to {stop} belong to nothing" for start, stop in unpacker.unaccounted()
    ]
    return root
