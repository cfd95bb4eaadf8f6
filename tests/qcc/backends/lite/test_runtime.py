"""The runtime in a process of its own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from lite_agreement import assert_close
from lite_case import build_model, floats
from lite_commands import outcome
from lite_ops import CASES

from qcc._paddle import paddle
from qcc.backends.lite.export import export
from qcc.backends.lite.runtime import LiteRuntime
from qcc.errors import (
    LiteRuntimeError,
    ModelFormatError,
)


@pytest.mark.lite
def test_runtime_refuses(tmp_path: Path) -> None:
    """A file with a kernel that the library does not have makes it abort."""
    export(CASES["relu"].model(), tmp_path / "a.nb", arch="x86", check=False)
    data = (tmp_path / "a.nb").read_bytes()
    (tmp_path / "a.nb").write_bytes(data.replace(b"relu/def/", b"relu/fed/"))
    with pytest.raises(LiteRuntimeError, match=r"was ended by SIGABRT on .*a.nb: \[F"):
        LiteRuntime(tmp_path / "a.nb")


@pytest.mark.lite
def test_a_feed_of_truth_values(tmp_path: Path) -> None:
    """The runtime's own binding makes true of all of them."""
    x, mask = floats(2, 8), np.arange(16).reshape(2, 8) % 3 == 0
    model = build_model(lambda x, mask: x * paddle.cast(mask, "float32"), (x, mask))
    export(model, tmp_path / "a.nb", arch="x86", check={"x0": x, "x1": mask})
    with LiteRuntime(tmp_path / "a.nb") as runtime:
        (found,) = runtime.run({"x0": x, "x1": mask})
    np.testing.assert_array_equal(found, x * mask)


@pytest.mark.lite
@pytest.mark.parametrize("dtype", ["float64", "uint8", "int64"])
def test_elements_of_another_type_are_refused(dtype: str, tmp_path: Path) -> None:
    """The runtime would read their bytes as those of floats."""
    case = CASES["relu"]
    export(case.model(), tmp_path / "a.nb", arch="x86", check=False)
    given = {name: array.astype(dtype) for name, array in case.feed().items()}
    with (
        LiteRuntime(tmp_path / "a.nb") as runtime,
        pytest.raises(LiteRuntimeError, match=rf"'x0' is {dtype}, and the model is fed with float32"),
    ):
        runtime.run(given)


@pytest.mark.lite
def test_what_is_no_array_of_numbers(tmp_path: Path) -> None:
    """A list is taken as Paddle's executor takes it."""
    case = CASES["relu"]
    export(case.model(), tmp_path / "a.nb", arch="x86", check=False)
    (array,) = case.feed().values()
    with LiteRuntime(tmp_path / "a.nb") as runtime:
        with pytest.raises(
            LiteRuntimeError, match=r"'x0' is object, and the model is fed with float32: give"
        ):
            runtime.run({"x0": array.astype(object)})
        assert_close(runtime.run({"x0": array.tolist()}), [np.maximum(array, 0)])


@pytest.mark.lite
@pytest.mark.parametrize("shape", [(1, 3, 20, 20), (1, 3, 16, 20), (1, 4, 16, 16), (3, 16, 16)])
def test_another_size_than_the_declared_one_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    """The runtime does not look, and the file holds numbers that were worked out from the size."""
    x = floats(1, 3, 16, 16)
    model = build_model(lambda x: paddle.nn.functional.relu(x) / x.shape[2], (x,))
    export(model, tmp_path / "a.nb", arch="x86", check={"x0": x})
    sizes = re.escape(str(list(shape)))
    with LiteRuntime(tmp_path / "a.nb") as runtime:
        assert runtime.shapes == {"x0": (-1, 3, 16, 16)}
        for ask in (runtime.run, runtime.milliseconds):
            with pytest.raises(
                LiteRuntimeError,
                match=rf"'x0' is {sizes}, and .*a\.nb is written for \[-1, 3, 16, 16\]: give",
            ):
                ask({"x0": floats(*shape)})
        # The process is there still, and the batch is open.
        for batch in (1, 2):
            given = floats(batch, 3, 16, 16)
            assert_close(runtime.run({"x0": given}), [np.maximum(given, 0) / 16])


@pytest.mark.lite
def test_any_size_where_sizes_are_open(tmp_path: Path) -> None:
    x = floats(1, 3, 16, 16)
    model = build_model(paddle.nn.functional.relu, (x,), any_size=True)
    export(model, tmp_path / "a.nb", arch="x86", check=False)
    with LiteRuntime(tmp_path / "a.nb") as runtime:
        for given in (x, floats(2, 3, 20, 9)):
            assert_close(runtime.run({"x0": given}), [np.maximum(given, 0)])


@pytest.mark.lite
def test_truth_values_come_out(tmp_path: Path) -> None:
    """The runtime's own binding gives the first one in the place of all."""
    x = floats(2, 3, 5)
    model = build_model(lambda x: [x > 0.5, paddle.cast(x > 0.5, "float32")], (x,))
    export(model, tmp_path / "a.nb", arch="x86", check={"x0": x})
    with LiteRuntime(tmp_path / "a.nb") as runtime:
        found, counted = runtime.run({"x0": x})
    np.testing.assert_array_equal(found, x > 0.5)
    np.testing.assert_array_equal(counted, x > 0.5)


@pytest.mark.lite
def test_a_softmax_of_a_number(tmp_path: Path) -> None:
    x = floats(2, 3)
    model = build_model(lambda x: paddle.nn.functional.softmax(paddle.sum(x)), (x,))
    export(model, tmp_path / "a.nb", arch="x86", check={"x0": x})
    with LiteRuntime(tmp_path / "a.nb") as runtime:
        assert runtime.run({"x0": x})[0] == 1


@pytest.mark.lite
def test_runtime_refuses_what_is_no_file_for_x86(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "a.nb").write_bytes(b"no model at all, by any means, nor anything that looks like it")
    with pytest.raises(ModelFormatError, match="is not a Paddle Lite naive buffer"):
        LiteRuntime(tmp_path / "a.nb")
    outcome("export", saved, "--arch", "arm", "-o", tmp_path / "b.nb")
    with pytest.raises(LiteRuntimeError, match=r"b\.nb is for ARM, .* with --arch x86"):
        LiteRuntime(tmp_path / "b.nb")


@pytest.mark.lite
def test_milliseconds(tmp_path: Path) -> None:
    case = CASES["relu"]
    export(case.model(), tmp_path / "a.nb", arch="x86", check=False)
    with LiteRuntime(tmp_path / "a.nb") as runtime:
        assert 0 < runtime.milliseconds(case.feed(), warm_up=1, runs=3) < 1e4


@pytest.mark.lite
def test_runtime_wants_its_inputs(tmp_path: Path) -> None:
    export(CASES["relu"].model(), tmp_path / "a.nb", arch="x86", check=False)
    with (
        LiteRuntime(tmp_path / "a.nb") as runner,
        pytest.raises(LiteRuntimeError, match=r"wants the inputs x0 for this model, and got none"),
    ):
        runner.run({})


@pytest.mark.lite
def test_runtime_dies_at_work(tmp_path: Path) -> None:
    """It aborts on batches that do not go together; the next model has a process of its own."""
    model = build_model(lambda x, y: paddle.concat([x, y], 1), (floats(3, 8), floats(3, 5)))
    export(model, tmp_path / "a.nb", arch="x86", check=False)
    with LiteRuntime(tmp_path / "a.nb") as runner, pytest.raises(LiteRuntimeError, match="was ended by SIG"):
        runner.run({"x0": floats(3, 8), "x1": floats(2, 5)})
    with LiteRuntime(tmp_path / "a.nb") as runner:
        assert runner.run({"x0": floats(3, 8), "x1": floats(3, 5)})[0].shape == (3, 13)


@pytest.mark.lite
def test_the_same_variable_fetched_twice(tmp_path: Path) -> None:
    model = CASES["relu"].model()
    model.graph.fetches = (*model.fetches, "x0", *model.fetches)
    export(model, tmp_path / "a.nb", arch="x86", check=False)
    inputs = CASES["relu"].feed()
    with LiteRuntime(tmp_path / "a.nb") as runner:
        found = runner.run(inputs)
    assert_close(found, [np.maximum(inputs["x0"], 0), inputs["x0"], np.maximum(inputs["x0"], 0)])


@pytest.mark.lite
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_a_softmax_of_large_values(axis: int, tmp_path: Path) -> None:
    """Over another axis than the last one, the kernel's exponentials are infinite."""
    x = floats(2, 4, 5, 6, low=-500.0, high=500.0)
    model = build_model(lambda x: paddle.nn.functional.softmax(x, axis), (x,))
    export(model, tmp_path / "a.nb", arch="x86", check=False)
    with LiteRuntime(tmp_path / "a.nb") as runtime:
        assert_close(runtime.run({"x0": x}), model.run({"x0": x}))
