"""How models go out: one module per target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qcc.backends.report import Check, Saved
from qcc.errors import TargetError

if TYPE_CHECKING:
    from qcc.model import Model

__all__ = ["Check", "Saved", "save"]

# Target -> the module that has its `FORMS` and `save`.
_TARGETS = {"fluid": "qcc.backends.fluid", "lite": "qcc.backends.lite"}


def save(
    model: Model,
    path: str | os.PathLike[str],
    target: str = "fluid",
    form: str = "float",
    model_filename: str | None = None,
    params_filename: str | None = None,
    check: bool | Mapping[str, np.ndarray] = True,
) -> Saved:
    """Write a model into the folder `path`, with a record (`qcc.json`) of what made it.

    Target "fluid" writes Paddle's inference models, `model.pdmodel` and `model.pdiparams` unless other
    names are given (`__model__` and `model` imply `__params__` and `weights`), in the form

    - "float": the graph as it is, integers of frozen weights stored as float32;
    - "int8": a frozen graph with weights stored as INT8; smallest, but no runtime of Paddle 2.6 runs it;
    - "qdq": a frozen graph as quantize_linear / dequantize_linear, which runtimes execute in int8.

    Target "lite" writes `path` as one file for Paddle Lite, a naive buffer (`.nb`), in the form

    - "arm": for ARM processors, where what is quantized runs in int8;
    - "x86": for x86 processors, where float kernels compute what is quantized, exactly;
    - "x86-int8": likewise, but convolutions run in int8 where that is exact.

    The files appear all at once, or, when anything fails, not at all, and those that were there before
    stay. With `check` they are read back first and compared bit for bit, and the forms that can be run
    are run by Paddle in a process of its own, on made-up inputs or on those given as `check`; the checks
    are returned. What is wrong with the files is an error; an engine that does not run them, or gives
    other numbers, is one of `Saved.warnings`, which name the op.

    The same model gives the same bytes, whenever and wherever it is written.

    Raises TargetError for an unknown target or form, or a model that has no way into the form; PassError
    when the pass that leads there refuses; OutputError when files cannot be written or fail the checks.
    """
    if target not in _TARGETS:
        raise TargetError(f"there is no target {target!r}; there are {', '.join(_TARGETS)}.")
    backend = import_module(_TARGETS[target])
    if form not in backend.FORMS:
        raise TargetError(f"target {target!r} has no form {form!r}; it has {', '.join(backend.FORMS)}.")
    saved: Saved = backend.save(model, Path(path), form, model_filename, params_filename, check)
    return saved
