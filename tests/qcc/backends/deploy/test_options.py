"""The lines that end a command for an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcc.backends.deploy.options import told
from qcc.targets.table import find_target


@pytest.mark.parametrize("vnni", [False, True])
@pytest.mark.parametrize(
    ("name", "another"),
    [
        ("openvino", "openvino+vnni"),
        ("onnxruntime", "onnxruntime+vnni"),
        ("paddle-x86", "paddle-x86+vnni"),
        ("paddle-x86+vnni", None),
        ("tensorrt", None),
    ],
)
def test_a_better_target_for_this_processor_is_told(
    name: str, another: str | None, vnni: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcc.backends.deploy.options.has_vnni", lambda: vnni)
    lines = list(told(find_target(name), Path("OUT/qdq/model.pdmodel")))
    hints = [line for line in lines if "this processor has VNNI" in line]
    assert len(hints) == (vnni and another is not None)
    assert all(f"--target {another} " in hint for hint in hints)
