from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import qat_nets
from click.testing import CliRunner
from foreign_models import MODELS
from frozen_models import frozen, transformed
from saved_models import MAJOR, control_flow, two_feeds

import qcc
from qcc._paddle import paddle
from qcc.analyze.inspection import inspect as look
from qcc.cli.inspect import inspect
from qcc.cli.main import run
from qcc.ir.text import parse_graph
from qcc.model import Model

static = paddle.static
GOLDEN = Path(__file__).parents[2] / "golden"


def output(*arguments: str | Path) -> str:
    result = CliRunner().invoke(inspect, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def sections(text: str) -> dict[str, list[str]]:
    """The rows of each section of the plain output."""
    found: dict[str, list[str]] = {}
    rows: list[str] = []
    for line in text.splitlines():
        if line.startswith("  "):
            rows.append(line.strip())
        else:
            rows = found.setdefault(line.removesuffix(":"), [])
    return found


def test_float_model(tmp_path: Path) -> None:
    live = two_feeds()
    found = sections(output(live.save(tmp_path / "net")))
    copies = 2 if MAJOR < 3 else 0  # the scale ops that Paddle 2.6 puts behind outputs
    assert found["Model"] == ["form: float", f"ops: {9 + copies}", "weights: 7 float32 (1792 bytes)"]
    assert found["Feeds"] == ["image: float32[-1, 3, 6, 6]", "extra: float32[-1, 5]"]
    assert found["Fetches"] == [f"{name}: float32[-1, 5]" for name in live.saved_fetches]
    assert "conv2d: 1" in found["Ops"]
    assert found["Float, of a type that can be quantized"] == [
        "conv2d: 1: could be quantized",
        "matmul_v2: 1: could be quantized",
    ]
    candidates = {row.split(":")[0]: row for row in found["Candidates for save_out_nodes"]}
    if copies:
        assert candidates["softmax_0.tmp_0"].endswith(
            "of softmax: the last softmax, what is fetched is a copy of it"
        )
    what = "of scale: fetched, nothing reads it" if copies else "of softmax: fetched, the last softmax"
    assert candidates[live.saved_fetches[0]].endswith(what)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (
            "imperative_qat",
            "transformed, weights channel_wise_abs_max 8 bits, activations moving_average_abs_max 8 bits",
        ),
        ("weight_only_8", "weight-only, weights channel_wise_abs_max 8 bits, activations float 32 bits"),
    ],
)
def test_quantized_by_another_tool(name: str, form: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Paddle's own
        prefix = MODELS[name](tmp_path)
    assert sections(output(prefix))["Model"][0] == f"form: {form}"


@pytest.mark.parametrize(
    ("case", "how"),
    [
        ("integers_not_dequantized", "reads the integers of a quantize op, and no dequantize op follows it"),
        ("half_quantized", "only 'x' is quantized, so that it computes in float"),
    ],
)
def test_says_why_an_op_is_not_quantized(case: str, how: str) -> None:
    text = (GOLDEN / "freeze" / f"{case}_invalid.txt").read_text(encoding="utf-8")
    (status,) = look(Model(parse_graph(text))).quantizable
    assert not status.quantized
    assert status.how.startswith(how)


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("float", "frozen, weights channel_wise_abs_max 8 bits, activations moving_average_abs_max 8 bits"),
        ("int8", "int8, weights channel_wise_abs_max 8 bits, activations moving_average_abs_max 8 bits"),
        ("qdq", "qdq, weights channel_wise_abs_max 8 bits, activations static 8 bits"),
    ],
)
def test_quantized_forms(form: str, shown: str, tmp_path: Path) -> None:
    qcc.save(frozen(qat_nets.convolutions()), tmp_path, form=form, check=False)
    found = sections(output(tmp_path))
    assert found["Model"][0] == f"form: {shown}"
    assert found["Model"][1].startswith("made by: transform{weight_type=channel_wise_abs_max} | freeze,prune")
    assert "conv2d: 3, 3 quantized" in found["Ops"]
    assert "Float, of a type that can be quantized" not in found
    assert any("int8" in row for row in found["Model"] if row.startswith("weights")) == (form != "float")


@pytest.mark.parametrize(
    ("activation_type", "shown"),
    [
        ("abs_max", "measured at every run; `--calibrate` fixes them"),
        ("range_abs_max", "never observed; train the model, or measure them by `qcc freeze --calibrate`"),
    ],
)
def test_scales_that_are_not_known(tmp_path: Path, activation_type: str, shown: str) -> None:
    model = qat_nets.convolutions().test_model()
    transform = qcc.PassManager.parse(f"transform{{activation_type={activation_type}}}")
    qcc.save(transform.run(model), tmp_path, check=False)
    assert f"scales: 4 {shown}" in sections(output(tmp_path))["Model"]


def test_why_ops_stay_float(tmp_path: Path) -> None:
    net = qat_nets.matrices()
    qcc.save(frozen(net, "transform{skip_op_types=[matmul]}"), tmp_path, check=False)
    found = sections(output(tmp_path))["Float, of a type that can be quantized"]
    assert found == [
        "matmul -> matmul_0.tmp_0: could be quantized",
        "matmul_v2 -> matmul_v2_2.tmp_0: no input of it is a weight",
        "matmul_v2 -> matmul_v2_3.tmp_0: no input of it is a weight",
    ]


def test_ops_in_skipped_scopes_are_marked() -> None:
    def layers(x: qat_nets.Variable) -> qat_nets.Variable:
        with static.name_scope("skip_quant"):
            x = static.nn.conv2d(x, 3, 3, bias_attr=False)
        return static.nn.conv2d(x, 3, 3, bias_attr=False)

    model = transformed(qat_nets.build(layers, (-1, 3, 8, 8)))
    first, second = look(model).quantizable
    assert (first.quantized, first.how) == (False, "marked skip_quant")
    assert second.quantized
    assert second.weight == "conv2d_1.w_0"


def test_blocks_stay_float_and_are_shown(tmp_path: Path) -> None:
    found = sections(output(control_flow().save(tmp_path / "net")))
    assert "conv2d: 1" in found["Block 1, whose ops stay float"]
    assert "mul: 1" in found["Block 3, whose ops stay float"]
    assert len([title for title in found if title.startswith("Block")]) == 3


def test_json(tmp_path: Path) -> None:
    qcc.save(frozen(qat_nets.convolutions()), tmp_path, form="qdq", check=False)
    found = json.loads(output(tmp_path, "--json"))
    assert found["state"] == "qdq"
    assert found["scheme"]["ops"] == {"conv2d": 3, "mul": 1}
    assert found["feeds"] == [{"name": "x", "dtype": "float32", "shape": [-1, 3, 6, 6]}]
    assert [status["quantized"] for status in found["quantizable"]] == [True] * 4
    assert found["provenance"]["pipelines"][-1] == "qdq"
    assert found["provenance"]["stale_record"] is False
    assert found["weights"]["int8"][0] == 4


def test_stale_record_is_told(tmp_path: Path) -> None:
    qcc.save(qcc.load(two_feeds().save(tmp_path / "theirs")), tmp_path / "saved", check=False)
    for path in (tmp_path / "saved").glob("model.*"):
        path.rename(path.with_stem("other"))
    found = sections(output(tmp_path / "saved"))
    assert "made by: unknown: the qcc.json beside it is of other files" in found["Model"]
    assert json.loads(output(tmp_path / "saved", "--json"))["provenance"]["stale_record"] is True


def test_file_names_by_hand(tmp_path: Path) -> None:
    two_feeds().save(tmp_path / "a")
    control_flow().save(tmp_path / "b")
    text = output(tmp_path, "--model-filename", "b.pdmodel", "--params-filename", "b.pdiparams")
    assert "steps: int64[1]" in text


def test_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("qcc: error: nowhere: there is no such file")


def detector() -> Model:
    """A head with NMS, which has several outputs."""
    from paddle.base.layer_helper import LayerHelper

    main = static.Program()
    with paddle.utils.unique_name.guard(), static.program_guard(main, static.Program()):
        boxes, scores = static.data("boxes", [1, 8, 4]), static.data("scores", [1, 2, 8])
        helper = LayerHelper("multiclass_nms3")
        outputs = {
            slot: [helper.create_variable_for_type_inference(dtype=dtype)]
            for slot, dtype in (("Out", "float32"), ("Index", "int32"), ("NmsRoisNum", "int32"))
        }
        helper.append_op(
            type="multiclass_nms3",
            inputs={"BBoxes": boxes, "Scores": scores},
            outputs=outputs,
            attrs={"nms_top_k": 4, "keep_top_k": 2, "score_threshold": 0.1, "background_label": -1},
        )
        reshaped = paddle.reshape(boxes, [1, 32])
    fetches = [outputs["Out"][0], reshaped]
    return qcc.from_program(main, static.Scope(), ["boxes", "scores"], fetches, for_test=True)


def test_candidates_of_a_detector() -> None:
    found = {(item.port.name, item.op): item.why for item in look(detector()).candidates}
    assert found["multiclass_nms3_0.tmp_0", "multiclass_nms3"] == (
        "fetched, nothing reads it, the last multiclass_nms3"
    )
    assert found["multiclass_nms3_0.tmp_2", "multiclass_nms3"] == "nothing reads it, the last multiclass_nms3"
    # The XShape of reshape2 is for the backward pass only.
    assert [name for name, op in found if op == "reshape2"] == ["reshape2_0.tmp_0"]


def test_weights_by_dtype() -> None:
    model = frozen(qat_nets.convolutions())
    packed = qcc.PassManager.parse("int8").run(model)
    total = sum(size for _, size in look(packed).weights.values())
    assert total == sum(array.nbytes for array in packed.weights.values())
    assert look(packed).weights["int8"][0] == sum(a.dtype == np.int8 for a in packed.weights.values())
