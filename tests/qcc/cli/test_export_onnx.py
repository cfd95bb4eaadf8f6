"""`qcc export` for engines that read ONNX files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_nets import frozen_with_data
from engine_nets import engine_net
from lite_commands import invoke, outcome, refusal
from onnx_files import ops_of

import qcc
from qcc.backends.onnx import translate


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return frozen_with_data(tmp_path_factory.mktemp("frozen"))


def test_a_file_for_onnx_runtime(frozen: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    told = outcome(
        "export", frozen, "--target", "onnxruntime", "--calibrate", frozen / "data.npz", "-o", file
    )
    assert "measured 2 more scales on 1 batch of" in told
    assert "the file, run as it stands by ONNX Runtime without optimizations: off by" in told
    assert "the engine, ONNX Runtime, beside that: " in told
    assert "ONNX Runtime: in int8: 3 QLinearConv; in float: 1 Conv\n" in told
    assert f'    session = onnxruntime.InferenceSession("{file}", providers=' in told
    assert ops_of(file)["QuantizeLinear"] == 6
    record = json.loads((tmp_path / "model.onnx.json").read_text())
    assert record["form"] == "onnx"
    assert record["engine"]["target"] == "onnxruntime"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.json"]


def test_the_same_bytes_again(frozen: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.onnx", "b.onnx")]
    for file in files:
        outcome("export", frozen, "--target", "openvino", "--no-check", "-o", file)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
def test_a_wrong_file_is_refused_and_nothing_is_written(
    frozen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translate, "_zero_point", lambda found, signed: np.array(100, np.uint8))
    words = refusal("export", frozen, "--target", "openvino", "-o", tmp_path / "out" / "model.onnx")
    assert (
        "was not written: the file, run as it stands by ONNX Runtime without optimizations: off by" in words
    )
    assert "which is wrong: on equal inputs the conv2d of" in words
    assert words.endswith("; --no-check writes it all the same.")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--target", "onnxrt", "-o", "x.onnx"), "there is no target 'onnxrt'; did you mean 'onnxruntime'?"),
        (("--target", "paddle-x86", "-o", "x.onnx"), r"(paddle-x86) reads no ONNX files."),
        (("--target", "openvino", "-o", "x.nb"), "does not end in .onnx"),
        (("--target", "openvino", "--weight-only", "int8", "-o", "x.onnx"), "integers already"),
        (("--target", "openvino", "--weight-only", "int16", "-o", "x.onnx"), "have 8 bits"),
        (("--target", "openvino", "--cut", "nms", "-o", "x.onnx"), "leave out --cut nms"),
        (
            ("--target", "openvino", "--calibrate", "data.npz", "--no-check", "-o", "x.onnx"),
            "nothing to measure for openvino, and nothing is checked",
        ),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], words: str, frozen: Path, tmp_path: Path) -> None:
    places = {"x.onnx": tmp_path / "x.onnx", "x.nb": tmp_path / "x.nb", "data.npz": frozen / "data.npz"}
    assert words in refusal("export", frozen, *(places.get(word, word) for word in arguments))
    assert not list(tmp_path.iterdir())


def test_data_without_anything_to_measure_is_checked_on(frozen: Path, tmp_path: Path) -> None:
    data = frozen / "data.npz"
    words = outcome("export", frozen, "--target", "tensorrt", "--calibrate", data, "-o", tmp_path / "x.onnx")
    assert "there is nothing to measure for tensorrt; the file is checked on" in " ".join(words.split())


def test_options_that_say_nothing_about_the_file() -> None:
    result = invoke("export", "model", "--target", "openvino", "--arch", "arm", "-o", "x.onnx")
    assert (result.exit_code, "--arch is about Paddle Lite's files." in result.output) == (2, True)
    result = invoke("export", "model", "--vnni", "-o", "x.nb")
    assert (result.exit_code, "--vnni is about ONNX files" in result.output) == (2, True)


def test_weights_alone(tmp_path: Path) -> None:
    qcc.save(engine_net("fc_behind_relu")[0], tmp_path / "model", check=False)
    for name, options in {"float": (), "int8": ("--weight-only", "int8")}.items():
        file = tmp_path / f"{name}.onnx"
        outcome("export", tmp_path / "model", "--target", "tensorrt", *options, "--no-check", "-o", file)
    sizes = [(tmp_path / name).stat().st_size for name in ("int8.onnx", "float.onnx")]
    assert sizes[0] < 0.35 * sizes[1]
    assert ops_of(tmp_path / "int8.onnx")["DequantizeLinear"] == 1
