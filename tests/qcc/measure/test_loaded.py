"""Models in engines, run on what a metric gives them."""

from __future__ import annotations

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
from qcc.errors import GraphError, QccError
from qcc.measure.loaded import Loaded, cases_of, loaded


class Echo:
    """An engine that gives what it is fed with."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return list(inputs.values())


def test_elements_of_another_type_are_refused() -> None:
    """As `qcc.Model` refuses them; engines read the bytes of images of uint8 as if they were floats."""
    running: Any = Echo()
    model = Loaded(("x",), running, {"x": np.dtype(np.float32)})
    image = np.ones((1, 3), np.uint8)
    with pytest.raises(GraphError, match=r"'x' is uint8, .* give it `.astype\('float32'\)`"):
        model.run({"x": image})
    assert model.run({"x": image.astype(np.float32)})[0].sum() == 3


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
