"""`qcc analyze` and `qcc compare`: what they write and tell, and what they refuse."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from lite_case import Case, floats
from quantized_net import OUTPUTS, quantized_net

import qcc
from qcc.analyze.page.elements import tag
from qcc.analyze.page.frame import TIMES, page, read_page
from qcc.cli.main import run
from qcc.passes.quantizable import KINDS

NET = quantized_net()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model/, arrays/, and out/ as `qcc quantize` writes it."""
    folder = tmp_path_factory.mktemp("analyze")
    qcc.save(NET.model, folder / "model", check=False)
    (folder / "arrays").mkdir()
    for number, batch in enumerate(NET.batches):
        np.save(folder / f"arrays/{number}.npy", batch["image"])
    words = ["quantize", folder / "model", "--data", folder / "arrays", "-o", folder / "out", "--no-check"]
    assert run(list(map(str, words))) == 0
    return folder


def analyze(place: Path, model: str, page: Path, *more: object) -> int:
    words = ["analyze", place / model, "--data", place / "arrays", "-o", page, *more]
    return run(list(map(str, words)))


def compare(place: Path, first: str, second: str, *more: object) -> int:
    words = ["compare", place / first, place / second, "--data", place / "arrays", *more]
    return run(list(map(str, words)))


def test_a_folder_of_quantize_knows_its_float_model(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    assert analyze(place, "out", page) == 0
    told = capsys.readouterr().out
    assert told.startswith("Quantized, the output is off by ")
    assert "dB by itself" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
    record = json.loads((tmp_path / "report.json").read_text())
    assert {one["output"] for one in record["ops"]} == set(OUTPUTS)
    assert record["batches"] == 3
    assert all(one["sqnr_db"]["weight"] is not None for one in record["ops"])
    assert record["ops"][0]["effect"]["alone"] >= record["ops"][1]["effect"]["alone"]
    assert "float model" in record["facts"]
    # The qdq form, and the float model quantized anew, are the same network.
    assert analyze(place, "out/qdq", page) == 0
    qdq = json.loads((tmp_path / "report.json").read_text())
    assert qdq["distance"] == pytest.approx(record["distance"], rel=1e-3)
    assert analyze(place, "model", page, "--top", 0) == 0
    anew = json.loads((tmp_path / "report.json").read_text())
    assert anew["distance"] == pytest.approx(record["distance"], rel=1e-6)
    assert all(one["effect"] is None for one in anew["ops"])


def test_the_effect_on_a_metric(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_nearness.py").write_text(
        "import numpy as np, qcc\n"
        f"batch = {{'image': np.load({str(place / 'arrays/0.npy')!r})}}\n"
        f"(wanted,) = qcc.load({str(place / 'model')!r}).run(batch)\n"
        "def nearness(model):\n"
        "    return 1 - float(np.abs(model.run(batch)[0] - wanted).mean() / np.ptp(wanted))\n"
    )
    monkeypatch.chdir(tmp_path)
    more = ("--eval", "my_nearness:nearness", "--data", place / "arrays/0.npy")
    assert analyze(place, "out", tmp_path / "r.html", *more) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["metric"]["of_float"] == pytest.approx(1, abs=1e-5)
    # This metric is the distance that is measured anyway, so that both have to agree.
    assert 1 - record["metric"]["quantized"] == pytest.approx(record["distance"], rel=1e-3)
    for one in record["ops"]:
        assert 1 - one["metric"]["alone"] == pytest.approx(one["effect"]["alone"], rel=1e-3)
        assert 1 - one["metric"]["off"] == pytest.approx(one["effect"]["off"], rel=1e-3)
    told = capsys.readouterr().out
    assert f"my_nearness:nearness gives {record['metric']['quantized']:.4f}, and 1.0000 in float" in told
    page = (tmp_path / "r.html").read_text()
    assert "metric, all but this" in page
    # The qdq form is cut apart otherwise.
    assert analyze(place, "out/qdq", tmp_path / "r.html", *more, "--top", 1) == 0
    first, *others = json.loads((tmp_path / "r.json").read_text())["ops"]
    assert 1 - first["metric"]["alone"] == pytest.approx(first["effect"]["alone"], rel=1e-3)
    assert 1 - first["metric"]["off"] == pytest.approx(first["effect"]["off"], rel=1e-3)
    assert [one["metric"] for one in others] == [None, None]


def test_a_float_model_that_has_gone_or_changed_is_not_used(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "out", tmp_path / "out")
    record = json.loads((tmp_path / "out/qcc.json").read_text())
    record["model"], record["model_from_here"] = str(tmp_path / "gone"), "../gone"
    (tmp_path / "out/qcc.json").write_text(json.dumps(record))
    assert analyze(tmp_path, "out", tmp_path / "r.html", "--data", place / "arrays", "--top", 0) == 0
    told = capsys.readouterr().out
    assert f"notice: the float model {tmp_path / 'gone'}" in told
    assert "notice: the weights of the model are rounded already" in told
    # As a name that is relative means another folder elsewhere.
    (tmp_path / "gone").mkdir()
    assert analyze(tmp_path, "out", tmp_path / "r.html", "--data", place / "arrays", "--top", 0) == 0
    assert f"notice: the float model {tmp_path / 'gone'}" in capsys.readouterr().out
    shutil.copytree(place / "model", tmp_path / "gone", dirs_exist_ok=True)
    record["source"] = "another"
    (tmp_path / "out/qcc.json").write_text(json.dumps(record))
    assert analyze(tmp_path, "out", tmp_path / "r.html", "--data", place / "arrays", "--top", 0) == 0
    assert "is not the one that was quantized, or has changed since" in capsys.readouterr().out


def test_the_float_model_is_found_from_anywhere(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where it has been moved along with what was made of it."""
    for name in ("model", "out"):
        shutil.copytree(place / name, tmp_path / name)
    record = json.loads((tmp_path / "out/qcc.json").read_text())
    assert record["model_from_here"] == "../model"
    record["model"] = "model"  # as it was given in another folder
    (tmp_path / "out/qcc.json").write_text(json.dumps(record))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert analyze(tmp_path, "out", tmp_path / "r.html", "--data", place / "arrays", "--top", 0) == 0
    assert "notice: the float model" not in capsys.readouterr().out
    facts = json.loads((tmp_path / "r.json").read_text())["facts"]
    assert facts["float model"] == str(tmp_path / "model")


@pytest.mark.parametrize("params", ["model.pdiparams", "other.bin"])
def test_the_float_model_is_found_in_a_folder_of_several(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], params: str
) -> None:
    several, out, page = tmp_path / "several", tmp_path / "out", tmp_path / "r.html"
    shutil.copytree(place / "model", several)
    shutil.copy(several / "model.pdmodel", several / "second.pdmodel")
    (several / "model.pdiparams").rename(several / params)
    names = ["--model-filename", "model.pdmodel"]
    names += [] if params == "model.pdiparams" else ["--params-filename", params]
    words = ["quantize", several, *names, "--data", place / "arrays", "-o", out, "--no-check"]
    assert run(list(map(str, words))) == 0
    capsys.readouterr()
    assert analyze(tmp_path, "out", page, "--data", place / "arrays", "--top", 0) == 0
    told = capsys.readouterr()
    assert "notice: the float model" not in told.out
    assert json.loads((tmp_path / "r.json").read_text())["facts"]["float model"].endswith("model.pdmodel")
    given = " ".join(["several/model.pdmodel", *names[2:]])
    assert f"{given} --data" in told.err.splitlines()[-1]


def test_a_float_model_is_named_in_the_next_command(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyze(place, "model", tmp_path / "r.html", "--top", 0) == 0
    next_line = capsys.readouterr().err.splitlines()[-1]
    assert next_line.startswith(f"next: qcc quantize {place / 'model'} --data {place / 'arrays'} ")


def test_a_record_that_is_nested_without_end_is_none(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "out", tmp_path / "out")
    (tmp_path / "out/qcc.json").write_text("[" * 100_000)
    assert analyze(tmp_path, "out/float", tmp_path / "r.html", "--data", place / "arrays", "--top", 0) == 0


def test_the_times_of_a_page_are_kept(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "r.html"
    file.write_text(page("of before", {"summary": tag("h1", "before"), TIMES: tag("p", "12 ms")}))
    assert analyze(place, "out", file, "--top", 0) == 0
    assert f"{file} keeps the times that `qcc bench` has put there." in capsys.readouterr().out
    title, parts = read_page(file)
    assert (title, parts[TIMES]) == ("out, quantized", "<p>12 ms</p>")
    assert "before" not in parts["summary"]
    # Over its own files again, but over no others.
    assert analyze(place, "out", file, "--top", 0) == 0
    for name in ("r.json", "r.html"):
        (tmp_path / name).write_text("mine")
        assert analyze(place, "out", file, "--top", 0) == 2
        assert f"{tmp_path / name} is in the way" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("model", "page", "more", "message"),
    [
        ("out", "report.txt", (), "the page is a file whose name ends in .html"),
        ("model", "r.html", ("--float", "{place}/model"), "is float itself, and is quantized first"),
        ("out", "r.html", ("--float", "{place}/out/qdq"), "is qdq, and the float model is wanted"),
        ("out", "r.html", ("--data", "{place}/none"), "does not exist"),
        (
            "out",
            "r.html",
            ("--eval", "json:nothing"),
            "--eval json:nothing is no file or folder, and no function",
        ),
    ],
)
def test_mistakes_of_analyze(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    page: str,
    more: tuple[str, ...],
    message: str,
) -> None:
    words = [word.format(place=place) for word in more]
    assert analyze(place, model, tmp_path / page, *words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_compare_names_the_first_divergence(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(place, "model", "out", "--json", tmp_path / "c.json") == 0
    told = capsys.readouterr().out
    assert "on equal inputs" in told
    assert "no layer is off by more than 10.0%" in told
    record = json.loads((tmp_path / "c.json").read_text())
    assert record["layers"][0]["op"] == "conv2d"
    # Layers are called as `qcc analyze` does.
    assert {one["name"] for one in record["layers"] if one["op"] in KINDS} <= set(OUTPUTS)
    assert "a layer counts as apart from 10.0% on: rounding to 8 bits explains less." in told
    wrong = qcc.load(place / "out/float")
    wrong.weights["conv2d_1.w_0"] = wrong.weights["conv2d_1.w_0"][::-1].copy()
    qcc.save(wrong, tmp_path / "wrong", check=False)
    assert compare(place, "out", str(tmp_path / "wrong")) == 0
    assert "of 'conv2d_1.tmp_0'" in capsys.readouterr().out


def test_compare_prints_the_worst_and_says_where_the_others_are(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcc.cli.compare._SHOWN", 1)
    assert compare(place, "model", "out") == 0
    first, row, left, *_ = capsys.readouterr().out.splitlines()
    assert (first.split()[0], left) == (
        "layer",
        "3 more, which are off by less on equal inputs: printed with --all.",
    )
    assert compare(place, "model", "out", "--all") == 0
    rows = capsys.readouterr().out.splitlines()
    assert row in rows[1:5]
    assert rows[5].startswith("no layer is off")
    assert compare(place, "model", "out", "--json", tmp_path / "c.json") == 0
    assert f"on equal inputs: in {tmp_path / 'c.json'}." in capsys.readouterr().out


def test_compare_says_where_a_model_is_written_for_another_processor(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["freeze", place / "out/float", "--target", "paddle-x86+vnni", "--save", tmp_path, "--no-check"]
    assert run(list(map(str, words))) == 0
    notice = "/qdq is written for paddle-x86+vnni, and this processor is not known to have VNNI"
    for engine, vnni, told in (
        ("onednn-int8", False, True),
        ("onednn", False, False),
        ("onednn-int8", True, False),
    ):
        monkeypatch.setattr("qcc.targets.processor.has_vnni", lambda vnni=vnni: vnni)
        assert compare(place, "out", str(tmp_path / "qdq"), "--engine", engine) == 0
        assert (notice in capsys.readouterr().err) == told


@pytest.mark.slow
@pytest.mark.lite
def test_compare_with_a_file_for_lite(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", place / "out/float", "--target", "lite", "--arch", "x86", "-o", place / "model.nb"]
    assert run([*map(str, words), "--no-check"]) == 0
    assert compare(place, "out", "model.nb") == 0
    assert "(Paddle Lite's x86 runtime)" in capsys.readouterr().out
    assert compare(place, "out", "model.nb", "--engine", "onednn") == 2
    assert "is a file that runs in Paddle Lite" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("onnxruntime") is None, reason="it needs ONNX Runtime; `pip install 'qcc[onnx]'`"
)
def test_compare_with_a_file_for_onnx_runtime(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", place / "out/float", "--target", "openvino", "-o", place / "model.onnx"]
    assert run([*map(str, words), "--no-check"]) == 0
    assert compare(place, "out", "model.onnx") == 0
    assert "(ONNX Runtime)" in capsys.readouterr().out


def test_two_networks_are_not_compared(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    qcc.save(Case("other", (floats(1, 3, 4, 4),), lambda x: x + 1.0).model(), tmp_path / "other", check=False)
    assert compare(place, "out/float", str(tmp_path / "other")) == 2
    error = capsys.readouterr().err
    assert "other by 'x0': they are not the same network." in error
    assert "Traceback" not in error
