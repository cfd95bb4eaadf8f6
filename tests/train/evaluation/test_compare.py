from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from tiny import write_config, write_slim

import qcc
from qcc.backends.onnx.export import export
from qcc.cli.main import run as command
from qcc.targets.table import find_target
from qcc.train.config import load_config
from qcc.train.evaluation.compare import (
    FormResult,
    InRuntime,
    compare_forms,
    forms_part,
    model_size,
    print_forms,
    runtimes_of,
)
from qcc.train.programs.weights import float_model, load_weights
from qcc.train.tasks.classifier import ClassifierTask


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """Float weights of `qcc train` in weights.npz, trained on in run/, frozen in forms/."""
    folder = tmp_path_factory.mktemp("compare")
    config, weights = write_config(folder, tiny_images), folder / "weights.npz"
    assert command(["train", "-c", str(config), "--save", str(weights)]) == 0
    slim = write_slim(folder / "run", 1, activation_quantize_type="moving_average_abs_max")
    pretrained = f"pretrain_weights={weights}"
    assert command(["quantize", "-c", str(config), "-s", str(slim), "-o", pretrained]) == 0
    assert command(["freeze", "--checkpoint", str(folder / "run"), "--save", str(folder / "forms")]) == 0
    return folder


def test_the_train_command_records_how_the_weights_were_made(folder: Path) -> None:
    record = json.loads((folder / "weights.json").read_text())
    assert record["settings"]["seed"] == 3
    assert [epoch["epoch"] for epoch in record["epochs"]] == [0]
    assert record["environment"]["processor"]


def test_all_forms_side_by_side(folder: Path) -> None:
    config = load_config(folder / "tiny.yml")
    task, output = ClassifierTask(config), Console(file=io.StringIO())
    weights = load_weights(folder / "weights.npz")
    qcc.save(float_model(task.network(), weights, folder), folder / "original")
    forms = folder / "forms"
    places = {
        "float": folder / "original",
        "transformed": folder / "run" / "0" / "eval_model",
        "frozen": forms / "float",
        "int8": forms / "int8",
        "qdq": forms / "qdq",
    }
    files = {form: folder / f"{form}.onnx" for form in ("float", "frozen")}
    for form, file in files.items():
        export(qcc.load(places[form]), file, find_target("openvino"), check=False)
    found = compare_forms(places, task, output, {form: {"OpenVINO": file} for form, file in files.items()})
    results = {result.form: result for result in found}
    assert list(results) == list(places)
    metrics = json.loads((folder / "run" / "0" / "metrics.json").read_text())
    assert results["transformed"].accuracy == metrics["top1"]
    assert results["int8"].accuracy == results["frozen"].accuracy
    assert (results["int8"].float_ms, results["int8"].int8_ms, results["int8"].int8_accuracy) == (None,) * 3
    assert results["frozen"].int8_ms is not None
    assert results["qdq"].int8_accuracy is not None
    assert results["int8"].size < results["frozen"].size
    assert [form for form, result in results.items() if result.runtimes] == ["float", "frozen"]
    for form, file in files.items():
        openvino = results[form].runtimes["OpenVINO"]
        assert openvino.size == file.stat().st_size
        assert openvino.ms > 0
        assert openvino.accuracy == pytest.approx(results[form].accuracy, abs=0.1)
    assert runtimes_of(found) == ["OpenVINO"]


def test_size_counts_program_and_parameters(tmp_path: Path) -> None:
    for name, size in (("model.pdmodel", 5), ("model.pdiparams", 7), ("qcc.json", 100)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert model_size(tmp_path) == 12


def test_table_shows_what_cannot_be_run_as_a_dash() -> None:
    output = io.StringIO()
    rows = [FormResult("int8", 0.91234, None, 345_678, None, None)]
    print_forms(Console(file=output, width=120), rows, "top-1")
    row = next(line for line in output.getvalue().splitlines() if "int8 " in line and "91" in line)
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    assert cells == ["int8", "91.23", "-", "346", "-", "-"]
    part = forms_part(rows, "top-<1>")
    assert all(f">{cell}</td>" in part for cell in cells)
    assert "top-&lt;1&gt;</th>" in part


def test_table_shows_each_runtime_that_ran_something() -> None:
    runtimes = {"OpenVINO": InRuntime(0.905, 1.25, 99_000), "Lite": InRuntime(0.91, 2.5, 100_000)}
    rows = [
        FormResult("float", 0.92, None, 345_678, 3.0, None),
        FormResult("frozen", 0.9, 0.89, 1, 4.0, 2.0, runtimes),
    ]
    output = io.StringIO()
    print_forms(Console(file=output, width=120), rows, "top-1")
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.getvalue().splitlines()]
    assert ["float", "92.00", "-", "-", "-", "346", "3.000", "-", "-", "-"] in lines
    assert ["frozen", "90.00", "89.00", "91.00", "90.50", "0", "4.000", "2.000", "2.500", "1.250"] in lines
    assert "kernels, and in Lite, and in OpenVINO;" in forms_part(rows, "top-1")
