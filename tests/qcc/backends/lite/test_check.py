"""Checking models before an export, and looking at files behind it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from lite_case import build_model, floats, static
from lite_commands import outcome, refusal
from lite_nets import frozen
from lite_ops import CASES

import qcc
from qcc._paddle import paddle
from qcc.backends.deploy.check import check as check_for_engine
from qcc.backends.lite.check import check
from qcc.passes import PassManager
from qcc.targets.table import find_target


def test_check_of_a_float_model(tmp_path: Path) -> None:
    qcc.save(CASES["conv_bn_relu"].model(), tmp_path / "model", check=False)
    lines = outcome("check", tmp_path / "model", "--target", "lite-arm").splitlines()
    assert lines == [
        "every op has a kernel of Paddle Lite on arm: 1 calib, 1 conv2d.",
        "the model is float; what follows is for the scheme"
        " transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max}.",
        "in int8: 1 conv2d.",
    ]


def test_a_weight_that_ops_compute_is_seen_as_one() -> None:
    model = build_model(lambda x: paddle.nn.Conv1D(4, 6, 3)(x), (floats(2, 4, 9),))
    assert check(model, "arm").int8 == {"conv2d": 1}


def test_layers_that_stay_float_are_told_with_their_share() -> None:
    model = build_model(
        lambda x: static.nn.fc(paddle.nn.LSTM(6, 5)(x)[0], 4, num_flatten_dims=2), (floats(2, 4, 6),)
    )
    # 4 gates of 5 units read 6 and 5 numbers and add two biases, beside a product of 5 x 4 with a bias.
    theirs, others = 4 * 5 * (6 + 5 + 2), 5 * 4 + 4
    for lines in (check(model, "arm").lines(), check_for_engine(model, find_target("openvino")).lines()):
        said = re.search(
            r"in float: 1 rnn, which nothing quantizes, with (\d+)% of the weights\.", "\n".join(lines)
        )
        assert said is not None
        # Scales are weights as well.
        assert int(said[1]) == pytest.approx(100 * theirs / (theirs + others), abs=3)


def test_check_says_what_export_says(tmp_path: Path) -> None:
    qcc.save(CASES["add_n"].model(), tmp_path / "model", check=False)
    said = refusal("check", tmp_path / "model", "--target", "lite-x86")
    assert said == refusal("export", tmp_path / "model", "--arch", "x86", "-o", tmp_path / "a.nb")
    assert "there is one on arm" in said
    assert "sum" in outcome("check", tmp_path / "model", "--target", "lite-arm")


def test_check_of_quantized_models() -> None:
    case = CASES["conv2d_transpose_groups"]
    model = case.model()
    report = check(frozen(model, case.feed()), "arm")
    assert (report.quantized, report.int8) == (True, {})
    assert report.notes == (
        "computes 1 conv2d_transpose by a float kernel, since the int8 kernel for groups is wrong.",
    )
    transformed = PassManager.parse("transform{activation_type=abs_max}").run(model)
    assert check(transformed, "x86").notes[0] == (
        "its activations' scales are measured at every run: export it with --calibrate DATA."
    )


def test_check_leaves_the_model_alone() -> None:
    model = PassManager.parse("transform").run(CASES["conv2d"].model())
    before = {name: array.tobytes() for name, array in model.weights.items()}
    check(model, "arm")
    assert {name: array.tobytes() for name, array in model.weights.items()} == before


def test_inspect(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "whatever it is called.nb"
    outcome("export", saved, "-o", out)
    out = out.rename(tmp_path / "renamed")
    text = outcome("inspect", out)
    assert "ops: 8, 3 of them in int8" in text
    assert "  conv2d/int8_out/4/2/1: 1, int8" in text
    assert "  conv2d/int8_out/4/2/1 + relu: conv2d_0.b_0, conv2d_0.w_0, x0.int8 -> relu_0.tmp_0.int8" in text
    assert "  conv2d_0.w_0: int8[8, 4, 3, 3], 288 bytes" in text
    assert "  x0: float32[-1, 4, 8, 8]" in text
    assert "Wrong" not in text
    found = json.loads(outcome("inspect", out, "--json"))
    assert [op["kernel"] for op in found["ops"]][-2] == "matmul_v2/def/4/2/1"
    assert found["complaints"] == []


def test_inspect_tells_what_is_wrong(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.nb"
    outcome("export", saved, "-o", out)
    out.write_bytes(out.read_bytes() + b"more")
    assert "Wrong:\n  file: 4 bytes follow the last parameter" in outcome("inspect", out)
    for damaged in (out.read_bytes()[:-100], out.read_bytes()[:100], b"text", b""):
        out.write_bytes(damaged)
        assert refusal("inspect", out).startswith(f"{out} is not a Paddle Lite naive buffer, or is damaged")
