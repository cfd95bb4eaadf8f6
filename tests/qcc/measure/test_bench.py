"""Which rows there are, what they are compared with, and what is said of them. No time is judged here."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nets
import numpy as np
import pytest
from frozen_models import transformed_model
from lite_case import F, build_model, conv, floats

import qcc
from qcc.analyze.page.frame import read_page
from qcc.analyze.page.times import times
from qcc.backends.agreement import Distance, distances
from qcc.backends.engines.onnxruntime import onnxruntime_missing
from qcc.backends.engines.openvino import openvino_missing
from qcc.backends.engines.tensorrt import tensorrt_missing
from qcc.backends.engines.timing import Times, timed
from qcc.backends.lite.runtime import runtime_missing
from qcc.cli.bench import _show, _tell_next
from qcc.cli.bench_inputs import open_inputs, prepared
from qcc.cli.main import run
from qcc.errors import EngineError
from qcc.files import write_json
from qcc.measure import engines
from qcc.measure.bench import Bench, Row, Spread, simulation_of, slower
from qcc.measure.plot import plot
from qcc.measure.report import comparisons, record, verdicts
from qcc.measure.subjects import Subject, find_subjects, left_over
from qcc.targets.table import find_target

INPUTS = {"image": np.random.default_rng(0).standard_normal((2, 3, 12, 12)).astype(np.float32)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model/; out/ with its forms and a file for ARM, as `qcc quantize` leaves it; of-openvino/, of-onnx/."""
    folder = tmp_path_factory.mktemp("bench")
    model = nets.build(nets.residual_net)["test"]
    qcc.save(model, folder / "model", check=False)
    quantized = qcc.PassManager.parse("freeze,prune").run(transformed_model(model, INPUTS))
    for name, form in (("float", "float"), ("int8", "int8"), ("qdq", "qdq")):
        qcc.save(quantized, folder / "out" / name, form=form, check=False)
    qcc.save(quantized, folder / "of-openvino/qdq", target="openvino", check=False)
    if onnxruntime_missing() is None:
        from qcc.backends.onnx.export import export

        (folder / "of-onnx").mkdir()
        export(quantized, folder / "of-onnx/a.onnx", find_target("onnxruntime"), check=False)
    (folder / "out/lite-arm").mkdir()
    qcc.save(quantized, folder / "out/lite-arm/model.nb", target="lite", form="arm", check=False)
    return folder


def row(engine: str, subject: Subject, cpu: list[float], ratios: list[float], **more: Any) -> Row:
    return Row(engine, subject, 1, wall=cpu, cpu=cpu, ratios=ratios, **more)


def subject(form: str, home: str = "out", shown: str = "out/model") -> Subject:
    return Subject(Path(home), shown, "onnx", form, Path(shown), 1000, Path(shown))


def test_the_forms_that_engines_run(place: Path, tmp_path: Path) -> None:
    found = find_subjects([place / "model", place / "out"], tmp_path)
    shown = [(Path(one.shown).relative_to(place).as_posix(), one.kind, one.form) for one in found]
    assert shown == [
        ("model", "paddle", "float"),
        ("out/float", "paddle", "frozen"),
        ("out/qdq", "paddle", "qdq"),
        ("out/lite-arm/model.nb", "lite", "frozen"),
    ]


def test_other_layouts_are_written_anew_for_the_engines(place: Path, tmp_path: Path) -> None:
    shutil.copy(place / "model/model.pdmodel", tmp_path / "__model__")
    shutil.copy(place / "model/model.pdiparams", tmp_path / "__params__")
    (found,) = find_subjects([tmp_path], tmp_path / "scratch")
    assert found.original == tmp_path / "__model__"
    assert found.program == tmp_path / "scratch/0/model.pdmodel"
    assert found.program.exists()


def test_what_a_model_is_compared_with(place: Path, tmp_path: Path) -> None:
    model, frozen, qdq, lite = find_subjects([place / "model", place / "out"], tmp_path)
    everything = (model, frozen, qdq, lite)
    assert [simulation_of(one, everything) for one in everything] == [model, frozen, frozen, frozen]
    assert simulation_of(qdq, (model, qdq)) is qdq
    assert simulation_of(lite, (model, lite)) is model
    assert simulation_of(lite, (lite,)) is None


@pytest.fixture(scope="module")
def measured(place: Path) -> dict[str, Any]:
    """The record of `qcc bench` of all of them, on data, with a drawing."""
    np.savez(place / "data.npz", image=INPUTS["image"])
    models = [place / name for name in ("model", "out", "of-openvino", "of-onnx")]
    options = [
        "--rounds",
        2,
        "--data",
        place / "data.npz",
        "--json",
        place / "b.json",
        "--plot",
        place / "b.svg",
        "--report",
        place / "b.html",
    ]
    code = run(["bench", *(str(path) for path in models if path.exists()), *map(str, options)])
    record: dict[str, Any] = json.loads((place / "b.json").read_text())
    assert code == (1 if record["slower"] else 0)
    return record


def rows_of(measured: dict[str, Any], engine: str) -> list[dict[str, Any]]:
    return [one for one in measured["rows"] if one["engine"] == engine]


def test_paddle_runs_each_form(measured: dict[str, Any]) -> None:
    of_float, frozen, qdq, other = rows_of(measured, "paddle")
    assert [one["form"] for one in (of_float, frozen, qdq)] == ["float", "frozen", "qdq"]
    assert (of_float["int8"], frozen["int8"], qdq["int8"]) == (False, True, True)
    assert frozen["int8_layers"] == qdq["int8_layers"] == 2  # oneDNN's list has no fc
    assert (of_float["layers"], frozen["layers"]) == (None, 3)
    assert of_float["off_by"]["largest"] < 1e-4
    assert qdq["off_by"]["largest"] < 0.1
    assert len(qdq["cpu_ms"]["turns"]) == len(qdq["cpu_to_float"]["turns"]) == 2
    assert of_float["cpu_to_float"] is None
    assert other["reason"] == "it is written for openvino"
    assert measured["inputs"] == "data (image[1, 3, 12, 12])"


def test_openvino_runs_what_it_reads(measured: dict[str, Any]) -> None:
    pytest.importorskip("openvino")
    of_float, qdq, for_openvino, *for_others = rows_of(measured, "openvino")
    # Its reader of Paddle's programs has no `mul`; the float model is written without.
    assert of_float["off_by"]["largest"] < 1e-4
    assert for_openvino["cpu_to_float"]["median"] > 0
    assert "No creator found for mul node" in qdq["reason"]
    assert all(one["reason"] == "it is written for onnxruntime" for one in for_others)
    assert for_openvino["int8_layers"] == 3
    assert len(for_openvino["cpu_ms"]["turns"]) == 2
    assert for_openvino["off_by"]["largest"] < 0.1


@pytest.mark.skipif(openvino_missing() is not None, reason=str(openvino_missing()))
def test_float_models_are_written_with_the_ops_that_openvino_reads(tmp_path: Path) -> None:
    given = {"x0": floats(1, 3, 8, 8)}
    model = build_model(lambda x: F.selu(conv(3, 3)(x)), tuple(given.values()))
    qcc.save(model, tmp_path / "model", check=False)
    (case,) = engines.in_openvino(find_subjects([tmp_path / "model"], tmp_path), tmp_path)
    assert isinstance(case, engines.Case)
    running = case.open(1)
    try:
        np.testing.assert_allclose(running.run(given)[0], model.run(given)[0], rtol=1e-4, atol=1e-5)
    finally:
        running.close()


def test_onnx_runtime_runs_onnx_files(measured: dict[str, Any]) -> None:
    missing = onnxruntime_missing()
    if missing is not None:
        pytest.skip(missing)
    of_float, quantized = rows_of(measured, "onnxruntime")
    assert (of_float["form"], quantized["target"]) == ("float", "onnxruntime")
    assert of_float["off_by"]["largest"] < 1e-4
    assert quantized["int8_layers"] == 2  # nobody has measured the scale behind the fc
    assert quantized["off_by"]["largest"] < 0.2
    assert len(quantized["cpu_to_float"]["turns"]) == 2


def test_paddle_lite_runs_what_is_exported_here(measured: dict[str, Any]) -> None:
    if runtime_missing():
        pytest.skip("the Paddle Lite runtime cannot be imported")
    of_float, frozen, arm, qdq = rows_of(measured, "lite")
    assert frozen["off_by"]["largest"] < 0.02
    assert all(one["bytes"] > 0 and one["cpu_ms"] for one in (of_float, frozen))
    assert "is for ARM" in arm["reason"]
    assert qdq["reason"] == "it is written for openvino"


def test_the_drawing_has_a_bar_for_each_row(measured: dict[str, Any], place: Path) -> None:
    drawing = ElementTree.parse(place / "b.svg").getroot()
    bars = drawing.findall("{http://www.w3.org/2000/svg}rect")[1:]
    assert len(bars) == sum("cpu_ms" in one for one in measured["rows"])


def test_the_page_has_the_times(measured: dict[str, Any], place: Path) -> None:
    title, parts = read_page(place / "b.html")
    assert (title, [*parts]) == ("model, measured", ["summary", "times"])
    count = sum("cpu_ms" in one for one in measured["rows"])
    assert parts["times"].count("<rect") == parts["times"].count("<tr>") - 1 == count
    # Shortened where the path of the place is long.
    assert re.search(rf'title="{re.escape(str(place))}/out/qdq">[^<]*/out/qdq</td>', parts["times"])
    assert "it is written for openvino." in parts["times"]


def test_the_table_fits_a_hundred_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """A path that is longer keeps its end."""
    path = "/".join(["a-folder-with-a-long-name"] * 4)
    rows = [
        row("onnxruntime", subject("float", shown=f"{path}/float"), [1.2345] * 2, [], size=123_456_789),
        row(
            "openvino",
            subject("transformed", shown=f"{path}/qdq"),
            [0.1] * 2,
            [0.1] * 2,
            int8=True,
            int8_layers=620,
            layers=640,
            distance=Distance(0.123, 0.0456, 1.0, 0.1),
        ),
    ]
    _show(rows, [])
    title, *lines = capsys.readouterr().out.splitlines()[:4]
    assert title.rstrip() == "1 thread"
    assert max(map(len, lines)) <= 100
    assert [line.split()[1].rpartition("/")[2] for line in lines[1:]] == ["float", "qdq"]
    assert all(line.split()[1].startswith("…") for line in lines[1:])


def test_no_number_is_cut_where_names_have_little_room(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {"int8": True, "int8_layers": 620, "layers": 640, "distance": Distance(0.123, 0.0456, 1.0, 0.1)}
    rows = [
        row(
            "onnxruntime",
            subject("transformed", shown=name),
            [0.012, 0.93],
            [0.1, 20],
            size=6_850_000,
            **numbers,
        )
        for name in ("o/or_ort2/float", "o/or_ort2/qdq")
    ]
    _show([*rows, *(replace(one, threads=2) for one in rows)], [])
    tables = capsys.readouterr().out.splitlines()[:8]
    assert [line.split()[-1] for line in (*tables[2:4], *tables[6:8])] == ["6.85"] * 4


def test_what_is_compared_with_the_float_model_is_told(place: Path, tmp_path: Path) -> None:
    everything = find_subjects([place / "model", place / "out"], tmp_path)
    model, frozen, _, lite = everything
    rows = [Row("lite", one, 1, distance=Distance(0.1, 0.1, 1.0, 0.1)) for one in (model, frozen, lite)]
    assert list(comparisons(rows, everything)) == []
    (line,) = comparisons(rows, [model, lite])
    assert line.startswith(f"{lite.shown} is compared with the float model, so that what rounding does")


def test_made_up_photos_are_prepared_as_was_recorded(place: Path, tmp_path: Path) -> None:
    """Without --data as with it: a made-up photo comes out as the photos that the model was quantized on."""
    subjects = find_subjects([place / "model"], tmp_path)
    assert open_inputs(subjects, None, None, 1, tmp_path) == (None, "")
    steps = [{"type": "Resize", "size": [12, 12]}]
    (tmp_path / "qcc.json").write_text(
        json.dumps({"data": {"preprocess": {"mean": [9, 9, 9], "steps": steps}}})
    )
    subjects = [replace(one, home=tmp_path) for one in subjects]
    batches, source = open_inputs(subjects, None, None, 1, tmp_path)
    assert source == f"a made-up photo, prepared as {tmp_path / 'qcc.json'} says"
    assert batches is not None
    (batch,) = batches
    assert batch["image"].shape == (1, 3, 12, 12)
    assert -9 <= batch["image"].min() < batch["image"].max() <= -8


def test_what_is_slower_in_most_turns() -> None:
    of_float = row("a", subject("float"), [1.0] * 4, [])
    slow = row("a", subject("int8"), [1.3] * 4, [1.2, 1.3, 1.3, 1.4], int8=True)
    fast = row("a", subject("qdq"), [0.7] * 4, [0.6, 0.7, 0.7, 0.8], int8=True)
    doubtful = row("b", subject("int8"), [1.0] * 4, [0.7, 1.1, 1.2, 1.3], int8=True)
    by_floats = row("c", subject("frozen"), [1.3] * 4, [1.3] * 4)
    assert slower([of_float, slow, doubtful, by_floats]) == [slow]
    assert slower([of_float, slow, fast]) == []
    (line,) = verdicts([of_float, slow])
    assert line == "a, 1 thread: int8 is slower than float: out/model takes 1.30 times the CPU time."
    (line,) = verdicts([of_float])
    assert line.startswith("nothing to compare")


def test_what_an_engine_computes_wrongly_is_told_however_fast() -> None:
    of_float = row("openvino", subject("float"), [1.0] * 2, [])
    wrong = row("openvino", subject("qdq"), [0.5] * 2, [0.5] * 2, int8=True)
    wrong.distance = Distance(1.0, 0.9, 1.0, 0.1)
    (line,) = verdicts([of_float, wrong, wrong])
    assert line.startswith("openvino: out/model gives outputs that are off by 90% of the range on average")
    assert "`qcc quantize ... --target openvino`" in line
    wrong.distance = Distance(np.inf, np.inf, np.inf, 0.0)
    (line,) = verdicts([of_float, wrong])
    assert "of another shape, or not finite" in line
    wrong.distance = Distance(0.2, 0.01, 0.1, 1.0)
    assert not list(verdicts([of_float, wrong]))


def test_an_engine_without_a_float_model_is_told() -> None:
    alone = row("b", subject("qdq"), [1.0, 1.0], [], int8=True)
    pair = [
        row("a", subject("float"), [1.0] * 2, []),
        row("a", subject("qdq"), [0.5] * 2, [0.5] * 2, int8=True),
    ]
    (line,) = verdicts([*pair, alone])
    assert line == "b, 1 thread: int8 is compared with nothing, since no float model ran there."


def test_an_engine_that_dies_between_turns_has_measured_nothing(tmp_path: Path) -> None:
    class Dying:
        left = 2

        def times(self, inputs: Any, warm_up: int, runs: int) -> Times:
            self.left -= 1
            if self.left < 0:
                raise EngineError("the engine ended with SIGKILL.")
            return Times([0.1], [0.1])

    bench = Bench([], [], INPUTS, (1,), 5, tmp_path, lambda done: None)
    dead = row("a", subject("float"), [], [])
    bench._take_turns([(dead, Dying(), 1)], 0)  # type: ignore[list-item]
    assert dead.reason == "the engine ended with SIGKILL"
    assert not dead.cpu
    assert not dead.wall
    assert "SIGKILL" in times([dead], {})


def test_names_in_a_drawing_are_text() -> None:
    drawn = plot([row("a", subject("float", shown="<b>&"), [1.0, 2.0], [])], "t")
    assert "&lt;b&gt;&amp;" in drawn
    ElementTree.fromstring(drawn)
    part = times([row("a", subject("float", shown="<b>&"), [1.0, 2.0], [])], {})
    assert "<b>&" not in part
    assert "&lt;b&gt;&amp;" in part


def test_times_are_of_the_runs_that_count() -> None:
    calls: list[int] = []
    found = timed(lambda: calls.append(1), warm_up=2, runs=3)
    assert len(calls) == 5
    assert len(found["wall"]) == len(found["cpu"]) == 3
    assert Spread.of([1.0, 2.0, 3.0]) == Spread(2.0, 1.5, 2.5)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--engines", "paddle,tvm"], "'tvm' is none of paddle, "),
        (["--threads", "1,0"], "'0' is no number above 0."),
        (["--preprocess", "p.yml"], "and there is none."),
        (["--report", "page.txt"], "a file whose name ends in .html"),
    ],
)
def test_wrong_options(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "model", *words]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_what_cannot_be_measured_is_an_error(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", str(place / "out/int8"), "--engines", "paddle"]) == 2
    assert "no runtime of Paddle's runs the form int8" in capsys.readouterr().err
    assert run(["bench", str(place / "out/lite-arm/model.nb"), "--engines", "lite", "--data", "random"]) == 2
    assert "give the float MODEL" in capsys.readouterr().err


def test_outputs_stand_among_the_models_and_replace_none(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an earlier run has left in the folder is written again."""
    out = tmp_path / "out"
    shutil.copytree(place / "out/float", out / "float")
    (out / "qcc.json").write_text("{}")
    words = ["bench", str(out), "--engines", "paddle", "--rounds", "2"]
    for _ in range(2):
        assert run([*words, "--report", str(out / "report.html"), "--json", str(out / "b.json")]) == 0
    _, parts = read_page(out / "report.html")
    assert "times" in parts
    capsys.readouterr()
    for name in ("qcc.json", "float/model.pdmodel", "float/qcc.json"):
        before = (out / name).read_bytes()
        assert run([*words, "--json", str(out / name)]) == 2
        assert f"{out / name} is read by this command" in capsys.readouterr().err
        assert (out / name).read_bytes() == before


def test_what_an_earlier_run_has_left_is_not_measured(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for form in ("float", "qdq", "lite-arm"):
        shutil.copytree(place / "out" / form, out / form)
    assert left_over(out) == []  # without a record
    everything = {one.shown for one in find_subjects([out], tmp_path / "scratch")}
    (out / "qcc.json").write_text(json.dumps({"sizes": {"float": 1}}))
    assert left_over(out) == [out / "qdq", out / "lite-arm/model.nb"]
    assert [one.shown for one in find_subjects([out], tmp_path / "scratch")] == [str(out / "float")]
    assert everything == {str(path) for path in (out / "float", *left_over(out))}
    assert [one.shown for one in find_subjects([out / "qdq"], tmp_path / "scratch")] == [str(out / "qdq")]
    assert run(["bench", str(out), "--engines", "paddle", "--rounds", "2"]) == 0
    assert f"notice: {out / 'qdq'} is of an earlier run, and left out" in capsys.readouterr().err


@pytest.mark.lite
def test_a_file_of_paddle_lite_alone(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own feeds say what it is run on; there is nothing that it is compared with."""
    file = tmp_path / "a.nb"
    qcc.save(qcc.load(place / "out/float"), file, target="lite", form="x86", check=False)
    assert run(["bench", str(file), "--engines", "lite", "--rounds", "2"]) == 0
    told = capsys.readouterr().out
    assert "made-up inputs (image[1, 3, 12, 12])" in told
    assert "the inputs are made up, and what is off by how much differs a lot by input" in told
    assert "nothing to compare" in told


def test_where_int8_is_slower_the_next_command_leaves_it_float(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = row("openvino", subject("qdq"), [1.3] * 4, [1.3] * 4, int8=True)
    _tell_next(
        tmp_path,
        [replace(subject("float"), kind="paddle")],
        [slow],
        "photos",
        ["--preprocess", "out/qcc.json"],
    )
    assert capsys.readouterr().err == (
        f"next: qcc quantize {tmp_path} --data photos --preprocess out/qcc.json -o OUT --target openvino"
        " --no-slower\n"
    )
    _tell_next(tmp_path, [subject("qdq")], [slow], "PHOTOS", [])
    assert "next: qcc quantize MODEL --data PHOTOS -o OUT" in capsys.readouterr().err


def test_how_images_were_prepared_is_handed_on(tmp_path: Path) -> None:
    (tmp_path / "qcc.json").write_text('{"data": {"preprocess": {"steps": []}}}')
    made = replace(subject("float"), kind="paddle", home=tmp_path, original=tmp_path / "model.pdmodel")
    assert prepared([made], None, None) == ["--preprocess", str(tmp_path / "qcc.json")]
    assert prepared([made], None, Path("p.yml")) == ["--preprocess", "p.yml"]
    assert prepared([made], "random", None) == []
    (tmp_path / "inference.yml").write_text("PreProcess: {transform_ops: [{DecodeImage: {}}]}\n")
    assert prepared([made], None, None) == []


def test_what_is_for_vnni_is_not_run_without(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be clipped; and the next command names the target that the model was written for."""
    of_float, qdq = find_subjects([place / "model", place / "of-openvino" / "qdq"], tmp_path)
    ours = replace(qdq, target="openvino+vnni")
    for vnni in (False, True):
        monkeypatch.setattr(engines, "has_vnni", lambda vnni=vnni: vnni)
        reason = engines._for_another(ours, "openvino")
        assert (reason is None) is vnni
        assert vnni or reason == (
            "it is written for openvino+vnni, and this processor is not known to have VNNI"
        )
        assert engines._for_another(ours, "paddle-x86") == "it is written for openvino+vnni"
    assert of_float.is_float


@pytest.mark.skipif(tensorrt_missing() is None, reason="TensorRT is here")
def test_without_tensorrt_bench_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", str(place / "model"), "--engines", "tensorrt"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("qcc: error: nothing was measured: tensorrt: TensorRT is not installed: ")


def test_outputs_where_zeros_are_right_are_recorded_and_told(tmp_path: Path) -> None:
    """As of a detector that finds nothing: that is infinitely many times as large as the zeros."""
    (off,) = distances([np.full(20, 0.5, np.float32)], [np.zeros(20, np.float32)])
    wrong = row("paddle", subject("frozen"), [1.0, 1.0], [0.5, 0.5], int8=True, distance=off)
    write_json(tmp_path / "bench.json", record([wrong], [subject("frozen")]))
    (content,) = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert (content["off_by"]["ratio"], content["off_by"]["norms"]) == (None, None)
    assert next(verdicts([wrong])).startswith(
        "paddle: out/model gives other outputs where all are to be zero"
    )
