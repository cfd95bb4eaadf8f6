"""Models that Paddle's and PaddleSlim's own tools have quantized: everything that qcc does, on each form."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from foreign_models import MODELS, batch, strip_marks

import qcc
from qcc._paddle import paddle
from qcc.backends.deploy.form import for_target
from qcc.backends.lite.check import check
from qcc.backends.lite.describe import describe
from qcc.backends.lite.export import export
from qcc.backends.lite.file import parse_naive_buffer
from qcc.backends.lite.runtime import runtime_missing
from qcc.backends.onnx.form import prepare
from qcc.draw.picture import Role
from qcc.draw.roles import op_role
from qcc.errors import ModelFormatError, PassError, QccWarning, TargetError
from qcc.model import Model
from qcc.passes import PassManager
from qcc.passes.fake_quant import FUSED_OPS
from qcc.passes.quantizable import KINDS
from qcc.passes.round_trip import is_observer
from qcc.quantization import QuantizedOp, quantized_ops, scheme, state, stored_form
from qcc.targets.table import find_target
from qcc.train.freeze import freeze_to

static = paddle.static
CHANNELS, TENSOR = "channel_wise_abs_max", "abs_max"
MOVING, RANGE = "moving_average_abs_max", "range_abs_max"

# Name -> the form, the weights' type, and the activations' type ("static": the form does not record it).
FORMS = {
    "ptq_abs_max": ("frozen", CHANNELS, RANGE),
    "ptq_avg": ("frozen", CHANNELS, RANGE),
    "ptq_hist_per_tensor": ("frozen", TENSOR, RANGE),
    "ptq_kl_full": ("frozen", CHANNELS, RANGE),
    "ptq_mse": ("frozen", CHANNELS, MOVING),
    "ptq_arm": ("qdq", CHANNELS, "static"),
    "ptq_onnx": ("qdq", CHANNELS, "static"),
    "ptq_onnx_per_tensor": ("qdq", TENSOR, "static"),
    "ptq_onnx_full": ("qdq", CHANNELS, "static"),
    "ptq_optimized": ("qdq", CHANNELS, "static"),
    "slim_ptq": ("qdq", CHANNELS, "static"),
    "slim_ptq_old": ("frozen", CHANNELS, RANGE),
    "slim_ptq_biased": ("frozen", CHANNELS, RANGE),
    "slim_qat_old": ("frozen", CHANNELS, MOVING),
    "slim_qat_range": ("frozen", TENSOR, RANGE),
    "slim_qat_dynamic": ("frozen", CHANNELS, "abs_max"),
    "slim_qat": ("qdq", CHANNELS, "static"),
    "slim_qat_per_tensor": ("qdq", TENSOR, "static"),
    "slim_qat_full": ("qdq", CHANNELS, "static"),
    "slim_qat_tensorrt": ("qdq", CHANNELS, "static"),
    "passes_v1": ("frozen", CHANNELS, MOVING),
    "passes_v1_per_tensor": ("frozen", TENSOR, RANGE),
    "passes_v1_transformed": ("transformed", CHANNELS, MOVING),
    "passes_v2": ("qdq", CHANNELS, "static"),
    "passes_v2_per_tensor": ("qdq", TENSOR, "static"),
    "passes_v2_transformed": ("transformed", CHANNELS, "static"),
    "imperative_qat": ("transformed", CHANNELS, MOVING),
    "imperative_qat_onnx": ("qdq", CHANNELS, "static"),
    "imperative_ptq": ("transformed", CHANNELS, MOVING),
    "dygraph_qat": ("qdq", TENSOR, "static"),
    "dygraph_ptq": ("qdq", TENSOR, "static"),
}
_QUICK = ("ptq_kl_full", "slim_qat_tensorrt", "passes_v2_transformed", "imperative_qat", "dygraph_qat")
NAMES = [pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow) for name in FORMS]
# The scales of the weights in the file are those of the step before, see `Freeze`.
_STALE = ("passes_v1_transformed",)
DYNAMIC = ("slim_qat_dynamic",)
INPUT = batch(99)


@dataclass(frozen=True)
class Made:
    """A model in files, and what Paddle's executor gives for `INPUT`; None where it does not run it."""

    prefix: Path
    output: np.ndarray | None

    def load(self) -> Model:
        return qcc.load(self.prefix)


Maker = Callable[[str], Made]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Each model made once."""
    kept: dict[str, Made] = {}

    def make(name: str) -> Made:
        if name not in kept:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Paddle's own, of its own ways
                prefix = MODELS[name](tmp_path_factory.mktemp(name))
            kept[name] = Made(prefix, run_in_paddle(prefix) if not name.startswith(UNRUNNABLE) else None)
        return kept[name]

    return make


UNRUNNABLE = ("weight_only_8", "weight_only_16", "weight_only_per_tensor")


def run_in_paddle(prefix: Path) -> np.ndarray:
    with static.scope_guard(static.Scope()):
        executor = static.Executor(paddle.CPUPlace())
        program, feeds, fetches = static.load_inference_model(str(prefix), executor)
        (output,) = executor.run(program, feed={feeds[0]: INPUT}, fetch_list=fetches)
    return np.array(output)


def run(model: Model) -> np.ndarray:
    return np.array(model.run({model.feeds[0]: INPUT})[0])


def apply(pipeline: str, model: Model) -> Model:
    return PassManager.parse(pipeline).run(model)


def facts(model: Model) -> list[tuple[str, QuantizedOp]]:
    return [(found.op.type, found) for found in quantized_ops(model.graph)]


# ---------------------------------------------------------------------- in, and out as it was


def test_every_model_has_a_form() -> None:
    others = {name for name in MODELS if name.startswith("weight_only")}
    others |= {"ptq_min_max", "ptq_adaround", "dygraph_weights"}
    assert set(FORMS) | others == set(MODELS)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_recognised_and_runs_as_in_paddle(name: str, made: Maker) -> None:
    model = made(name).load()
    form, weights, activations = FORMS[name]
    assert state(model.graph) == form
    found = scheme(model.graph)
    assert (found["weight_type"], found["activation_type"]) == ([weights], [activations])
    assert (found["weight_bits"], found["activation_bits"]) == ([8], [8])
    wanted = [op for op in model.graph.ops if op.type in KINDS]
    if name == "slim_qat_tensorrt":  # which leaves matmul_v2 float
        wanted = [op for op in wanted if op.type != "matmul_v2"]
    assert [item.op for _, item in facts(model)] == wanted
    assert all(op_role(op) is Role.QUANTIZED_OP for op in wanted)
    assert np.array_equal(run(model), made(name).output)


@pytest.mark.parametrize("name", NAMES)
def test_saved_unchanged_it_stays_what_it_was(name: str, made: Maker, tmp_path: Path) -> None:
    model = made(name).load()
    qcc.save(model, tmp_path / "saved", form=stored_form(model.graph), check=False)
    again = qcc.load(tmp_path / "saved")
    assert [op.type for op in again.graph.ops] == [op.type for op in model.graph.ops]
    assert state(again.graph) == state(model.graph)
    assert np.array_equal(run(again), made(name).output)
    assert np.array_equal(run_in_paddle(tmp_path / "saved" / "model"), made(name).output)


@pytest.mark.parametrize("name", NAMES)
def test_the_marks_of_the_tools_say_nothing(name: str, made: Maker) -> None:
    model = made(name).load()
    bare = strip_marks(model)
    assert [
        (kind, item.form, item.weight, item.weight_type, item.activation_type) for kind, item in facts(bare)
    ] == [
        (kind, item.form, item.weight, item.weight_type, item.activation_type) for kind, item in facts(model)
    ]
    for pipeline in ("freeze", "transform", "prune"):
        assert np.array_equal(run(apply(pipeline, bare)), run(apply(pipeline, model)))


# ---------------------------------------------------------------------- passes


@pytest.mark.parametrize("name", NAMES)
def test_it_becomes_every_form(name: str, made: Maker) -> None:
    model = made(name).load()
    expected = made(name).output
    frozen = apply("freeze", model)
    assert state(frozen.graph) == "frozen"
    if name not in _STALE:
        np.testing.assert_allclose(run(frozen), expected, atol=1e-6 * np.abs(expected).max(), rtol=0)
    assert not PassManager.parse("freeze").apply(frozen.copy().graph).modified
    packed = apply("int8,prune", frozen)
    assert state(packed.graph) == "int8"
    assert np.array_equal(run(packed), run(frozen))
    assert np.array_equal(run(apply("unpack", packed)), run(frozen))
    if name in DYNAMIC:
        return
    linear = apply("qdq,prune", frozen)
    assert state(linear.graph) == "qdq"
    if FORMS[name][0] == "qdq":  # there and back: the same integers at the same places
        np.testing.assert_allclose(run(linear), expected, atol=1e-6 * np.abs(expected).max(), rtol=0)
    else:
        assert np.abs(run(linear) - run(frozen)).max() <= 0.05 * np.abs(run(frozen)).max()


@pytest.mark.parametrize("name", NAMES)
def test_freezing_it_writes_every_form(name: str, made: Maker, tmp_path: Path) -> None:
    model = made(name).load()
    forms = [saved.form for saved in freeze_to(model, tmp_path)]
    assert forms == (["float", "int8"] if name in DYNAMIC else ["float", "int8", "qdq"])
    expected = run(apply("freeze", model))
    assert np.array_equal(run(qcc.load(tmp_path / "float")), expected)
    assert np.array_equal(run(qcc.load(tmp_path / "int8")), expected)


def test_ops_that_observe_only_are_left_out_for_engines_that_would_round_there(made: Maker) -> None:
    model = made("slim_qat_tensorrt").load()
    assert any(map(is_observer, model.graph.ops))

    prepared = prepare(model, find_target("tensorrt"), {}).model
    formed, _ = for_target(apply("freeze", model), find_target("openvino"))

    assert not any(map(is_observer, (*prepared.graph.ops, *formed.graph.ops)))
    np.testing.assert_allclose(run(prepared), run(model), rtol=0, atol=1e-4)


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_what_is_rounded_in_front_of_other_ops_is_so_in_onnx(target: str, made: Maker) -> None:
    model = made("ptq_kl_full").load()
    others = [op for op in model.graph.ops if op.type in FUSED_OPS]
    prepared = prepare(model, find_target(target), {}).model
    formed = prepared.graph.ops
    assert others
    assert not any(op.type in FUSED_OPS for op in formed)
    assert len([op for op in formed if op.type == "quantize_linear"]) >= len(others)
    # Ties are rounded to even, and a step of an integer goes through the network.
    np.testing.assert_allclose(run(prepared), run(model), rtol=0, atol=0.02 * np.ptp(run(model)))


def test_weights_that_are_integers_keep_their_type(made: Maker, tmp_path: Path) -> None:
    model = made("dygraph_qat").load()
    with pytest.raises(ModelFormatError, match="is qdq: its weights are integers of type abs_max already"):
        list(freeze_to(model, tmp_path, "channel_wise_abs_max"))
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- Paddle Lite


@pytest.mark.parametrize("name", [name for name in NAMES if name.values[0] not in DYNAMIC])
def test_it_is_exported_for_paddle_lite(name: str, made: Maker, tmp_path: Path) -> None:
    model = made(name).load()
    if state(model.graph) == "transformed":
        with pytest.raises(PassError, match=r"still that of training in Op.*freeze the graph before"):
            export(model, tmp_path / "model.nb", arch="arm")
        model = apply("freeze", model)
    saved = export(model, tmp_path / "arm.nb", arch="arm")
    assert all(check.good for check in saved.checks)
    int8 = check(made(name).load(), "arm").int8
    assert sum(int8.values()) == len(facts(model))
    # Run in the runtime and compared; up to the float rounding that a softmax leaves.
    exact = export(model, tmp_path / "x86.nb", arch="x86")
    if runtime_missing() is None:
        from qcc.backends.lite.runtime import LiteRuntime

        with LiteRuntime(tmp_path / "x86.nb") as runtime:
            (found,) = runtime.run({model.feeds[0]: INPUT})
        np.testing.assert_allclose(found, run(model), atol=2e-5 * np.abs(run(model)).max(), rtol=0)
    assert all(check.good for check in exact.checks)


# ---------------------------------------------------------------------- weights alone


@pytest.mark.parametrize(
    "name", ["weight_only_8", *(pytest.param(n, marks=pytest.mark.slow) for n in UNRUNNABLE[1:])]
)
def test_weights_alone(name: str, made: Maker, tmp_path: Path) -> None:
    model = made(name).load()
    bits = 16 if name == "weight_only_16" else 8
    assert state(model.graph) == "weight-only"
    assert scheme(model.graph)["weight_bits"] == [bits]
    assert scheme(model.graph)["ops"] == {"conv2d": 2, "depthwise_conv2d": 1, "mul": 1}
    floats = apply("unpack", model)
    assert state(floats.graph) == "float"
    assert np.array_equal(run(model), run(floats))
    assert not PassManager.parse("fold-bn").apply(model.copy().graph).modified
    with pytest.raises(TargetError, match=r"weights alone are integers.*`unpack`"):
        qcc.save(model, tmp_path / "saved")
    with pytest.raises(PassError, match="unpack, and start from the float model"):
        apply("freeze", model)
    with pytest.raises(ModelFormatError, match="nothing to freeze: turn the weights back"):
        list(freeze_to(model, tmp_path / "frozen"))
    export(model, tmp_path / "x86.nb", arch="x86")
    stored = [param.dtype for param in describe(parse_naive_buffer(tmp_path / "x86.nb").buffer).params]
    # The convolutions and the fc; matmul_v2, which the tool has left float, is an fc for Paddle Lite.
    assert stored.count(f"int{bits}") == 5
    assert check(model, "arm").int8
    if bits == 8:
        pytest.importorskip("paddle2onnx")
        from qcc.backends.onnx.form import prepare
        from qcc.backends.onnx.translate import to_onnx

        # Also behind a folded batch norm, and for a mul; what the tool has left float is rounded, too.
        prepared = prepare(model, find_target("onnxruntime"), {}).model
        np.testing.assert_allclose(run(prepared), run(model), atol=0.02 * np.abs(run(model)).max())
        onnx = to_onnx(prepared.graph, "uint8")
        assert [node.op_type for node in onnx.graph.node].count("DequantizeLinear") == 5


def test_the_floats_behind_integer_weights_are_those_of_the_tool(made: Maker) -> None:
    tested = made("weight_only_test")
    # The tool multiplies by a float64, of which the attribute holds a float32.
    assert tested.output is not None
    np.testing.assert_allclose(run(made("weight_only_8").load()), tested.output, rtol=1e-5)


def test_weights_alone_behind_dequantize_ops(made: Maker, tmp_path: Path) -> None:
    """The form of `paddle.quantization`, which Paddle runs."""
    model = made("dygraph_weights").load()
    assert state(model.graph) == "weight-only"
    assert np.array_equal(run(model), made("dygraph_weights").output)
    floats = apply("unpack", model)
    assert state(floats.graph) == "float"
    assert not any(op.type.endswith("_linear") for op in floats.graph.ops)
    assert np.array_equal(run(floats), made("dygraph_weights").output)
    qcc.save(model, tmp_path / "saved")
    assert np.array_equal(run(qcc.load(tmp_path / "saved")), made("dygraph_weights").output)
    assert all(found.good for found in export(model, tmp_path / "model.nb", arch="x86").checks)
    with pytest.raises(ModelFormatError, match="nothing to freeze: turn the weights back"):
        list(freeze_to(model, tmp_path / "frozen"))


def test_marks_of_integer_weights_on_floats_are_left_out(made: Maker, tmp_path: Path) -> None:
    model = made("weight_only_test").load()
    assert state(model.graph) == "float"
    # Paddle Lite would multiply the floats by the scales: the check in here would fail.
    assert all(check.good for check in export(model, tmp_path / "model.nb", arch="x86").checks)


# ---------------------------------------------------------------------- what is not quantized


@pytest.mark.slow
def test_a_tool_that_only_measures_leaves_a_float_model(made: Maker, tmp_path: Path) -> None:
    model = made("ptq_min_max").load()
    assert state(model.graph) == "float"
    assert np.array_equal(run(model), made("ptq_min_max").output)
    with pytest.raises(ModelFormatError, match="the model is float, so there is nothing to freeze"):
        list(freeze_to(model, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["freeze", "int8", "qdq"])
def test_weights_that_adaround_has_not_rounded(made: Maker, pipeline: str) -> None:
    model = made("ptq_adaround").load()
    assert np.array_equal(run(model), made("ptq_adaround").output)
    with pytest.raises(PassError, match=r"holds no integers.*round_type='round'"):
        apply(pipeline, model)


@pytest.mark.slow
def test_what_is_told_of_such_weights_leads_to_no_form_that_is_refused(made: Maker, tmp_path: Path) -> None:
    with pytest.warns(QccWarning, match=r"is wrong: .*round_type='round'") as told:
        qcc.save(made("ptq_adaround").load(), tmp_path)
    assert not any("qcc freeze" in str(one.message) for one in told)
