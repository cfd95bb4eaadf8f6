"""What an application must set for an engine, as text to be pasted and as a record."""

from __future__ import annotations

import json
from typing import Any

from qcc.targets.table import Option, Target


def record(target: Target, *, onnx: bool = False) -> dict[str, Any]:
    """What the record beside a model says about the engine that it was written for, as a model of Paddle or
    in ONNX."""
    return {
        "target": target.name,
        "engine": target.engine,
        "processor": target.processor,
        "python": code(target, "python", onnx=onnx),
        "cpp": code(target, "cpp", onnx=onnx),
    }


EXAMPLE = "OUT/qdq/model.pdmodel"
"""The program that an engine loads, as the tables call it."""


def code(target: Target, language: str, *, onnx: bool = False) -> list[str]:
    """The lines that set the options, in "python" or "cpp"."""
    options = target.onnx.options if onnx and target.onnx is not None else target.options
    return [_line(target, option, language) for option in options]


def _line(target: Target, option: Option, language: str) -> str:
    quoted = ", ".join(json.dumps(op) for op in target.int8_ops)
    text: str = getattr(option, language)
    mark = "#" if language == "python" else "//"
    line = text.replace("{ops}", f"{{{quoted}}}")
    return line if option.processors == "all" else f"{line}  {mark} {option.processors}"
