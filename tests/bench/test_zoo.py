"""The zoo's page and processes, and every network of it that has been built, through all forms."""

from __future__ import annotations

import ast
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from qcc.errors import PassError
from qcc.train.data.cache import cache_folder

BENCH = Path(__file__).parents[2] / "bench"
NETWORKS = list(yaml.safe_load((BENCH / "zoo" / "networks.yml").read_text(encoding="utf-8")))
MODULES = ("catalogue", "isolated", "networks", "networks_page", "outcome", "page", "stages", "zoo")

# Rounding a deep random network in another order moves it: by this times as much as its own ties do.
TIES = 4.0
FLOOR = 0.02


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(BENCH)
    monkeypatch.syspath_prepend(BENCH / "zoo")
    yield importlib.import_module("zoo")
    for name in MODULES:
        sys.modules.pop(name, None)


def test_the_page_is_made_from_the_record(zoo: ModuleType) -> None:
    records = {kind: json.loads(file.read_text()) for kind, file in zoo.RECORDS.items() if file.exists()}
    assert zoo.OUTCOME.page.read_text() == zoo.OUTCOME.text(records)


def test_the_record_holds_no_network_that_the_catalogue_lacks(zoo: ModuleType) -> None:
    for file in zoo.RECORDS.values():
        assert not file.exists() or set(json.loads(file.read_text())["networks"]) <= set(NETWORKS)


def test_a_row_for_each_network_and_reasons_below(zoo: ModuleType) -> None:
    distances = {"largest": 0.25, "mean": 0.2, "norms": 0.0}
    prepared = {"ops": 7, "quantized": 2, "quantizable": 3, "frozen": distances, "ties": {"largest": 0.0}}
    whole = {
        "prepared": prepared,
        "paddle frozen": {"int8": {"convolution": 2}, **distances},
        "paddle-x86": {"died": "SIGILL"},
        "openvino qdq": {"refused": "no mul"},
        "openvino": {"int8": {"Convolution": 2}, "largest": 1e-7},
        "onnx onnxruntime": {"int8": {"QLinearConv": 2}, "largest": 2e-7, "whole": "no op"},
        "lite x86": {"largest": 3e-7, "whole": "another number of boxes"},
        "lite arm": {"int8": {"conv2d": 1, "fc": 1}},
    }
    record = {
        "command": "make zoo",
        "environment": {"processor": "CPU", "paddle": "2.6.2"},
        "networks": {"a": whole, "b": {"prepared": {"fault": "KeyError: 'x'"}}, "c": {"not built": "torn"}},
    }
    lines = zoo.OUTCOME.text({"cpu": record}).splitlines()
    onnx = "|  | 2: 2e-07, whole: no |"
    assert (
        f"| a | 7 | 2 of 3 | 0.250 | equal | 2: 0.250 | dies | no | 2: 1e-07 {onnx} 3e-07, whole: no | 2 |"
        in lines
    )
    assert "* **Lite x86, whole: no**, a: another number of boxes" in lines
    assert any(line.startswith("| b | fault |") for line in lines)
    assert not any(line.startswith("| c |") for line in lines)
    assert "* **OpenVINO, QDQ: no**, a: no mul" in lines
    assert "* **not built**, c: torn" in lines
    assert "* **oneDNN, paddle-x86: dies**, a: SIGILL" in lines
    assert "* **prepared: fault**, b: KeyError: 'x'" in lines
    both = zoo.OUTCOME.text({"cpu": record, "vnni": record}).splitlines()
    assert [line for line in both if line.startswith("## ")] == ["## Without VNNI", "## With VNNI"]


def _refuses() -> dict[str, Any]:
    raise PassError("a sentence.")


def _is_wrong() -> dict[str, Any]:
    raise KeyError("x")


def _is_killed() -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGILL)
    return {}


def test_a_process_of_its_own_tells_how_it_ended(zoo: ModuleType) -> None:
    isolated = sys.modules["isolated"].isolated
    assert isolated(dict, [("a", 1)]) == {"a": 1}
    assert isolated(_refuses) == {"refused": "a sentence.", "kind": "PassError"}
    assert isolated(_is_wrong)["fault"].startswith("KeyError: 'x'")
    assert isolated(_is_killed) == {"died": "SIGILL"}


def test_build_refuses_a_network_that_is_not_in_the_catalogue() -> None:
    command = [sys.executable, BENCH / "zoo" / "build.py", "NoSuchNet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "NoSuchNet" in done.stderr


@pytest.mark.parametrize("script", ["grow.py", "recognisers.py"])
def test_scripts_of_the_other_environment_do_not_import_qcc(script: str) -> None:
    tree = ast.parse((BENCH / "zoo" / script).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert not imported & {"qcc", "train"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_form(zoo: ModuleType, name: str) -> None:
    """Loads, quantizes, freezes; forms equal one another up to ties; engines run, or refuse in a sentence."""
    catalogue = sys.modules["catalogue"]
    if not catalogue.is_built(name):
        why = catalogue.failure(name) or f"it is not in {cache_folder() / 'zoo'}: run `make zoo`"
        pytest.skip(f"{name} was not built: {why}")
    found = zoo.measure(name, zoo.STAGES)
    prepared = found["prepared"]
    assert "ops" in prepared, prepared
    assert prepared["quantized"] > 0
    assert prepared["int8"]["largest"] == 0
    bound = max(FLOOR, TIES * prepared["ties"]["largest"])
    assert prepared["qdq"]["largest"] <= bound
    if "largest" in found["lite x86"]:
        assert found["lite x86"]["largest"] <= bound
    for stage, result in found.items():
        assert "fault" not in result, (stage, result)
        # What the engine's own code dies of is its own affair; qcc must have started it in another process.
        if stage.startswith("lite"):
            assert "died" not in result, (stage, result)
    arm = found["lite arm"]
    if "refused" in arm:
        assert arm["foreseen"] == arm["refused"], "`qcc check` accepts exactly what `qcc export` writes"
    else:
        assert arm["foreseen"] == arm["int8"], "`qcc check` counts what `qcc export` writes"
