"""The target "fluid": files as Paddle writes them, in every form, all at once or not at all."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import qat_nets
from frozen_models import frozen, transformed, transformed_model
from saved_models import PaddleModel, control_flow, no_weights, two_feeds, without_call_stacks

import qcc
from qcc._paddle import paddle
from qcc.backends import check as checks
from qcc.backends import fluid, judge
from qcc.backends.predictor import PaddleExecutor
from qcc.errors import OutputError, PaddleError, PassError, TargetError
from qcc.files import sha256
from qcc.model import Model
from qcc.quantization import state


@pytest.fixture(scope="module")
def net() -> qat_nets.Net:
    return qat_nets.convolutions()


@pytest.fixture(scope="module")
def frozen_model(net: qat_nets.Net) -> Model:
    return frozen(net)


def live_model(live: PaddleModel) -> Model:
    return qcc.from_program(live.program, live.scope, live.feeds, live.fetches, for_test=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------- what is written


@pytest.mark.parametrize("build", [two_feeds, control_flow])
def test_unmodified_model_is_written_as_paddle_wrote_it(build: type[two_feeds], tmp_path: Path) -> None:
    theirs = build().save(tmp_path / "theirs")
    qcc.save(qcc.load(theirs), tmp_path / "ours", check=False)
    program = (tmp_path / "ours" / "model.pdmodel").read_bytes()
    wanted = without_call_stacks(theirs.with_suffix(".pdmodel").read_bytes())
    assert program == wanted.SerializeToString()
    params = (tmp_path / "ours" / "model.pdiparams").read_bytes()
    assert params == theirs.with_suffix(".pdiparams").read_bytes()


def test_paddle_itself_loads_it(frozen_model: Model, net: qat_nets.Net, tmp_path: Path) -> None:
    qcc.save(frozen_model, tmp_path, check=False)
    static = paddle.static
    executor, scope = static.Executor(paddle.CPUPlace()), static.Scope()
    with static.scope_guard(scope):
        program, feeds, fetches = static.load_inference_model(str(tmp_path / "model"), executor)
        assert tuple(feeds) == frozen_model.feeds
        assert tuple(var.name for var in fetches) == frozen_model.fetches
        (output,) = executor.run(program, feed=net.batch(), fetch_list=fetches)
    np.testing.assert_array_equal(output, frozen_model.run(net.batch())[0])


def test_record(frozen_model: Model, tmp_path: Path) -> None:
    saved = qcc.save(frozen_model, tmp_path / "out", form="int8", check=False)
    assert [path.name for path in saved.files] == ["model.pdmodel", "model.pdiparams", "qcc.json"]
    record = json.loads(saved.files[-1].read_text())
    assert record["form"] == record["state"] == "int8"
    assert record["qcc"] == qcc.__version__
    assert record["paddle"] == paddle.__version__
    assert record["pipelines"] == ["transform{weight_type=channel_wise_abs_max}", "freeze,prune", "int8"]
    assert record["scheme"] == {
        "weight_type": ["channel_wise_abs_max"],
        "weight_bits": [8],
        "activation_type": ["moving_average_abs_max"],
        "activation_bits": [8],
        "ops": {"conv2d": 3, "mul": 1},
    }
    assert record["files"] == {path.name: sha256(path) for path in saved.files[:2]}
    assert qcc.load(tmp_path / "out").provenance.pipelines == tuple(record["pipelines"])


def test_provenance_goes_on(net: qat_nets.Net, tmp_path: Path) -> None:
    """Saving and loading in between does not lose where a model comes from."""
    qcc.save(net.test_model(), tmp_path / "float", check=False)
    source = qcc.load(tmp_path / "float")
    assert source.provenance.source is None  # made in a script, not from files
    first = qcc.load(two_feeds().save(tmp_path / "theirs"))
    qcc.save(first, tmp_path / "one", check=False)
    again = qcc.PassManager.parse("prune").run(qcc.load(tmp_path / "one"))
    qcc.save(again, tmp_path / "two", check=False)
    assert qcc.load(tmp_path / "two").provenance == first.provenance.then("prune")


@pytest.mark.parametrize(
    ("program", "params", "written"),
    [
        (None, None, ("model.pdmodel", "model.pdiparams")),
        ("net.pdmodel", None, ("net.pdmodel", "net.pdiparams")),
        ("__model__", None, ("__model__", "__params__")),
        ("model", None, ("model", "weights")),
        ("a", "b", ("a", "b")),
    ],
)
def test_file_names(
    program: str | None, params: str | None, written: tuple[str, str], tmp_path: Path
) -> None:
    saved = qcc.save(
        live_model(two_feeds()), tmp_path, model_filename=program, params_filename=params, check=False
    )
    assert tuple(path.name for path in saved.files) == (*written, "qcc.json")
    assert qcc.load(tmp_path).provenance.source is None


@pytest.mark.parametrize(
    ("program", "params"),
    [("net", None), ("../a", "b"), ("a", "/b"), ("a", "a"), ("qcc.json", "b"), (".hidden", "b"), ("a", "")],
)
def test_bad_file_names(program: str, params: str | None, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"params_filename|cannot be the name|cannot both"):
        qcc.save(live_model(two_feeds()), tmp_path / "out", model_filename=program, params_filename=params)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_does_not_tell_the_parameters(tmp_path: Path) -> None:
    """It comes of `qcc convert --name`, too, which has no option for the parameters' name."""
    with pytest.raises(OutputError, match=r"'net' .* call the program NAME.pdmodel, __model__ or "):
        qcc.save(live_model(two_feeds()), tmp_path / "out", model_filename="net")


def test_without_weights(tmp_path: Path) -> None:
    live = no_weights()
    saved = qcc.save(live_model(live), tmp_path)
    assert [path.name for path in saved.files] == ["model.pdmodel", "qcc.json"]
    assert not saved.warnings
    np.testing.assert_array_equal(qcc.load(tmp_path).run(live.inputs())[0], live.run(live.inputs())[0])


# ---------------------------------------------------------------------- forms


def test_forms_of_a_frozen_model(frozen_model: Model, net: qat_nets.Net, tmp_path: Path) -> None:
    expected = frozen_model.run(net.batch(3))[0]
    sizes = {}
    for form, found in (("float", "frozen"), ("int8", "int8"), ("qdq", "qdq")):
        saved = qcc.save(frozen_model, tmp_path / form, form=form)
        assert not saved.warnings
        loaded = qcc.load(tmp_path / form)
        assert state(loaded.graph) == found
        # QDQ computes in another order, which decides some ties the other way.
        tolerance = 0.01 * np.abs(expected).max() if form == "qdq" else 0
        np.testing.assert_allclose(loaded.run(net.batch(3))[0], expected, rtol=0, atol=tolerance)
        sizes[form] = (tmp_path / form / "model.pdiparams").stat().st_size
    assert sizes["int8"] < sizes["float"]
    assert state(frozen_model.graph) == "frozen"


def test_what_was_checked(frozen_model: Model, tmp_path: Path) -> None:
    assert [check.what for check in qcc.save(frozen_model, tmp_path, form="qdq").checks] == [
        "read back",
        "Paddle",
        "paddle.inference, oneDNN int8",
    ]
    assert [str(check) for check in qcc.save(frozen_model, tmp_path, form="int8").checks] == [
        "read back: program and weights equal, bit for bit",
        "INT8 weights turned back: all 4 equal, bit for bit",
    ]


def test_forms_that_are_there_already(frozen_model: Model, tmp_path: Path) -> None:
    for form in ("int8", "qdq"):
        made = qcc.PassManager.parse(form).run(frozen_model)
        qcc.save(made, tmp_path / "made", form=form)
        qcc.save(frozen_model, tmp_path / "asked", form=form)
        files = [contents(tmp_path / name) for name in ("made", "asked")]
        assert files[0] == files[1]


def test_transformed_model_is_saved_as_float(net: qat_nets.Net, tmp_path: Path) -> None:
    saved = qcc.save(transformed(net), tmp_path)
    assert not saved.warnings
    assert state(qcc.load(tmp_path).graph) == "transformed"


def test_ways_that_do_not_exist(frozen_model: Model, net: qat_nets.Net, tmp_path: Path) -> None:
    int8, qdq = (qcc.PassManager.parse(form).run(frozen_model) for form in ("int8", "qdq"))
    for model, form, error, complaint in (
        (int8, "float", TargetError, "in form int8, with 4 INT8 weights, so it cannot .*pass `unpack`"),
        (
            qdq,
            "float",
            TargetError,
            "in form qdq, with 4 INT8 weights, so it cannot be saved as form 'float'",
        ),
        (qdq, "int8", TargetError, "run the pass `freeze`, which leads back to the frozen model"),
        (net.train_model(), "float", TargetError, "is a training graph"),
        (net.test_model(), "int8", PassError, "no frozen op: run freeze first"),
        (net.test_model(), "qdq", PassError, "no frozen op: run freeze first"),
    ):
        with pytest.raises(error, match=complaint):
            qcc.save(model, tmp_path / "out", form=form)
    assert list(tmp_path.iterdir()) == []


def test_unknown_target_and_form(frozen_model: Model, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="there is no target 'fliud'"):
        qcc.save(frozen_model, tmp_path / "out", target="fliud")
    with pytest.raises(TargetError, match="has no form 'int4'; it has float, int8, qdq"):
        qcc.save(frozen_model, tmp_path / "out", form="int4")
    assert list(tmp_path.iterdir()) == []


def test_paddleocr_classifier_in_every_form(pp_ocr_models: dict[str, Path], tmp_path: Path) -> None:
    image = {"x": np.random.default_rng(0).standard_normal((1, 3, 48, 64)).astype(np.float32)}
    model = transformed_model(qcc.load(pp_ocr_models["cls"]), image)
    frozen_model = qcc.PassManager.parse("freeze,prune").run(model)
    expected = frozen_model.run(image)[0]
    for form in ("float", "int8", "qdq"):
        qcc.save(frozen_model, tmp_path / form, form=form, check=False)
        # Apart by the ties that QDQ's other order of computing decides the other way.
        np.testing.assert_allclose(qcc.load(tmp_path / form).run(image)[0], expected, atol=0.05)


def test_control_flow_in_every_form(tmp_path: Path) -> None:
    """The ops of the main block are quantized, those in loops and branches stay as they are."""
    live = control_flow()
    before = live_model(live)
    model = qcc.PassManager.parse("freeze,prune").run(transformed_model(before, live.inputs()))
    expected = model.run(live.inputs(1))[0]
    for form in ("float", "int8", "qdq"):
        saved = qcc.save(model, tmp_path / form, form=form, check=live.inputs())
        # Paddle's pass takes the dequantize op away whose output the loop reads; QDQ has none there.
        assert [check.what for check in saved.warnings] == (
            ["paddle.inference, oneDNN int8"] if form == "float" else []
        )
        loaded = qcc.load(tmp_path / form)
        blocks = [checks.inference_program(graph).blocks[1:] for graph in (loaded.graph, before.graph)]
        assert blocks[0] == blocks[1]
        np.testing.assert_array_equal(loaded.weights["inner"], before.weights["inner"])
        np.testing.assert_allclose(
            loaded.run(live.inputs(1))[0], expected, rtol=0, atol=0.01 * np.abs(expected).max()
        )


# ---------------------------------------------------------------------- always the same bytes

SCRIPT = """
import sys
import qat_nets
from frozen_models import frozen
import qcc

model = frozen(qat_nets.convolutions())
for form in ("float", "int8", "qdq"):
    qcc.save(model, f"{sys.argv[1]}/{form}", form=form, check=False)
"""


def test_same_bytes_in_another_process(tmp_path: Path) -> None:
    support = Path(qat_nets.__file__).parent
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(support)}
        subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / seed)], env=environment, check=True)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert len(contents(tmp_path / "1")) == 9


# ---------------------------------------------------------------------- when something goes wrong


@pytest.fixture
def earlier(frozen_model: Model, tmp_path: Path) -> dict[str, bytes]:
    """The files of a model that was saved before, in the folder `out`."""
    qcc.save(live_model(two_feeds()), tmp_path / "out", check=False)
    return contents(tmp_path)


def test_full_disk_leaves_the_earlier_model(
    frozen_model: Model, earlier: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fluid, "write_tensor", full)
    for folder in ("out", "new"):
        with pytest.raises(OutputError, match=f"{folder} cannot be written to: No space left on device"):
            qcc.save(frozen_model, tmp_path / folder)
    assert contents(tmp_path) == earlier
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_failing_move_leaves_the_earlier_model(
    moved: int,
    frozen_model: Model,
    earlier: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace, left = os.replace, [moved]

    def failing(source: Path, target: Path) -> None:
        if Path(target).parent == tmp_path / "out" and "old-" not in str(source):
            if not left[0]:
                raise OSError(errno.EIO, "Input/output error")
            left[0] -= 1
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OutputError, match="Input/output error"):
        qcc.save(frozen_model, tmp_path / "out", check=False)
    assert contents(tmp_path) == earlier
    assert qcc.load(tmp_path / "out").provenance.pipelines == ()


def test_interruption_leaves_the_earlier_model(
    frozen_model: Model, earlier: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fluid, "check_runs", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"nothing was written to .*/out, run the same command again"):
        qcc.save(frozen_model, tmp_path / "out")
    assert contents(tmp_path) == earlier


def test_value_that_reads_back_differently(
    frozen_model: Model, earlier: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = fluid.write_tensor
    monkeypatch.setattr(fluid, "write_tensor", lambda stream, array, dtype: write(stream, array + 1, dtype))
    with pytest.raises(
        OutputError, match=r"out/model.pdmodel was not written: the value of '\S+', read back"
    ):
        qcc.save(frozen_model, tmp_path / "out")
    assert contents(tmp_path) == earlier


def test_program_that_reads_back_differently(
    frozen_model: Model, earlier: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def altered(graph: qcc.ir.graph.Graph) -> object:
        program = checks.inference_program(graph)
        program.blocks[0].ops[1].attrs[0].name = "another"
        return program

    monkeypatch.setattr(fluid, "inference_program", altered)
    with pytest.raises(OutputError, match="the program, read back, is another one"):
        qcc.save(frozen_model, tmp_path / "out")
    assert contents(tmp_path) == earlier


def test_weights_that_paddle_reads_differently(
    frozen_model: Model, earlier: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = PaddleExecutor.digests
    monkeypatch.setattr(PaddleExecutor, "digests", lambda self: dict.fromkeys(digests(self), 0))
    with pytest.raises(OutputError, match=r"model.pdmodel was not written: Paddle reads another value of"):
        qcc.save(frozen_model, tmp_path / "out")
    assert contents(tmp_path) == earlier


def test_a_runtime_that_does_not_cope_is_a_warning(
    frozen_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoOneDnn(judge.Predictor):
        def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            if "oneDNN" in self._what:
                raise PaddleError("no kernel") from RuntimeError("(Unimplemented) no kernel")
            return super().run(inputs)

    monkeypatch.setattr(judge, "Predictor", NoOneDnn)
    saved = qcc.save(frozen_model, tmp_path)
    assert [str(check) for check in saved.warnings] == [
        "paddle.inference, oneDNN float32: does not run: (Unimplemented) no kernel",
        "paddle.inference, oneDNN int8: does not run: (Unimplemented) no kernel",
    ]


def test_own_inputs(frozen_model: Model, net: qat_nets.Net, tmp_path: Path) -> None:
    assert not qcc.save(frozen_model, tmp_path, check=net.batch()).warnings


def test_model_that_made_up_inputs_do_not_fit(tmp_path: Path) -> None:
    static = paddle.static
    main = static.Program()
    with paddle.utils.unique_name.guard(), static.program_guard(main, static.Program()):
        x = static.data("x", [-1, -1])
        y = paddle.matmul(x, paddle.full([7, 2], 1.0))
    model = qcc.from_program(main, static.Scope(), ["x"], [y], for_test=True)
    (warning,) = qcc.save(model, tmp_path).warnings
    assert "not run, because the model does not run on made-up inputs" in warning.outcome
    good = {"x": np.ones((2, 7), np.float32)}
    assert not qcc.save(model, tmp_path, check=good).warnings


def test_persistable_variable_without_a_value(frozen_model: Model, tmp_path: Path) -> None:
    model = frozen_model.copy()
    model.graph.add_var("orphan", "float32", (1,), np.zeros(1, np.float32))
    del model.weights["orphan"]
    with pytest.raises(TargetError, match="have no value, the first being 'orphan'"):
        qcc.save(model, tmp_path / "out")
