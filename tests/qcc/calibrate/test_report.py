"""The record and the report of a quantized model: names are data, and numbers may be anything."""

from __future__ import annotations

import json
import math
from pathlib import Path

import nets

from qcc.calibrate.choose import Choice, Quantized
from qcc.calibrate.compare import Agreement
from qcc.calibrate.report import Section, Story


def story(name: str, largest: float) -> Story:
    choice = Choice(name, "mse", 1.0, {"mse": 0.1}, {"mse": 0.01})
    model = nets.build(nets.residual_net)["test"]
    return Story(
        model="it's a|b",
        quantized=Quantized(model, (choice,), ()),
        effort="calibrated",
        calibrator="mse",
        target=None,
        data={"kind": "images", "path": "<b>", "used": 3, "found": 3},
        skipped=[],
        agreement=[Agreement(name, largest, math.nan, None, None)],
        compared_on=1,
        compared_seen=", none of which was learned from",
        seconds=1.0,
        sizes={"int8": 1000},
        warnings=[f"qdq: {name} is wrong"],
        notices=[f"{name} loses most."],
        sections=[Section("Training", [], "training", {"epochs": [{"snr": -math.inf}]})],
    )


def test_names_are_no_markup_in_the_report(tmp_path: Path) -> None:
    story("a|b<img src=x>\x1b\nc", 0.1).write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| a\\|b&lt;img src=x&gt;\\x1b c | 1 | 0.1 | 1.00% |" in text
    assert (
        "- qdq: a\\|b&lt;img src=x&gt;\\x1b c is wrong\n- a\\|b&lt;img src=x&gt;\\x1b c loses most.\n" in text
    )
    assert "<" not in text
    assert text.startswith("# it's a\\|b, quantized")


def test_what_is_not_finite_is_none_in_the_record(tmp_path: Path) -> None:
    story("a", math.inf).write(tmp_path)
    record = json.loads((tmp_path / "qcc.json").read_text())
    assert record["agreement"] == [
        {"output": "a", "largest": None, "mean": None, "noise": None, "same_class": None}
    ]
    assert record["training"] == {"epochs": [{"snr": None}]}
    assert "off by nan% of its range on average, at most by inf%" in (tmp_path / "report.md").read_text()
