"""How models go out: one module per target."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qcc.backends.report import Check, Saved
from qcc.errors import QccWarning, TargetError

if TYPE_CHECKING:
    from qcc.model import Model

__all__ = ["Check", "Saved", "save"]

# Target -> the module that has its `FORMS` and `save`.
_TARGETS = {"fluid": "qcc.backends.fluid", "lite": "qcc.backends.lite"}


def save(
    model: Model,
    path: str | os.PathLike[str],
    target: str = "fluid",
    form: str | None = None,
    model_filename: str | None = None,
    params_filename: str | None = None,
    check: bool | Mapping[str, np.ndarray] = True,
) -> Saved:
    """Write a model into the folder `path`, with a record (`qcc.json`) of what made it.

    Target "fluid" writes Paddle's inference models, `model.pdmodel` and `model.pdiparams` unless other
    names are given (`__model__` and `model` imply `__params__` and `weights`), in the form

    - "float" (the default): the graph as it is, integers of frozen weights stored as float32;
    - "int8": a frozen graph with weights stored as INT8; smallest, but no runtime of Paddle 2.6 runs it;
    - "qdq": a frozen graph as quantize_linear / dequantize_linear, which runtimes execute in int8.

    Target "lite" writes `path` as one file for Paddle Lite, a naive buffer (`.nb`), in the form

    - "arm": for ARM processors, where what is quantized runs in int8;
    - "x86": for x86 processors, where float kernels compute what is quantized, exactly;
    - "x86-int8": likewise, but convolutions run in int8 where that is exact.

    Any other target is an engine of `qcc.targets`, such as "paddle-x86": a frozen model is written as an
    inference model of Paddle in the one form that this engine computes rightly, and the record holds the
    lines that an application sets the engine up with. What the engine computes otherwise is not written.

    The files appear all at once, or, when anything fails, not at all, and those that were there before
    stay. With `check` they are read back first and compared bit for bit, and the forms that can be run
    are run by Paddle in a process of its own, on made-up inputs or on those given as `check`; the checks
    are returned. What is wrong with the files is an error; an engine that does not run them, or gives
    other numbers, is one of `Saved.warnings`, which name the op, and a Python warning of the category
    `QccWarning`.

    The same model gives the same bytes, whenever and wherever it is written.

    Raises TargetError for an unknown target or form, a model that has no way into the form, or one that a
    pass has lowered for another runtime; PassError
    when the pass that leads there refuses; OutputError when files cannot be written or fail the checks.
    """
    if not isinstance(check, bool | Mapping):
        raise TypeError(
            f"check is whether to check, or a mapping of arrays by feed, no {type(check).__name__}."
        )
    if target not in _TARGETS:
        from qcc.backends import deploy
        from qcc.targets.table import find_target

        table = find_target(target, others=tuple(_TARGETS))
        return deploy.save(model, Path(path), table, form, model_filename, params_filename, check)
    backend = import_module(_TARGETS[target])
    form = form or backend.DEFAULT_FORM
    if form is None:
        raise TargetError(f"target {target!r} needs a form; it has {', '.join(backend.FORMS)}.")
    if form not in backend.FORMS:
        raise TargetError(f"target {target!r} has no form {form!r}; it has {', '.join(backend.FORMS)}.")
    lowered_by = model.graph.lowered_by
    if target == "fluid" and lowered_by is not None:
        raise TargetError(
            f"the model went through pass {lowered_by!r}, whose result Paddle does not compute, so that it"
            " cannot be saved as a Paddle model: leave out what `qcc passes` marks as not computed by Paddle"
            " (`qcc export` runs the passes that Paddle Lite needs itself)."
        )
    saved: Saved = backend.save(model, Path(path), form, model_filename, params_filename, check)
    for failed in saved.warnings:
        warnings.warn(f"saved in {path}, but {failed}", QccWarning, stacklevel=2)
    return saved
