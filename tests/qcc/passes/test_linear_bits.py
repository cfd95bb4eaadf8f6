"""quantize_linear and dequantize_linear of other bits than 8: the installed Paddle does what they say.

Paddle 2.6 computes with `bit_length`, Paddle 3 with `qmin` and `qmax`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qcc
from qcc.backends.predictor import Predictor
from qcc.backends.program_file import inference_program
from qcc.ir.program import OpProto, ProgramProto
from qcc.ir.text import parse_graph
from qcc.model import Model
from qcc.passes.round_trip import linear_attrs

TEXT = """
graph {for_test=true}
feeds [x]
fetches [q, y]
usual var {persistable=false}

weight scale: float32[1] = [1.0]
weight zero: int32[1] = [0]
var x: float32[-1, 4] {need_check_feed=true}
var q: float32[-1, 4]
var y: float32[-1, 4]
"""
X = np.array([[0.5, -0.3, 2, -2]], np.float32)
RANGES = {4: (-8, 7), 7: (-64, 63), 8: (-128, 127), 16: (-32768, 32767)}


def linear_model(bits: int) -> Model:
    graph = parse_graph(TEXT)
    slots = {"Scale": graph.var("scale"), "ZeroPoint": graph.var("zero")}
    attrs = linear_attrs(bits, axis=-1)
    graph.add_op("quantize_linear", {"X": graph.var("x"), **slots}, {"Y": graph.var("q")}, attrs)
    graph.add_op("dequantize_linear", {"X": graph.var("q"), **slots}, {"Y": graph.var("y")}, attrs)
    return Model(graph)


def wanted(bits: int) -> np.ndarray:
    lowest, highest = RANGES[bits]
    return np.clip(np.round(X * highest), lowest, highest)


@pytest.mark.parametrize("bits", RANGES)
def test_paddle_computes_with_these_bits(bits: int, tmp_path: Path) -> None:
    model = linear_model(bits)
    integers, values = model.run({"x": X})
    np.testing.assert_array_equal(integers, wanted(bits))
    np.testing.assert_allclose(values, wanted(bits) / RANGES[bits][1], rtol=1e-6)
    qcc.save(model, tmp_path, form="float", check=False)
    predictor = Predictor.open(tmp_path)
    np.testing.assert_array_equal(predictor.run({"x": X})[0], integers)


def test_eight_bits_go_without_saying() -> None:
    """So that files of 8 bits are the same as ever."""
    assert not {"qmin", "qmax"} & linear_attrs(8, axis=-1).keys()


def attributes(op: OpProto) -> dict[str, int]:
    return {attr.name: attr.i for attr in op.attrs if attr.name in ("bit_length", "qmin", "qmax")}


def test_a_file_that_says_bits_alone_is_read_with_their_range(tmp_path: Path) -> None:
    """As Paddle 2.6 and its tools write it."""
    program = inference_program(linear_model(4).graph)
    for op in program.blocks[0].ops:
        kept = [attr for attr in op.attrs if attr.name not in ("qmin", "qmax")]
        del op.attrs[:]
        op.attrs.extend(kept)
    qcc.save(linear_model(4), tmp_path, form="float", check=False)
    (file,) = tmp_path.glob("*.pdmodel")
    file.write_bytes(ProgramProto.SerializeToString(program))
    (tmp_path / "qcc.json").unlink()  # it is of the file before
    model = qcc.load(tmp_path)
    for op in inference_program(model.graph).blocks[0].ops:
        if op.type.endswith("quantize_linear"):
            assert attributes(op) == {"bit_length": 4, "qmin": -8, "qmax": 7}
    np.testing.assert_array_equal(model.run({"x": X})[0], wanted(4))
