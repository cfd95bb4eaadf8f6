"""Exporting, as users do it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from lite_agreement import assert_close
from lite_case import Case, F, build_model, conv, floats, static
from lite_commands import outcome, refusal, small
from lite_nets import frozen, project_detector, resnet, yolov3
from lite_ops import CASES
from nets import several_blocks

import qcc
from qcc._paddle import paddle
from qcc.backends.lite import cross_check, runtime
from qcc.backends.lite import export as export_module
from qcc.backends.lite.export import export, lower
from qcc.backends.lite.file import read_naive_buffer
from qcc.backends.lite.runtime import LiteRuntime
from qcc.calibrate.activations import calibrated
from qcc.cli.main import run as run_program
from qcc.errors import (
    LiteRuntimeError,
    MissingDependencyError,
    OutputError,
    PassError,
    QccError,
    TargetError,
)
from qcc.passes import PassManager
from qcc.passes.static_scales import dynamic_ops


def test_arm(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "model.nb"
    text = outcome("export", saved, "--target", "lite", "--arch", "arm", "-o", out)
    assert text.splitlines()[0] == f"wrote {out}, {out.stat().st_size} bytes, for lite-arm."
    assert sorted(path.name for path in out.parent.iterdir()) == ["model.nb", "model.nb.json"]
    kernels = [str(op.attr("__@kernel_type_attr@__")) for op in read_naive_buffer(out).ops]
    assert kernels == [
        "feed/def/1/4/2",
        "calib/fp32_to_int8/4/2/1",
        "conv2d/int8_out/4/2/1",
        "conv2d/fp32_out/4/2/1",
        "pool2d/def/4/1/1",
        "flatten_contiguous_range/def/1/4/2",
        "calib/fp32_to_int8/4/2/1",
        "matmul_v2/def/4/2/1",
        "elementwise_add/def/4/1/1",
        "fetch/def/1/4/2",
    ]


def test_record(saved: Path, tmp_path: Path) -> None:
    outcome("export", saved, "-o", tmp_path / "model.nb")
    record = json.loads((tmp_path / "model.nb.json").read_text())
    assert (record["form"], record["state"]) == ("lite-arm", "frozen")
    assert record["scheme"]["weight_type"] == ["abs_max"]
    before = "prune,channels-first,einsum-to-matmul,constant-arguments,lite-fold-constants,"
    assert record["pipelines"][-1].startswith(before)
    assert record["pipelines"][-1].endswith("lite-kernels")
    assert list(record["files"]) == ["model.nb"]
    # The pipeline is one that qcc can run.
    PassManager.parse(record["pipelines"][-1])


@pytest.mark.lite
@pytest.mark.parametrize("options", [(), ("--x86-int8",)])
def test_x86(saved: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    out = tmp_path / "model.nb"
    text = outcome("export", saved, "--arch", "x86", "-o", out, *options)
    assert "Paddle Lite's x86 runtime: " in text
    model, inputs = small()
    with LiteRuntime(out) as runner:
        assert (runner.inputs, runner.outputs) == (("x0",), model.fetches)
        assert_close(runner.run(inputs), model.run(inputs))
        assert len(runner.times(inputs, warm_up=1, runs=3).cpu) == 3


@pytest.mark.lite
def test_cross_check(saved: Path, tmp_path: Path) -> None:
    text = outcome("export", saved, "-o", tmp_path / "model.nb", "--rows", "fixed", "--cross-check")
    assert text.splitlines()[-1] == "cross-check with opt: no differences."


@pytest.mark.lite
def test_cross_check_tells_differences(tmp_path: Path) -> None:
    qcc.save(CASES["matmul_v1"].model(), tmp_path / "model", check=False)
    text = outcome("export", tmp_path / "model", "-o", tmp_path / "model.nb", "--cross-check")
    assert "matmul/def/4/1/1: the optimizer has mul/def/4/1/1 instead" in text
    assert text.splitlines()[-1] == "cross-check with opt: 1 difference."


@pytest.mark.lite
def test_cross_check_where_the_optimizer_dies(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there and right, which the error says."""

    def dying(*_: object) -> NoReturn:
        raise LiteRuntimeError(
            "Paddle Lite's optimizer, opt, was ended by SIGSEGV on this model: it said nothing."
        )

    monkeypatch.setattr(cross_check, "run_optimizer", dying)
    file = tmp_path / "model.nb"
    words = refusal("export", saved, "-o", file, "--cross-check")
    assert words.endswith(f"; {file} is written, and was checked without it: leave out --cross-check.")
    assert read_naive_buffer(file).ops


@pytest.mark.lite
def test_data_without_anything_to_measure_is_run_on(saved: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", np.full((1, 4, 8, 8), 0.5, np.float32))
    words = ("--arch", "x86", "--calibrate", tmp_path / "data.npy", "-o", tmp_path / "model.nb")
    text = outcome("export", saved, *words)
    assert "there are no scales to measure; what is written is run on" in " ".join(text.split())
    assert text.splitlines()[-1].endswith("on data")
    assert "leave out --calibrate" in refusal("export", saved, *words, "--no-check")


@pytest.mark.parametrize(("bits", "dtype"), [("int8", np.int8), ("int16", np.int16)])
def test_weight_only(tmp_path: Path, bits: str, dtype: type) -> None:
    qcc.save(CASES["linear"].model(), tmp_path / "model", check=False)
    out = tmp_path / "model.nb"
    outcome("export", tmp_path / "model", "--weight-only", bits, "-o", out)
    weights = {param.name: param.variable.array for param in read_naive_buffer(out).params if param.variable}
    assert weights["linear_0.w_0"].dtype == dtype
    assert weights["linear_0.b_0"].dtype == np.float32


def test_save(tmp_path: Path) -> None:
    """The public function writes the same file."""
    model, inputs = small()
    found = qcc.save(model, tmp_path / "a.nb", target="lite", form="x86", check=False)
    assert found.files == (tmp_path / "a.nb", tmp_path / "a.nb.json")
    export(model, tmp_path / "b.nb", arch="x86", check=inputs)
    assert (tmp_path / "a.nb").read_bytes() == (tmp_path / "b.nb").read_bytes()
    with pytest.raises(TargetError, match="it has arm, x86, x86-int8"):
        qcc.save(model, tmp_path / "c.nb", target="lite")
    with pytest.raises(TargetError, match="is one file"):
        qcc.save(model, tmp_path / "c.nb", target="lite", form="arm", model_filename="x")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qcc.backends.lite.export.write_naive_buffer", fail)
    with pytest.raises(OutputError, match=r"a\.nb cannot be written: No space left on device\."):
        export(small()[0], tmp_path / "new" / "a.nb")
    assert not (tmp_path / "new").exists()


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    model, _ = small()
    before = (
        model.graph.to_proto().SerializeToString(),
        {name: w.tobytes() for name, w in model.weights.items()},
    )
    export(model, tmp_path / "a.nb", check=False)
    after = (
        model.graph.to_proto().SerializeToString(),
        {name: w.tobytes() for name, w in model.weights.items()},
    )
    assert before == after


@pytest.mark.parametrize("form", ["int8", "qdq"])
def test_other_forms_give_the_same_integers(tmp_path: Path, form: str) -> None:
    model, _ = small()
    for name, chosen in (("a", model), ("b", PassManager.parse(form).run(model))):
        export(chosen, tmp_path / f"{name}.nb", check=False)
    left, right = (read_naive_buffer(tmp_path / f"{name}.nb") for name in "ab")
    stored = [
        sorted(param.variable.array.tobytes() for param in buffer.params if param.variable)
        for buffer in (left, right)
    ]
    assert stored[0] == stored[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "model.bin"), "model.bin does not end in .nb"),
        (("-o", "model.nb", "--x86-int8"), "int8 kernels for x86 are asked for, but the file is for arm"),
        (
            ("-o", "model.nb", "--weight-only", "int8"),
            "whose weights are integers already|leave out --weight-only",
        ),
        # There is nothing to measure, so the data is not looked at.
        (
            ("-o", "model.nb", "--calibrate", "none"),
            "the model is float and has no scales to calibrate: quantize it first"
            "|the model is frozen and its activation scales are fixed, .* leave out --calibrate",
        ),
    ],
)
def test_options_that_do_not_fit(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QccError, match=words):
        raise QccError(refusal("export", saved, *arguments))
    assert not list(tmp_path.glob("*.nb*"))


def test_an_export_is_not_read_back(saved: Path, tmp_path: Path) -> None:
    outcome("export", saved, "-o", tmp_path / "a.nb")
    said = refusal("export", "-o", tmp_path / "b.nb", tmp_path / "a.nb")
    assert "a.nb is a Paddle Lite file, which is not read back" in said


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.nb").mkdir()
    with pytest.raises(TargetError, match=r"a\.nb is a folder"):
        export(small()[0], tmp_path / "a.nb", check=False)


def test_refused_before_anything_is_written(tmp_path: Path) -> None:
    def build(x: object) -> list[object]:
        return [paddle.atan(x), paddle.cast(x, "float64") * 2.0, paddle.sqrt(paddle.cast(x, "float64"))]

    qcc.save(build_model(build, (floats(2, 3),)), tmp_path / "model", check=False)
    text = refusal("export", tmp_path / "model", "-o", tmp_path / "new" / "a.nb")
    assert text.startswith(
        "Paddle Lite has no kernel on arm that computes these ops: atan (X float), once, for"
    )
    assert "scale (X fp64)" in text
    assert "sqrt (X fp64)" in text
    assert not (tmp_path / "new").exists()
    assert run_program(["export", str(tmp_path / "model"), "-o", str(tmp_path / "new" / "a.nb")]) == 2


def test_several_blocks(tmp_path: Path) -> None:
    with pytest.raises(PassError, match=r"Op\(while -> .*\) has a block of its own, a loop"):
        export(several_blocks(), tmp_path / "a.nb")


def test_training_form_is_refused(tmp_path: Path) -> None:
    model = PassManager.parse("transform").run(CASES["conv2d"].model())
    with pytest.raises(PassError, match="freeze the graph before it is lowered"):
        export(model, tmp_path / "a.nb")


def test_a_file_that_is_wrong_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcc.backends.lite.export.complaints_about", lambda *_: ["one", "two"])
    (tmp_path / "a.nb").write_text("before")
    with pytest.raises(OutputError, match="was not written: one and 1 more complaint"):
        export(small()[0], tmp_path / "a.nb")
    assert (tmp_path / "a.nb").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.nb"]


@pytest.mark.lite
@pytest.mark.parametrize("factor", [0.0, 0.9, 1.1, 200.0])
@pytest.mark.parametrize("form", ["float", "frozen"])
def test_a_file_that_computes_something_else_is_not_written(
    form: str, factor: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs = resnet()
    if form == "frozen":
        model = frozen(model, inputs)
    run = LiteRuntime.run
    monkeypatch.setattr(
        LiteRuntime, "run", lambda self, inputs: [array * np.float32(factor) for array in run(self, inputs)]
    )
    with pytest.raises(OutputError) as caught:
        export(model, tmp_path / "a.nb", arch="x86", check=inputs)
    for part in ("gives other numbers than the model, off by", "on data", "--no-check"):
        assert part in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.lite
@pytest.mark.parametrize("form", ["float", "frozen"])
def test_an_op_that_is_wrong_is_named(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One op in the middle of the file has other weights than the model."""
    model, inputs = resnet()
    if form == "frozen":
        model = frozen(model, inputs)
    name = next(name for name in model.weights if name.startswith("conv2d_4.w_0"))
    lower = export_module.lower

    def wrong(model: qcc.Model, *args: Any, **options: Any) -> qcc.Model:
        changed = model.copy()
        changed.weights[name] = np.roll(model.weights[name], 1, 0)
        return lower(changed, *args, **options)

    monkeypatch.setattr(export_module, "lower", wrong)
    with pytest.raises(OutputError, match=r"gives other numbers .* the conv2d of '\S+_4\.tmp"):
        export(model, tmp_path / "a.nb", arch="x86", check=inputs)


@pytest.mark.lite
def test_a_detector_that_finds_nothing_is_compared(tmp_path: Path) -> None:
    """In front of its NMS there is something."""
    model, inputs = project_detector()
    for level in range(3):
        # Nothing is likely to be an object.
        bias = f"yolo_output.{level}.conv.bias"
        model.weights[bias] = np.full_like(model.weights[bias], -50)
    found = export(model, tmp_path / "a.nb", arch="x86", check=inputs)
    assert str(found.checks[-1]).startswith("Paddle Lite's x86 runtime: off by ")


def test_without_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is written all the same, on any Python and system; that it was not run is said."""
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None)
    found = export(small()[0], tmp_path / "a.nb", arch="x86")
    assert [(check.what, check.good) for check in found.checks] == [
        ("read back", True),
        ("guarantee", True),
        ("Paddle Lite's x86 runtime", False),
    ]
    assert "is not installed" in str(found.warnings[0])
    with pytest.raises(MissingDependencyError, match="is not installed"):
        LiteRuntime(tmp_path / "a.nb")


def test_paddlelite_is_not_needed_to_write(tmp_path: Path) -> None:
    """Nothing of the way from a model to a file imports it."""
    code = (
        "import sys\nsys.modules['paddlelite'] = None\n"
        "import qcc.backends.lite.export, qcc.backends.lite.check, qcc.backends.lite.describe, qcc.cli.export"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_dynamic_scales_are_refused_without_data(tmp_path: Path) -> None:
    qcc.save(small("abs_max")[0], tmp_path / "model", check=False)
    text = refusal("export", tmp_path / "model", "-o", tmp_path / "a.nb")
    assert "whose scale is measured at every run (activation_type=abs_max)" in text
    assert "--calibrate DATA" in text


@pytest.mark.lite
def test_calibrate(tmp_path: Path) -> None:
    """With one batch as data, the file computes for it what the model does."""
    model, inputs = small("abs_max")
    qcc.save(model, tmp_path / "model", check=False)
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "0.npy", inputs["x0"])
    np.save(tmp_path / "data" / "1.npy", inputs["x0"][0] / 2)
    (tmp_path / "data" / "notes.txt").write_text("not data")
    out = tmp_path / "a.nb"
    outcome("export", tmp_path / "model", "--arch", "x86", "-o", out, "--calibrate", tmp_path / "data")
    with LiteRuntime(out) as runner:
        assert_close(runner.run(inputs), model.run(inputs))
    pipelines = json.loads(out.with_name("a.nb.json").read_text())["pipelines"]
    largest = float(np.abs(inputs["x0"]).max())
    assert pipelines[-2].startswith(f'static-scales{{scales=["x0={largest!r}",')


def test_calibrated_model_has_nothing_to_measure() -> None:
    model, inputs = small("abs_max")
    fixed = calibrated(model, [inputs])
    assert not list(dynamic_ops(fixed.graph))
    assert calibrated(fixed, []) is fixed
    for left, right in zip(fixed.run(inputs), model.run(inputs), strict=True):
        assert left.tolist() == right.tolist()


def test_public_names_stay() -> None:
    """Feeds and fetches keep their names and order, whatever is fused."""
    case = Case(
        "", (floats(1, 4, 6, 6), floats(1, 4, 6, 6)), lambda x, y: [F.relu(conv(2, 1)(y)), F.relu(x + y)]
    )
    model = case.model()
    lowered = lower(model, "arm")
    assert (lowered.feeds, lowered.fetches) == (model.feeds, model.fetches)


def test_yolo_box_of_open_size_is_warned_of(tmp_path: Path) -> None:
    """Paddle Lite's kernel is right for square feature maps only."""
    model, _ = project_detector()
    assert [str(check).split(":")[0] for check in export(model, tmp_path / "a.nb").warnings] == ["yolo_box"]
    square, _ = yolov3()
    assert export(square, tmp_path / "a.nb").warnings == ()


def test_int8_on_x86_that_no_layer_gets_is_told(tmp_path: Path) -> None:
    x = floats(2, 12)
    net = build_model(lambda image: static.nn.fc(image, 8), (x,))
    model = frozen(net, {"x0": x}, "channel_wise_abs_max")
    saved = export(model, tmp_path / "model.nb", arch="x86", x86_int8=True, check=False)
    assert any("no convolution runs in int8 on x86" in str(check) for check in saved.checks)
