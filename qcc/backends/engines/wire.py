"""How qcc talks to the processes in which runtimes run.

A message is a 4-byte little-endian length, a JSON object of that length, and the bytes of the arrays that
the object lists under "arrays" as [name, dtype, shape]. It needs numpy alone, since the process of Paddle
Lite's runtime must not hold Paddle's.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

_LENGTH = struct.Struct("<I")

Arrays = dict[str, np.ndarray]


class Closed(Exception):
    """The other side has gone."""


def send(connection: socket.socket, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Send a message.  Raises Closed."""
    # In this machine's order of bytes, in which runtimes read them whatever numpy says.
    values = {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("=")) for name, array in arrays.items()
    }
    listed = [[name, str(array.dtype), list(np.shape(arrays[name]))] for name, array in values.items()]
    text = json.dumps({**header, "arrays": listed}).encode()
    try:
        connection.sendall(_LENGTH.pack(len(text)) + text)
        for array in values.values():
            connection.sendall(array.reshape(-1).view(np.uint8).data)
    except (BrokenPipeError, ConnectionResetError):
        raise Closed from None


def receive(connection: socket.socket) -> tuple[dict[str, Any], Arrays]:
    """The next message: its object, and its arrays by name, in their order.  Raises Closed."""
    (length,) = _LENGTH.unpack(_read(connection, _LENGTH.size))
    header = json.loads(bytes(_read(connection, length)))
    arrays = {}
    for name, dtype, shape in header["arrays"]:
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        arrays[name] = np.frombuffer(_read(connection, size), dtype).reshape(shape)
    return header, arrays


def _read(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        try:
            count = connection.recv_into(view[done:])
        except ConnectionResetError:
            count = 0
        if not count:
            raise Closed
        done += count
    return data
