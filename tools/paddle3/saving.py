"""Saving what Paddle 3.3.1 makes of a network, and what it computes, in little room.

Runs under paddlepaddle 3.3.1. A case is NAME.json.gz, the program, and NAME.npz: `in_NAME` for each input,
`out_N` for each output, and `param_NAME` for each parameter that `values.weight` does not give.
"""

from __future__ import annotations

import gzip
import json
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle.base.proto import framework_pb2
from paddle3.values import weight

DTYPES = {
    "bool": 0,
    "int16": 1,
    "int32": 2,
    "int64": 3,
    "float16": 4,
    "float32": 5,
    "float64": 6,
    "uint8": 20,
    "int8": 21,
}
NAMES = {
    "t_f32": "float32",
    "t_f64": "float64",
    "t_i32": "int32",
    "t_i64": "int64",
    "t_i8": "int8",
    "t_bool": "bool",
}


def save(
    folder: Path,
    name: str,
    net: Any,
    specs: Sequence[Any],
    inputs: Sequence[Any],
    own_weights: bool = False,
) -> None:
    """Save a layer or function; `own_weights` are stored, others are replaced by those that need no room."""
    with tempfile.TemporaryDirectory() as place:
        prefix = str(Path(place, "inference"))
        if isinstance(net, paddle.nn.Layer):
            net.eval()
        paddle.jit.save(net, prefix, input_spec=list(specs))
        program = Path(f"{prefix}.json").read_bytes()
        params = parameters(json.loads(program))
        stored = {}
        if own_weights:
            values = read_stream(Path(f"{prefix}.pdiparams"), [item[0] for item in params])
            stored = {f"param_{key}": value for key, value in values.items()}
        elif params:
            write_stream(Path(f"{prefix}.pdiparams"), [weight(*item) for item in params])
        outputs = run(prefix, inputs)
    names = [spec.name for spec in specs]
    arrays = {f"in_{key}": value for key, value in zip(names, inputs, strict=True)}
    arrays |= {f"out_{index}": value for index, value in enumerate(outputs)}
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath(f"{name}.json.gz").write_bytes(gzip.compress(program, 9, mtime=0))
    np.savez_compressed(folder / f"{name}.npz", **arrays, **stored)


def parameters(program: Any) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and dtype of all that have a value in the file, in its order."""
    found = []
    for op in program["program"]["regions"][0]["blocks"][0]["ops"]:
        if op["#"] == "p" and op["OA"][0]:
            dtype, shape = op["O"]["TT"]["D"][:2]
            found.append((op["A"][3], tuple(shape), NAMES[dtype["#"].split(".")[1]]))
    return sorted(found)


def run(prefix: str, inputs: Sequence[Any]) -> list[Any]:
    """What Paddle 3 computes from the files."""
    paddle.enable_static()
    try:
        executor = paddle.static.Executor(paddle.CPUPlace())
        with paddle.static.scope_guard(paddle.static.Scope()):
            program, feeds, fetches = paddle.static.load_inference_model(prefix, executor)
            feed = dict(zip(feeds, inputs, strict=True))
            return [np.array(item) for item in executor.run(program, feed=feed, fetch_list=fetches)]
    finally:
        paddle.disable_static()


def write_stream(path: Path, values: Sequence[Any]) -> None:
    """Values one after the other, as `save_combine` writes them."""
    with path.open("wb") as stream:
        for value in values:
            desc = framework_pb2.VarType.TensorDesc(data_type=DTYPES[str(value.dtype)], dims=value.shape)
            data = desc.SerializeToString()
            stream.write(
                struct.pack("<IQIi", 0, 0, 0, len(data)) + data + np.ascontiguousarray(value).tobytes()
            )


def read_stream(path: Path, names: Sequence[str]) -> dict[str, Any]:
    numpy_of = {number: name for name, number in DTYPES.items()}
    data, position, found = path.read_bytes(), 0, {}
    for name in names:
        size = struct.unpack_from("<IQIi", data, position)[3]
        position += struct.calcsize("<IQIi")
        desc = framework_pb2.VarType.TensorDesc.FromString(data[position : position + size])
        position += size
        dtype = np.dtype(numpy_of[desc.data_type])
        count = int(np.prod(desc.dims))
        found[name] = np.frombuffer(data, dtype, count, position).reshape(list(desc.dims))
        position += count * dtype.itemsize
    return found
