"""Models in engines, run on what a metric gives them."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_ops import CASES

from qcc.backends.engines.wire import receive, send
from qcc.backends.lite.export import export
from qcc.backends.lite.file import read_naive_buffer, write_naive_buffer
from qcc.backends.lite.passes.kernels import KERNEL_ATTR
from qcc.backends.lite.schema import AttrKind, VarKind, VarType
from qcc.errors import EngineError, GraphError, QccError
from qcc.measure.loaded import Loaded, cases_of, loaded


class Echo:
    """An engine that gives what it is fed with."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return list(inputs.values())


def test_elements_of_another_type_are_refused() -> None:
    """As `qcc.Model` refuses them; engines read the bytes of images of uint8 as if they were floats."""
    running: Any = Echo()
    model = Loaded(("x",), running, {"x": np.dtype(np.float32)}, {"x": (1, 3)})
    image = np.ones((1, 3), np.uint8)
    with pytest.raises(GraphError, match=r"'x' is uint8, .* give it `.astype\('float32'\)`"):
        model.run({"x": image})
    assert model.run({"x": image.astype(np.float32)})[0].sum() == 3


class Strict:
    """An engine that runs two rows and nothing else."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        if any(len(array) != 2 for array in inputs.values()):
            raise EngineError("Check failed at infer_request.cpp:385.")
        return list(inputs.values())


@pytest.mark.parametrize(
    ("declared", "given", "words"),
    [
        (
            (2, 3),
            (4, 3),
            "'x' is of shape [4, 3], which this engine does not run, and the model is declared with"
            " [2, 3]: give it that, or save",
        ),
        ((-1, 3), (4, 4), "is declared with [-1, 3]: give it that, with any length for -1, or save"),
        ((2, 3), (6,), "'x' is of shape [6], which"),
        ((-1, 3), (4, 3), "Check failed"),
        (None, (4, 3), "Check failed"),
    ],
)
def test_what_an_engine_refuses_of_another_shape_names_it(
    declared: tuple[int, ...] | None, given: tuple[int, ...], words: str
) -> None:
    running: Any = Strict()
    model = Loaded(("x",), running, {}, {} if declared is None else {"x": declared})
    with pytest.raises(EngineError, match=re.escape(words)):
        model.run({"x": np.zeros(given)})


def test_what_an_engine_runs_of_another_shape_is_run() -> None:
    running: Any = Strict()
    assert Loaded(("x",), running, {}, {"x": (1, 3)}).run({"x": np.zeros((2, 3))})[0].shape == (2, 3)


def test_bytes_in_another_order_arrive_as_what_they_say() -> None:
    here, there = socket.socketpair()
    with here, there:
        send(here, {}, {"x": np.arange(6, dtype=">f4").reshape(2, 3), "y": np.array(5, ">i8")})
        found = receive(there)[1]
    assert [array.dtype.isnative for array in found.values()] == [True, True]
    np.testing.assert_array_equal(found["x"], np.arange(6).reshape(2, 3))
    assert found["y"] == 5


@pytest.mark.lite
@pytest.mark.parametrize("damage", ["feed", "kernel"])
def test_a_damaged_file_is_told_of(damage: str, tmp_path: Path) -> None:
    """Its feed has no type, or a kernel's name is no text."""
    case = CASES["relu"]
    export(case.model(), tmp_path / "a.nb", arch="x86", check=False)
    buffer = read_naive_buffer(tmp_path / "a.nb")
    block = buffer.program.blocks[0]
    if damage == "feed":
        (fed,) = (var for var in block.vars if var.name == "x0")
        fed.type = VarType(VarKind.LOD_TENSOR)  # of elements that it does not tell
    else:
        (relu,) = (op for op in block.ops if op.type == "relu")
        (name,) = (attr for attr in relu.attrs if attr.name == KERNEL_ATTR)
        name.type, name.ints = AttrKind.INTS, (1, 2)
    with (tmp_path / "b.nb").open("wb") as stream:
        write_naive_buffer(buffer, stream)
    with pytest.raises(QccError, match=r"b\.nb"):
        run_file(tmp_path / "b.nb", case.feed())


def run_file(file: Path, inputs: Mapping[str, np.ndarray]) -> None:
    (case,) = cases_of("lite", file, file.parent)
    with loaded(case, 1) as model:
        model.run(inputs)
