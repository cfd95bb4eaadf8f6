"""`qcc check FILE.nb`: what will go wrong with a file on a device."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from lite_arm import arm_model, convolution, unguarded
from lite_case import F, build_model, floats
from lite_commands import invoke, outcome, refusal
from lite_nets import frozen

import qcc
from qcc.backends.lite.check import check
from qcc.backends.lite.cross_check import run_optimizer
from qcc.backends.lite.export import export
from qcc.targets.lite_arm import arm_table


def test_a_file_of_qcc(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.nb"
    outcome("export", saved, "-o", out)
    expected = ["a file for arm.", "in int8: 2 conv2d, 1 matmul_v2."]
    assert outcome("check", out).splitlines() == expected
    assert invoke("check", out).stderr == f"next: qcc export MODEL --target lite -o {out} --selftest DIR\n"
    assert outcome("check", out, "--target", "lite-arm").splitlines() == expected
    assert "is for arm, not for lite-x86" in refusal("check", out, "--target", "lite-x86")


def test_what_export_promises_check_believes(saved: Path, tmp_path: Path) -> None:
    """Rows that are said to be fixed: the record says so, and without it the file is wrong."""
    out = tmp_path / "a.nb"
    promise = "all runs of one predictor must have the same batch, and sequences of the same length"
    assert f"guarantee: {promise}" in outcome("export", saved, "-o", out, "--rows", "fixed")
    record = json.loads((tmp_path / "a.nb.json").read_text())
    assert record["lite"] == {"rows": "fixed", "sizes": "open", "warnings": []}
    assert outcome("check", out).splitlines()[1:] == ["in int8: 2 conv2d, 1 fc.", f"{promise}."]
    assert "Wrong" not in outcome("inspect", out)
    (tmp_path / "a.nb.json").unlink()
    result = invoke("check", out)
    assert str(result.exception) == f"{out} goes wrong on arm in one place: see the lines above."
    assert "wrong: op fc -> ['linear_" in result.output
    assert "an int8 fc op gives wrong numbers once the number of its rows" in result.output
    assert "Wrong" in outcome("inspect", out)


def test_rows_that_may_change_are_promised_nothing(saved: Path, tmp_path: Path) -> None:
    outcome("export", saved, "-o", tmp_path / "a.nb", "--rows", "open")
    record = json.loads((tmp_path / "a.nb.json").read_text())
    assert record["lite"] == {"rows": "open", "sizes": "open", "warnings": []}
    text = refusal("export", saved, "-o", tmp_path / "b.nb", "--arch", "x86", "--rows", "open")
    assert "leave out --rows" in text
    assert not (tmp_path / "b.nb").exists()


def test_a_file_for_x86(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.nb"
    outcome("export", saved, "-o", out, "--arch", "x86", "--no-check")
    assert json.loads((tmp_path / "a.nb.json").read_text())["lite"]["sizes"] == "fixed"
    assert outcome("check", out).splitlines() == [
        "a file for x86.",
        "in int8: nothing.",
        "all runs of one predictor must have images of the same size.",
    ]


def test_a_file_of_kernels_for_any_processor(tmp_path: Path) -> None:
    """That it is for x86, only the record knows."""
    qcc.save(arm_model("negative-to-uint8", quantized=False)[0], tmp_path / "model", check=False)
    out = tmp_path / "a.nb"
    outcome("export", tmp_path / "model", "-o", out, "--arch", "x86", "--no-check")
    assert outcome("check", out).splitlines() == ["a file for x86.", "in int8: nothing."]
    (tmp_path / "a.nb.json").unlink()
    assert "a negative float becomes 0" in invoke("check", out).output


def test_a_warning_is_kept(tmp_path: Path) -> None:
    """The bound is computed from the weights: 64 channels of 9 weights at the largest."""
    model, _ = arm_model("winograd-sums", quantized=True)
    saved = export(model, tmp_path / "a.nb")
    (warning,) = saved.warnings
    bound = f"up to {64 * 9 * 127 * 127:,}, where 3,728,270 are right"
    for words in ("op conv2d -> ", "without dot product", bound, "weight_bits=7"):
        assert words in str(warning)
    (kept,) = json.loads((tmp_path / "a.nb.json").read_text())["lite"]["warnings"]
    assert bound in kept
    assert f"warning: {kept}." in outcome("check", tmp_path / "a.nb")
    assert any(bound in note for note in check(model, "arm").notes)


def test_many_warnings_are_one(tmp_path: Path) -> None:
    wide = convolution(32, 3, F.relu, padding=1)
    model = frozen(
        build_model(lambda x: wide(wide(x)), (floats(1, 64, 16, 16),)), {"x0": floats(1, 64, 16, 16)}
    )
    for name in model.weights:
        if model.weights[name].ndim == 4:
            model.weights[name] = np.full_like(model.weights[name], 127)
    (warning,) = export(model, tmp_path / "a.nb").warnings
    assert str(warning).endswith("(1 more such op in a.nb.json)")
    assert len(json.loads((tmp_path / "a.nb.json").read_text())["lite"]["warnings"]) == 2


def test_all_that_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = arm_model("fc-shared-weight", quantized=True)
    unguarded(model, tmp_path / "a.nb", monkeypatch)
    result = invoke("check", tmp_path / "a.nb")
    assert result.output.count("changes its weight, which another op reads") == 2
    assert "in 2 places" in str(result.exception)


@pytest.mark.lite
@pytest.mark.parametrize(
    ("fault", "quantized"),
    [("fc-rows", True), ("depthwise-hard-swish", True), ("adaptive-pool", False), ("reduction", False)],
)
def test_a_file_of_opt(fault: str, quantized: bool, tmp_path: Path) -> None:
    """Paddle Lite's own optimizer writes what its kernels get wrong, too."""
    model, _ = arm_model(fault, quantized=quantized)
    file = run_optimizer(model, "arm", tmp_path)
    result = invoke("check", file)
    assert result.exit_code != 0
    wrong = [line for line in result.output.splitlines() if line.startswith("wrong: ")]
    assert wrong
    assert all(arm_table().fault(fault).what in line for line in wrong)


@pytest.mark.lite
def test_a_right_file_of_opt(tmp_path: Path) -> None:
    """What it writes otherwise than qcc, and the runtime does not mind, is nothing to fail for."""
    model, _ = arm_model("unpadded-depthwise-relu", quantized=True)
    assert outcome("check", run_optimizer(model, "arm", tmp_path)).splitlines() == [
        "a file for arm.",
        "in int8: 1 conv2d, 1 depthwise_conv2d.",
    ]


def test_damaged_files_and_other_models(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "a.nb").write_bytes(b"text")
    assert "is not a Paddle Lite naive buffer" in refusal("check", tmp_path / "a.nb")
    result = invoke("check", saved)
    assert result.exit_code == 2
    assert "Missing option '--target'" in result.output


def test_a_folder_with_the_name_of_an_onnx_file(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").mkdir()
    result = invoke("check", tmp_path / "net.onnx")
    assert result.exit_code == 2
    assert "Missing option '--target'" in result.output
