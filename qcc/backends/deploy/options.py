"""What an application must set for an engine, as text to be pasted and as a record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qcc.targets.processor import has_vnni
from qcc.targets.table import WITH_VNNI, Option, Target


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


# The files that an engine loads, as the tables call them, without what their names end in.
_FILES, _ONNX_FILE = "OUT/qdq/model", "OUT.onnx"


def code(target: Target, language: str, *, onnx: bool = False) -> list[str]:
    """The lines that load a model with the options, in "python" or "cpp", from the imports on."""
    options = target.onnx.options if onnx and target.onnx is not None else target.options
    return [line for option in options for line in _text(target, option, language).splitlines()]


def told(target: Target, file: Path, *, onnx: bool = False) -> Iterator[str]:
    """The code for a file, to be pasted: the program of a model of Paddle, or an ONNX file; and a better
    target for this processor, where there is one."""
    known, place = (_ONNX_FILE, file) if onnx else (_FILES, file.with_suffix(""))
    for language, name in (("python", "Python"), ("cpp", "C++")):
        if lines := code(target, language, onnx=onnx):
            yield f"an application in {name} sets {target.engine} up with"
            yield from (f"    {line.replace(known, place.as_posix())}" for line in lines)
    if target.has_vnni_form and has_vnni():
        yield (
            f"this processor has VNNI: --target {target.name}{WITH_VNNI} keeps all 8 bits of weights, for"
            " such processors alone"
        )


def _text(target: Target, option: Option, language: str) -> str:
    quoted = ", ".join(json.dumps(op) for op in target.int8_ops)
    text: str = getattr(option, language)
    mark = "#" if language == "python" else "//"
    text = text.replace("{ops}", f"{{{quoted}}}")
    return text if option.processors == "all" else f"{text}  {mark} {option.processors}"
