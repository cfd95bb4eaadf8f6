"""What engines of ONNX files are fed with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qcc.backends.engines.fed import fed
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.engines.openvino import OpenVino
from qcc.backends.engines.runtime import Runtime
from qcc.errors import EngineError

X, N = np.array([[1.5, -2.0, 3.0]], np.float32), np.array([[7, 8, 9]], np.int64)


@pytest.fixture(params=["onnxruntime", "openvino"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runtime]:
    """It adds x, floats, and n, integers."""
    pytest.importorskip(request.param)
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["n"], ["floats"], to=kinds.FLOAT),
            helper.make_node("Add", ["x", "floats"], ["sum"]),
        ],
        "sum",
        [
            helper.make_tensor_value_info("x", kinds.FLOAT, [1, 3]),
            helper.make_tensor_value_info("n", kinds.INT64, [1, 3]),
        ],
        [helper.make_tensor_value_info("sum", kinds.FLOAT, [1, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "a.onnx")
    kind = OnnxRuntime if request.param == "onnxruntime" else OpenVino
    with kind(tmp_path / "a.onnx") as opened:
        yield opened


@pytest.mark.parametrize("dtype", ["uint8", "float64", "int64", "object"])
def test_elements_of_another_type_are_refused(dtype: str, engine: Runtime) -> None:
    """OpenVINO converts them where it runs, and not where it is timed; wrong ones end either's process."""
    given = {"x": np.ones((1, 3)).astype(dtype), "n": N}
    for ask in (engine.run, engine.milliseconds):
        with pytest.raises(EngineError, match=rf"'x' is {dtype}, and the model is fed with float32: give it"):
            ask(given)
    with pytest.raises(EngineError, match="'n' is int32, and the model is fed with int64: give it"):
        engine.run({"x": X, "n": N.astype(np.int32)})
    np.testing.assert_array_equal(engine.run({"x": X, "n": N})[0], [[8.5, 6, 12]])


def test_lists_are_what_the_model_takes(engine: Runtime) -> None:
    given: Any = {"x": X.tolist(), "n": N.tolist(), "more": None}
    np.testing.assert_array_equal(engine.run(given)[0], [[8.5, 6, 12]])


def test_a_model_with_other_inputs_is_refused(engine: Runtime) -> None:
    with pytest.raises(EngineError, match=f"{engine.engine} wants the inputs n for this model, and got x"):
        engine.run({"x": X})


@pytest.mark.parametrize("dtype", ["object", "<U3", "datetime64[s]"])
def test_only_numbers_where_nothing_is_declared(dtype: str) -> None:
    given = {"x": np.ones(3, np.int32).astype(dtype)}
    with pytest.raises(EngineError, match="and the model is fed with numbers: give it an array of these"):
        fed(("x",), {}, given, EngineError)
    assert fed(("x",), {}, {"x": N}, EngineError)["x"] is N


def test_complex_numbers_where_a_model_takes_them() -> None:
    given, dtypes = {"x": np.ones(3, np.complex64)}, {"x": np.dtype(np.complex64)}
    assert fed(("x",), dtypes, given, EngineError)["x"] is given["x"]
    with pytest.raises(EngineError, match="'x' is float32, and the model is fed with complex64: give it"):
        fed(("x",), dtypes, {"x": np.ones(3, np.float32)}, EngineError)


def test_a_model_that_takes_what_numpy_has_no_name_of_is_opened(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    text, number = (
        helper.make_tensor_value_info(name, kind, [1])
        for name, kind in (("t", kinds.STRING), ("n", kinds.BOOL))
    )
    same = [helper.make_node("Identity", [name], [f"{name}.same"]) for name in "tn"]
    outputs = [
        helper.make_tensor_value_info("t.same", kinds.STRING, [1]),
        helper.make_tensor_value_info("n.same", kinds.BOOL, [1]),
    ]
    graph = helper.make_graph(same, "same", [text, number], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "a.onnx")
    with OnnxRuntime(tmp_path / "a.onnx") as opened:
        assert opened.inputs == ("t", "n")
        assert opened.dtypes == {"n": np.dtype(bool)}
