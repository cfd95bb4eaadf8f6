"""What `tools/paddle3` has saved under Paddle 3.3.1: programs, and what they compute there."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from paddle3.values import Input, weight
from paddle3_programs import write_value

import qcc
from qcc.frontend.paddle3 import read
from qcc.frontend.paddle3.program import Tensor
from qcc.model import Model
from qcc.targets.processor import cpu_flags

# Paddle's float kernels sum in another order with AVX-512, which the processor did not have that all this was
# stored on: by so much may outputs of small networks be off there, of the largest.
OTHER_KERNELS = 3e-6
STORED_KERNELS = "avx512f" not in cpu_flags()

_FOLDER = Path(__file__).parents[1] / "qcc" / "frontend" / "paddle3"


@dataclass(frozen=True)
class Digest:
    """A large output, of which the checksum alone is stored."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str

    @staticmethod
    def of(array: np.ndarray) -> Digest:
        return Digest(str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest())

    def check(self, array: np.ndarray) -> None:
        if STORED_KERNELS:
            assert Digest.of(array) == self
        else:
            assert (str(array.dtype), array.shape) == (self.dtype, self.shape)
            assert np.isfinite(array).all()


@dataclass(frozen=True)
class Case:
    """A program, its inputs, and the outputs of Paddle 3.3.1."""

    program: Any
    inputs: dict[str, np.ndarray]
    outputs: list[np.ndarray | Digest]
    weights: dict[str, np.ndarray]

    def write(self, folder: Path) -> Path:
        """`inference.json` and `inference.pdiparams`; the path of the first."""
        path = folder / "inference.json"
        path.write_text(json.dumps(self.program))
        parameters = [parameter for parameter in read(path).parameters if parameter.persistable]
        with (folder / "inference.pdiparams").open("wb") as stream:
            for parameter in sorted(parameters, key=lambda parameter: parameter.name):
                kind = parameter.value.type
                assert isinstance(kind, Tensor)
                value = self.weights.get(parameter.name)
                if value is None:
                    value = weight(parameter.name, kind.shape, kind.dtype)
                write_value(stream, value)
        return path

    def load(self, folder: Path) -> Model:
        return qcc.load(self.write(folder))


def check_output(array: np.ndarray, wanted: np.ndarray | Digest, rounding: float = 0.0) -> None:
    """Equal to what is stored, bit for bit; or as near as `rounding` says, of the largest value."""
    if isinstance(wanted, Digest):
        wanted.check(array)
        return
    assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape)
    if not STORED_KERNELS and array.dtype.kind in "fc":
        rounding = max(rounding, OTHER_KERNELS)
    if rounding:
        largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
        np.testing.assert_allclose(array, wanted, rtol=0, atol=rounding * largest)
    else:
        np.testing.assert_array_equal(array, wanted)


def case(group: str, name: str) -> Case:
    stored = cases(group)[name]
    return Case(
        stored["program"],
        {
            key: Input(seed, tuple(shape), *rest).value()
            for key, (seed, shape, *rest) in stored["inputs"].items()
        },
        [_output(*output) for output in stored["outputs"]],
        {key: _array(*value) for key, value in stored.get("weights", {}).items()},
    )


@cache
def cases(group: str) -> dict[str, Any]:
    """All cases of a file, `networks` or `functions`."""
    content: dict[str, Any] = json.loads(gzip.decompress((_FOLDER / f"{group}.json.gz").read_bytes()))
    return content


def _output(dtype: str, shape: list[int], data: str | None, sha256: str = "") -> np.ndarray | Digest:
    return Digest(dtype, tuple(shape), sha256) if data is None else _array(dtype, shape, data)


def _array(dtype: str, shape: list[int], data: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(data), dtype).reshape(shape)
