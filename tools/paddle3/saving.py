"""Saving what Paddle 3.3.1 makes of a network, and what it computes, in little room.

Runs under paddlepaddle 3.3.1. A file holds cases by name, JSON that is compressed:

    {"program": the content of inference.json,
     "inputs": {name: [seed, shape, dtype, low, high] of `values.Input`},
     "outputs": [[dtype, shape, base64 of the values], ...], of large ones [dtype, shape, null, sha256],
     "weights": {name: the same} where `values.weight` does not give them}
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle.base.proto import framework_pb2
from paddle3.values import Input, weight

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
    # bfloat16, for which numpy has no name: its bits.
    "uint16": 22,
}
NAMES = {
    "t_f16": "float16",
    "t_bf16": "bfloat16",
    "t_f32": "float32",
    "t_f64": "float64",
    "t_i32": "int32",
    "t_i64": "int64",
    "t_i8": "int8",
    "t_bool": "bool",
}


LARGE = 20_000


class Cases:
    """The cases of a file; what is saved anew takes the place of what was there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cases: dict[str, Any] = {}
        if path.exists():
            self.cases = json.loads(gzip.decompress(path.read_bytes()))

    def write(self) -> None:
        text = json.dumps(dict(sorted(self.cases.items())), separators=(",", ":"))
        self.path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))

    def save(
        self,
        name: str,
        net: Any,
        specs: Sequence[Any],
        inputs: Sequence[Input],
        own_weights: bool = False,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Save a layer or function; `own_weights` are stored, others replaced by those that need no room.
        `outputs` are given where Paddle does not compute its own file, or not right.
        """
        arrays = [item.value() for item in inputs]
        with tempfile.TemporaryDirectory() as place:
            prefix = str(Path(place, "inference"))
            if isinstance(net, paddle.nn.Layer):
                net.eval()
            paddle.jit.save(net, prefix, input_spec=list(specs))
            program = json.loads(Path(f"{prefix}.json").read_bytes())
            params = parameters(program)
            path = Path(f"{prefix}.pdiparams")
            weights = {}
            if own_weights:
                weights = read_stream(path, [item[0] for item in params])
            elif params:
                write_stream(path, [weight(*item) for item in params])
            if outputs is None:
                outputs = run(prefix, arrays)
        case: dict[str, Any] = {"program": program}
        case["inputs"] = {spec.name: astuple(item) for spec, item in zip(specs, inputs, strict=True)}
        case["outputs"] = [stored(output) if output.size <= LARGE else digest(output) for output in outputs]
        if weights:
            case["weights"] = {key: stored(value) for key, value in weights.items()}
        self.cases[name] = case


def digest(array: Any) -> list[Any]:
    return [str(array.dtype), list(array.shape), None, hashlib.sha256(array.tobytes()).hexdigest()]


def stored(array: Any) -> list[Any]:
    return [str(array.dtype), list(array.shape), base64.b64encode(array.tobytes()).decode()]


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
