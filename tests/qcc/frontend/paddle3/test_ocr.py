"""PP-OCRv5 as it is shipped: Paddle 3.0 saved it, Paddle 3.3.1 computed what is expected here."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from paddle3.values import picture
from paddle3_cases import STORED_KERNELS, Digest

import qcc
from qcc.model import Model
from qcc.train.data.cache import dataset

DET, REC = "PP-OCRv5_mobile_det", "PP-OCRv5_mobile_rec"


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: qcc.load(dataset("pp-ocr-v5") / name) for name in (DET, REC)}


def expected() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(__file__).with_name("ocr.json").read_text())
    return content


@pytest.mark.parametrize("name", [DET, REC])
def test_outputs_are_those_of_paddle_3(name: str, models: dict[str, Model]) -> None:
    wanted = expected()[name]
    (output,) = models[name].run({"x": picture(0, *wanted["size"])})
    assert abs(output).max() == pytest.approx(wanted["largest"], rel=1e-6 if STORED_KERNELS else 1e-4)
    Digest("float32", tuple(wanted["shape"]), wanted["sha256"]).check(output)


def test_biases_and_shapes_leave_nothing_behind(models: dict[str, Model]) -> None:
    det, rec = (Counter(op.type for op in models[name].graph.ops) for name in (DET, REC))
    assert det["reshape2"] == 0
    assert not {"fill_constant", "assign_value", "shape", "stack", "cast"} & {*det, *rec}
    convolutions = [op for op in models[DET].graph.ops if op.type.endswith("conv2d")]
    assert all(op.attr("op_namescope").startswith("/") for op in convolutions)
    assert len({op.attr("op_namescope") for op in convolutions}) > 10


@pytest.mark.slow
@pytest.mark.lite
def test_lite_runs_it(models: dict[str, Model], tmp_path: Path) -> None:
    """For x86 the file is run and compared when it is saved."""
    for name, model in models.items():
        saved = qcc.save(model, tmp_path / f"{name}.nb", target="lite", form="x86")
        assert not saved.warnings, saved.warnings
