"""qcc.load finds a model's files in every layout that Paddle has used."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from saved_models import PaddleModel, control_flow, no_weights, two_feeds

import qcc
from qcc.errors import ModelFormatError
from qcc.frontend import program_file


@pytest.fixture(scope="module")
def paddle_model() -> PaddleModel:
    return two_feeds()


@pytest.fixture(scope="module")
def original(paddle_model: PaddleModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of a saved model."""
    return paddle_model.save(tmp_path_factory.mktemp("original") / "net")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "saved"
    made.mkdir()
    return made


def put(original: Path, folder: Path, program: str | None, params: str | None) -> Path:
    """Copy a model's files under other names."""
    if program:
        shutil.copy(original.with_suffix(".pdmodel"), folder / program)
    if params:
        shutil.copy(original.with_suffix(".pdiparams"), folder / params)
    return folder


def assert_runs_like(model: qcc.Model, paddle_model: PaddleModel) -> None:
    inputs = paddle_model.inputs()
    for found, wanted in zip(model.run(inputs), paddle_model.run(inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("program", "params"),
    [
        ("net.pdmodel", "net.pdiparams"),
        ("__model__", "__params__"),
        ("__model__", "weights"),
        ("model", "weights"),
        ("model", "params"),
        ("__model__.infer", "__params__"),
        ("graph.bin", "values.bin"),
        ("net.pdmodel", "elsewhere"),
    ],
)
def test_folder_with_two_files(
    program: str, params: str, original: Path, folder: Path, paddle_model: PaddleModel
) -> None:
    put(original, folder, program, params)
    (folder / "README.txt").write_text("\nnot a program\n")
    model = qcc.load(folder)
    assert model.feeds == ("image", "extra")
    assert model.fetches == tuple(paddle_model.saved_fetches)
    assert_runs_like(model, paddle_model)


def test_a_file_that_is_too_large_for_a_program_is_not_read(
    original: Path, folder: Path, paddle_model: PaddleModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a log, which may begin as a program does."""
    put(original, folder, "graph.bin", "values.bin")
    with (folder / "log").open("wb") as stream:
        stream.write(b"\n")
        stream.truncate((1 << 31) + 1)
    parsed = list[int]()
    parse = program_file._parse
    monkeypatch.setattr(program_file, "_parse", lambda data: parsed.append(len(data)) or parse(data))
    assert_runs_like(qcc.load(folder), paddle_model)
    assert max(parsed) < 1 << 20


def test_prefix_and_program_file(original: Path, paddle_model: PaddleModel) -> None:
    for path in (original, original.with_suffix(".pdmodel"), str(original)):
        assert_runs_like(qcc.load(path), paddle_model)


def test_any_names_given(original: Path, folder: Path) -> None:
    put(original, folder, "a", "b")
    put(original, folder, "c", "d")
    model = qcc.load(folder, model_filename="c", params_filename="b")
    assert model.graph.for_test
    assert qcc.load(folder / "c", params_filename="d").feeds == model.feeds


def test_file_per_parameter(folder: Path, paddle_model: PaddleModel) -> None:
    paddle_model.save_separate(folder)
    assert (folder / "head" / "weight").is_file()
    assert_runs_like(qcc.load(folder), paddle_model)


def test_model_without_weights(folder: Path) -> None:
    paddle_model = no_weights()
    with pytest.warns(UserWarning, match="no variable"):
        paddle_model.save(folder / "net")
    assert_runs_like(qcc.load(folder), paddle_model)


def test_folder_beside_a_program_of_its_name(
    original: Path, tmp_path: Path, paddle_model: PaddleModel
) -> None:
    put(original, tmp_path, "net.pdmodel", "net.pdiparams")
    (tmp_path / "net").mkdir()
    assert_runs_like(qcc.load(tmp_path / "net"), paddle_model)
    put(original, tmp_path / "net", "__model__", "__params__")
    with pytest.raises(ModelFormatError, match=r"several programs \(net.pdmodel, __model__\)"):
        qcc.load(tmp_path / "net")


def test_several_programs_are_listed(original: Path, folder: Path) -> None:
    put(original, folder, "a.pdmodel", "a.pdiparams")
    put(original, folder, "__model__", "__params__")
    with pytest.raises(
        ModelFormatError,
        match=r"\(__model__, a.pdmodel\); say which one by model_filename, .* --model-filename",
    ):
        qcc.load(folder)


def test_programs_of_one_name_are_listed_with_their_folders(original: Path, folder: Path) -> None:
    (folder / "net").mkdir()
    put(original, folder, "net.pdmodel", "net.pdiparams")
    put(original, folder / "net", "net.pdmodel", "net.pdiparams")
    with pytest.raises(ModelFormatError, match=r"\(\S*/net.pdmodel, \S*/net/net.pdmodel\); say which one"):
        qcc.load(folder / "net")


def test_several_fitting_params_are_listed(original: Path, folder: Path) -> None:
    put(original, folder, "net.pdmodel", "one")
    put(original, folder, None, "two")
    with pytest.raises(ModelFormatError, match=r"\(one, two\); say which one with params_filename"):
        qcc.load(folder)


def test_no_program(folder: Path) -> None:
    (folder / "notes").write_bytes(b"\n\n\n")
    with pytest.raises(ModelFormatError, match="holds no Paddle program"):
        qcc.load(folder)
    with pytest.raises(ModelFormatError, match=r"no such file, no such folder, and no missing.pdmodel"):
        qcc.load(folder / "missing")
    with pytest.raises(
        ModelFormatError, match=r"missing\.pdmodel: there is no such file and no such folder\.$"
    ):
        qcc.load(folder / "missing.pdmodel")
    with pytest.raises(ModelFormatError, match=r"other.pdmodel does not exist"):
        qcc.load(folder, model_filename="other.pdmodel")


def test_a_folder_of_forms(original: Path, folder: Path) -> None:
    """As `qcc quantize MODEL` and `qcc freeze` write them."""
    (folder / "float").mkdir()
    put(original, folder / "float", "model.pdmodel", "model.pdiparams")
    with pytest.raises(ModelFormatError, match=r"a folder for each form of a model: give .*/float"):
        qcc.load(folder)


def test_no_params(original: Path, folder: Path) -> None:
    put(original, folder, "net.pdmodel", None)
    with pytest.raises(
        ModelFormatError, match=r"no parameters that fit net.pdmodel \(looked for net.pdiparams"
    ):
        qcc.load(folder)
    with pytest.raises(ModelFormatError, match=r"weights does not exist"):
        qcc.load(folder, params_filename="weights")


def test_missing_parameter_of_many(folder: Path, paddle_model: PaddleModel) -> None:
    paddle_model.save_separate(folder)
    (folder / "batch_norm_0.b_0").unlink()
    with pytest.raises(
        ModelFormatError, match=r"1 of the 7 parameter files .* first being 'batch_norm_0.b_0'"
    ):
        qcc.load(folder)


def test_params_of_another_model(original: Path, folder: Path) -> None:
    other = control_flow().save(folder / "other")
    put(original, folder, "net.pdmodel", None)
    with pytest.raises(ModelFormatError, match=r"other.pdiparams: the value of variable"):
        qcc.load(folder, "net.pdmodel", "other.pdiparams")
    shutil.copy(other.with_suffix(".pdiparams"), folder / "net.pdiparams")
    with pytest.raises(ModelFormatError, match=r"net.pdiparams: the value of variable"):
        qcc.load(folder / "net")


def test_pickles_are_refused(original: Path, folder: Path) -> None:
    (folder / "net.pdparams").write_bytes(b"\x80\x04.")
    for attempt in (
        lambda: qcc.load(folder / "net.pdparams"),
        lambda: qcc.load(folder),
        lambda: qcc.load(put(original, folder, "net.pdmodel", None)),
        lambda: qcc.load(folder / "net.pdmodel", params_filename="net.pdparams"),
    ):
        with pytest.raises(ModelFormatError, match=r"net.pdparams is a pickle .*save_inference_model"):
            attempt()


def test_other_json_is_no_new_ir(folder: Path) -> None:
    (folder / "config.json").write_text('{"a": 1}')
    with pytest.raises(ModelFormatError, match="holds no Paddle program"):
        qcc.load(folder)


def test_unreadable_params(original: Path, folder: Path) -> None:
    put(original, folder, "net.pdmodel", None)
    (folder / "net.pdiparams").symlink_to(folder / "gone")
    with pytest.raises(ModelFormatError, match=r"no parameters that fit"):
        qcc.load(folder)


def test_a_path_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="cannot be read: File name too long"):
        qcc.load(tmp_path / ("x" * 300))


def test_a_folder_that_cannot_be_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(ModelFormatError, match="saved cannot be read: Permission denied"):
        qcc.load(folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../outside"])
def test_names_do_not_lead_out_of_the_folder(name: str, folder: Path, paddle_model: PaddleModel) -> None:
    paddle_model.save_separate(folder)
    program = (folder / "__model__").read_bytes()
    # A name of the same length, so that the message around it stays valid.
    weight = b"conv2d_0.b_0"
    padded = name.encode()[: len(weight)].ljust(len(weight), b"x")
    (folder / "__model__").write_bytes(program.replace(weight, padded))
    with pytest.raises(ModelFormatError, match="leads out of the model's folder"):
        qcc.load(folder)


@pytest.mark.parametrize("combined", [True, False])
def test_a_folder_of_links_loads(
    combined: bool, folder: Path, paddle_model: PaddleModel, tmp_path: Path
) -> None:
    (paddle_model.save if combined else paddle_model.save_separate)(tmp_path / "blobs" / "model")
    blobs = tmp_path / "blobs" if combined else tmp_path / "blobs" / "model"
    folder.mkdir(exist_ok=True)
    for blob in blobs.iterdir():
        (folder / blob.name).symlink_to(blob)
    assert qcc.load(folder).weights.keys() == qcc.load(blobs).weights.keys()


@pytest.mark.parametrize("name", ["net.pdmodel", "net.pdiparams", "qcc.json"])
def test_a_pipe_is_no_file(name: str, folder: Path, paddle_model: PaddleModel) -> None:
    paddle_model.save(folder / "net")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    if name == "qcc.json":
        assert qcc.load(folder).provenance.pipelines == ()
        return
    with pytest.raises(ModelFormatError):
        qcc.load(folder)


@pytest.mark.parametrize("name", ["", ".", "/", "x" * 300, "a\0b", "\udc80", "/dev/null", "/dev/zero"])
def test_names_of_no_model(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFormatError):
        qcc.load(name)


def test_a_device_is_no_model() -> None:
    with pytest.raises(ModelFormatError, match="/dev/zero cannot be read: it is no regular file"):
        qcc.load("/dev/zero")


def test_the_working_folder(folder: Path, paddle_model: PaddleModel, monkeypatch: pytest.MonkeyPatch) -> None:
    paddle_model.save(folder / "net")
    monkeypatch.chdir(folder)
    for name in (".", "", "./", "net"):
        assert qcc.load(name).feeds == qcc.load(folder).feeds
