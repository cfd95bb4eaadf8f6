"""`qcc quantize MODEL --data DATA`: what it writes, what it tells, and what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nets
import numpy as np
import pytest
from lite_case import build_model, floats, static
from PIL import Image

import qcc
from qcc._paddle import paddle
from qcc.calibrate.observers import CALIBRATORS
from qcc.cli import quantize_model
from qcc.cli.main import run
from qcc.errors import OutputError
from qcc.quantization import state

PREPROCESS = "steps:\n  - {type: Resize, size: [12, 12]}\nmean: [0.5, 0.5, 0.5]\nstd: [0.25, 0.25, 0.25]\n"
FORMS = ("float", "int8", "qdq")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model/, photos/ of 6 images of several sizes, p.yml, and arrays/."""
    folder = tmp_path_factory.mktemp("quantize")
    qcc.save(nets.build(nets.residual_net)["test"], folder / "model", check=False)
    random = np.random.default_rng(0)
    (folder / "photos").mkdir()
    (folder / "arrays").mkdir()
    for number in range(6):
        pixels = random.integers(0, 256, (20 + number, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"photos/{number}.png")
        np.save(folder / f"arrays/{number}.npy", random.standard_normal((1, 3, 12, 12)).astype(np.float32))
    (folder / "p.yml").write_text(PREPROCESS)
    return folder


def command(place: Path, out: Path, *more: object, data: object = None) -> list[str]:
    data = place / "photos" if data is None else data
    words = ["quantize", place / "model", "--data", data, "-o", out, "--no-check", *more]
    return [str(word) for word in words]


def said(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    assert run(words) == 0
    return capsys.readouterr().out


def refusal(capsys: pytest.CaptureFixture[str], words: list[str], out: Path) -> str:
    assert run(words) == 2
    assert not out.exists()
    return capsys.readouterr().err


def weights(out: Path, form: str) -> bytes:
    return (out / form / "model.pdiparams").read_bytes()


def test_forms_record_and_report(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    text = said(capsys, command(place, out, "--preprocess", place / "p.yml", "--compare"))
    assert f"measures activations on 6 images of {place / 'photos'}." in text
    assert f"images are prepared as {place / 'p.yml'} says:\n" in text
    assert "  std: [0.25, 0.25, 0.25]\n" in text
    assert "same class in " in text
    for form, name in zip(FORMS, ("frozen", "int8", "qdq"), strict=True):
        assert state(qcc.load(out / form).graph) == name
    record = json.loads((out / "qcc.json").read_text())
    assert record["data"]["preprocess"]["std"] == [0.25, 0.25, 0.25]
    assert (record["effort"], record["calibrator"], record["data"]["used"]) == ("calibrated", "mse", 6)
    assert record["weights"] == ["biases of 3 layers corrected"]
    assert len(record["activations"]) == 3
    assert all(len(one["scales"]) == 7 for one in record["activations"].values())
    report = (out / "report.md").read_text()
    assert "Weights: biases of 3 layers corrected.\n" in report
    assert "| activation | largest | scale | error, mse | error, abs_max |" in report
    assert sorted(path.name for path in out.iterdir()) == [
        "float",
        "int8",
        "qcc.json",
        "qdq",
        "report.html",
        "report.md",
    ]


def test_preparing_is_read_from_beside_the_model(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "model", tmp_path / "model")
    shutil.copytree(place / "photos", tmp_path / "photos")
    (tmp_path / "model/inference.yml").write_text(
        "PreProcess:\n  transform_ops:\n  - ResizeImage: {size: 12}\n"
        "  - NormalizeImage: {scale: 1./255., mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}\n"
        "  - ToCHWImage:\n"
    )
    text = said(capsys, command(tmp_path, tmp_path / "out"))
    assert f"prepared as {tmp_path / 'model/inference.yml'} says" in text
    run(command(place, tmp_path / "other", "--preprocess", place / "p.yml"))
    assert all(weights(tmp_path / "out", form) == weights(tmp_path / "other", form) for form in FORMS)


def test_nothing_says_how_images_are_prepared(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = refusal(capsys, command(place, tmp_path / "out"), tmp_path / "out")
    assert "nothing beside" in text
    assert "give --preprocess FILE.yml" in text
    started = tmp_path / "start.yml"
    started.write_text(text.partition("\n\n")[2])
    assert run(command(place, tmp_path / "out", "--preprocess", started)) == 0


def test_arrays_and_random_numbers(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, command(place, tmp_path / "a", "--samples", 4, data=place / "arrays"))
    assert f"measures activations on 4 of 6 arrays of {place / 'arrays'}." in text
    text = said(capsys, command(place, tmp_path / "r", "--samples", 3, data="random"))
    assert "measures activations on 3 batches of random numbers." in text
    assert json.loads((tmp_path / "r/qcc.json").read_text())["data"] == {"kind": "random", "used": 3}


def test_a_number_without_dimensions_is_fed(tmp_path: Path) -> None:
    def net(x: Any, factor: Any) -> Any:
        return paddle.multiply(static.nn.conv2d(x, 4, 3), factor)

    arrays = {"x0": floats(2, 3, 8, 8), "x1": np.float32(0.5)}
    qcc.save(build_model(net, tuple(map(np.asarray, arrays.values()))), tmp_path / "net", check=False)
    np.savez(tmp_path / "batch.npz", **arrays)

    words = ["quantize", tmp_path / "net", "--data", tmp_path / "batch.npz", "-o", tmp_path / "out"]
    assert run(list(map(str, words))) == 0


def test_a_function_that_yields_batches(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_batches.py").write_text(
        "import numpy as np\nfrom pathlib import Path\n"
        f"def batches():\n    for path in sorted(Path({str(place / 'arrays')!r}).iterdir()):\n"
        "        yield {'image': np.load(path)}\n"
        "def broken():\n    yield from batches()\n    1 / 0\n"
        "def plain(folder):\n    return []\n"
    )
    monkeypatch.chdir(tmp_path)
    said(capsys, command(place, tmp_path / "f", data="my_batches:batches"))
    said(capsys, command(place, tmp_path / "a", data=place / "arrays"))
    assert weights(tmp_path / "f", "float") == weights(tmp_path / "a", "float")
    assert json.loads((tmp_path / "f/qcc.json").read_text())["data"]["used"] == 6
    (tmp_path / "my_slip.py").write_text("1 / 0\n")
    for data, told in (
        ("my_batches:broken", "raised ZeroDivisionError: division by zero."),
        ("my_batches:plain", "raised TypeError: plain() missing"),
        ("my_slip:batches", "while it is imported, raised ZeroDivisionError: division by zero."),
    ):
        assert run(command(place, tmp_path / "b", data=data)) == 2
        text = capsys.readouterr().err
        assert f"--data {data}" in text
        assert told in text
    words = command(place, tmp_path / "out", data="my_batches:missing")
    assert "no function that can be imported" in refusal(capsys, words, tmp_path / "out")


def test_nothing_is_left_of_one_bad_image(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/3b.png").write_bytes(b"nothing")
    words = command(place, tmp_path / "o", "--preprocess", place / "p.yml", data=tmp_path / "photos")
    assert refusal(capsys, words, tmp_path / "o").endswith("3b.png is no image file that can be read.\n")


def test_bad_images_stop_or_are_left_out(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "photos", tmp_path / "photos")
    (tmp_path / "photos/3b.png").write_bytes(b"nothing")
    words = command(place, tmp_path / "o", "--preprocess", place / "p.yml", data=tmp_path / "photos")
    assert run(words) == 2
    assert "3b.png is no image file that can be read; --skip-bad leaves out what" in capsys.readouterr().err
    assert not (tmp_path / "o/float").exists()
    text = said(capsys, [*words, "--skip-bad"])
    assert "left out 1 of the data that could not be read:\n" in text
    assert "3b.png is no image file" in text
    record = json.loads((tmp_path / "o/qcc.json").read_text())
    assert (len(record["skipped"]), record["data"]["used"]) == (1, 6)


def test_an_image_that_is_not_normalized_is_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "arrays", tmp_path / "arrays")
    np.save(tmp_path / "arrays/9.npy", np.full((1, 3, 12, 12), 255, np.float32))
    text = said(capsys, command(place, tmp_path / "o", data=tmp_path / "arrays"))
    assert f"notice: {tmp_path / 'arrays/9.npy'} does not belong to the rest: its values are" in text
    said(capsys, command(place, tmp_path / "clean", data=place / "arrays"))
    assert weights(tmp_path / "o", "float") == weights(tmp_path / "clean", "float")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "missing"], "missing does not exist: --data takes a folder of images"),
        (["--data", "{place}/empty"], "empty holds no image"),
        (["--data", "{place}/arrays", "--preprocess", "{place}/p.yml"], "--preprocess says how images are"),
        (["--data", "random", "--target", "lite-am"], "did you mean 'lite-arm'"),
        (["--data", "random", "--skip-vars", "conv2d_0.w_O"], "did you mean 'conv2d_0.w_0'"),
        (["--data", "random", "--skip-vars", "fc_0.tmp_1"], "the mul that it comes from is 'fc_0.tmp_0'"),
        (["--data", "{place}/photos", "--preprocess", "missing.yml"], "missing.yml does not exist"),
        (["--data", "{place}/photos", "--preprocess", "{place}/same.yml"], "comes out as 3 x 20 x 30"),
    ],
)
def test_what_is_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    (place / "empty").mkdir(exist_ok=True)
    (place / "same.yml").write_text("channels: RGB\n")
    given = [word.format(place=place) for word in words]
    line = ["quantize", str(place / "model"), "-o", str(tmp_path / "out"), *given]
    assert told in refusal(capsys, line, tmp_path / "out")


def test_how_images_were_prepared_is_recorded(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other commands need not be told again."""
    out = tmp_path / "out"
    said(capsys, command(place, out, "--preprocess", place / "p.yml", "--samples", "2"))
    line = ["compare", place / "model", out / "float", "--data", place / "photos", "--samples", "1"]
    assert "on equal inputs" in said(capsys, list(map(str, line)))
    again = command(place, tmp_path / "again", "--preprocess", out / "qcc.json", "--samples", "2")
    assert f"images are prepared as {out / 'qcc.json'} says" in said(capsys, again)
    shutil.copytree(place / "model", tmp_path / "copy")
    line = ["compare", tmp_path / "copy", place / "model", "--data", place / "photos"]
    assert run(list(map(str, line))) == 2
    assert "says how images are prepared" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["quantize", "--data", "random"], ["convert"]])
def test_nothing_is_written_among_what_is_read(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(place / "model", copy)
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    assert run([words[0], str(copy), *words[1:], "-o", str(copy)]) == 2
    assert "copy holds the model that is read" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == before


def test_nothing_is_written_among_the_photos(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(place / "photos", photos)
    before = sorted(photos.iterdir())
    line = ["quantize", place / "model", "--data", photos, "--preprocess", place / "p.yml", "-o", photos]
    assert run(list(map(str, line))) == 2
    assert "photos holds the data that is read: give -o another folder." in capsys.readouterr().err
    assert sorted(photos.iterdir()) == before


def test_a_file_in_place_of_a_form_is_told_before_the_work(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "int8").write_text("mine")
    assert run(command(place, tmp_path, data=place / "nothing")) == 2
    assert f"{tmp_path / 'int8'} is no folder" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["int8"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("report.md", "my notes", "report.md is in the way: qcc replaces only what it wrote itself"),
        ("report.html", "<title>mine</title>", "report.html is in the way"),
        ("qcc.json", "[]", "qcc.json is in the way"),
        ("qdq/model.pdmodel", "mine", "qdq/model.pdmodel is in the way"),
        ("lite-arm/model.nb", "mine", "lite-arm/model.nb is in the way"),
        ("report.md/folder", "mine", "report.md is in the way, and is no file"),
    ],
)
def test_what_a_user_wrote_is_told_before_the_work(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, told: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert run(command(place, tmp_path, "--target", "lite-arm", data=place / "nothing")) == 2
    assert told in capsys.readouterr().err
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text() == text


def test_a_link_in_place_of_a_form_is_told_before_the_work(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/qdq").symlink_to(tmp_path / "elsewhere")
    assert run(command(place, tmp_path / "out", data=place / "nothing")) == 2
    assert "out/qdq is a link, through which nothing is written" in capsys.readouterr().err
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_model_is_not_replaced_by_its_own_form(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "net" / "float"
    shutil.copytree(place / "model", model)
    before = {file.name: file.read_bytes() for file in model.iterdir()}
    assert run(["quantize", str(model), "--data", "random", "-o", str(model.parent)]) == 2
    assert f"{model} holds the model that is read" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in model.iterdir()} == before


def test_training_is_asked_for_by_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["-c", "missing.yml"], ["--config=missing.yml"], ["-cmissing.yml", "-o", "a=1", "b=2"]):
        assert run(["quantize", *words]) == 2
        assert "missing.yml does not exist" in capsys.readouterr().err
    assert run(["quantize", "-s", "slim.yml"]) == 2
    assert "Missing option '-c'" in capsys.readouterr().err
    assert run(["quantize", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--data DATA" in text
    assert "qcc quantize -c CONFIG" in text


@pytest.mark.slow
def test_several_processes_give_the_same_numbers(place: Path, tmp_path: Path) -> None:
    one = command(place, tmp_path / "one", "--preprocess", place / "p.yml")
    assert run(one) == 0
    for count in (2, 3):
        out = tmp_path / str(count)
        words = command(place, out, "--preprocess", place / "p.yml", "--nproc", count)
        subprocess.run([sys.executable, "-m", "qcc", *words], check=True, timeout=120)
        assert all(weights(out, form) == weights(tmp_path / "one", form) for form in FORMS)
        assert not (out / ".calibration").exists()


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_goes_on_where_it_was_ended(place: Path, tmp_path: Path, ended_by: signal.Signals) -> None:
    """A function that waits behind the tenth batch, with the first ones looked at and ten measured, is ended;
    the run that goes on gives the same."""
    arrays = tmp_path / "arrays"
    arrays.mkdir()
    present = sorted((place / "arrays").iterdir())
    for number in range(12):
        shutil.copy(present[number % len(present)], arrays / f"{number:02}.npy")
    (tmp_path / "slowly.py").write_text(
        "import numpy as np, time\nfrom pathlib import Path\n"
        f"def batches():\n    for n, path in enumerate(sorted(Path({str(arrays)!r}).iterdir())):\n"
        "        if n == 10 and Path('wait').exists():\n            Path('there').touch()\n"
        "            time.sleep(3)\n"
        "        yield {'image': np.load(path)}\n"
    )
    (tmp_path / "wait").touch()
    words = [sys.executable, "-m", "qcc", *command(place, tmp_path / "o", data="slowly:batches")]
    process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "there").exists():
        time.sleep(0.05)
    process.send_signal(ended_by)
    _, error = process.communicate(timeout=60)
    killed = ended_by == signal.SIGKILL
    assert process.returncode == (-signal.SIGKILL if killed else 130)
    assert killed or error.endswith("interrupted; the same command goes on with what was measured.\n")
    assert not (tmp_path / "o/float").exists()
    (tmp_path / "wait").unlink()
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert killed or "goes on behind 10 batches that an earlier run has measured." in done.stdout
    assert run(command(place, tmp_path / "whole", data=arrays)) == 0
    assert all(weights(tmp_path / "o", form) == weights(tmp_path / "whole", form) for form in FORMS)


def test_what_fails_last_leaves_all_as_it_was(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forms, the target's file, record and report are one change."""
    out = tmp_path / "o"
    words = command(place, out, "--target", "lite-arm", data=place / "arrays")
    assert run([*words, "--calibrator", "abs_max"]) == 0
    (out / "float/mine.txt").write_text("kept")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert len(before) == 3 * 3 + 2 + 3 + 1

    told = (
        f"qcc: interrupted: nothing was written to {out}, run the same command again; what was measured stays"
        f" in {out}/.calibration.\n"
    )
    failures = [
        (OutputError("No space left on device."), 2, "No space left"),
        (KeyboardInterrupt(), 130, told),
    ]
    for failure, code, line in failures:

        def failing(*given: object, failure: BaseException = failure) -> None:
            raise failure

        with monkeypatch.context() as patch:
            patch.setattr("qcc.analyze.beside.write_page", failing)
            capsys.readouterr()
            assert run(words) == code
        printed = capsys.readouterr()
        assert "saved the" not in printed.out
        assert line in printed.err
        there = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        assert {path: there[path] for path in before} == before
        assert {path.relative_to(out).parts[0] for path in there.keys() - before.keys()} == {".calibration"}


def test_calibrators_are_those_that_there_are() -> None:
    assert quantize_model._CALIBRATORS == CALIBRATORS
