"""What the engine of a target is given to be timed: the file that is written for it in the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from qcc.backends import save
from qcc.backends.deploy.floats import float_for
from qcc.backends.engines.engine import Engine
from qcc.backends.engines.onnx_engines import ONNX_ENGINES
from qcc.backends.engines.openvino import OpenVino
from qcc.backends.lite.export import export as export_lite
from qcc.backends.lite.runtime import LiteRuntime, runtime_missing
from qcc.backends.predictor import Predictor
from qcc.errors import MissingDependencyError, TargetError
from qcc.measure.engines import Running
from qcc.measure.tradeoff.clock import Form
from qcc.model import Model
from qcc.quantization import state
from qcc.targets.lite import LITE_TARGETS
from qcc.targets.processor import lacks
from qcc.targets.table import Target, find_target

if TYPE_CHECKING:
    from qcc.backends.onnx.export import Cut

LITE = "lite-x86"
_TIMED = "onnxruntime, openvino, tensorrt, paddle-x86 and lite-x86"
_MISSING = {name: engine.missing for name, engine in ONNX_ENGINES.items()} | {"lite": runtime_missing}


def engine_of(target: str, *, onnx: bool) -> str:
    """The engine by which files for a target are timed here: a name of `qcc.measure.engines`. `onnx`: the
    file is to be an ONNX file, also where the engine reads Paddle's.

    Raises TargetError for a target that no engine of this machine stands for, MissingDependencyError for one
    that is not installed.
    """
    engine = "lite" if target == LITE else "nothing" if target in LITE_TARGETS else _engine(target, onnx)
    if engine == "nothing":
        raise TargetError(
            f"how fast a model is on {target} cannot be measured here: time budgets are for {_TIMED}."
        )
    if engine != "lite" and (lack := lacks(find_target(target))) is not None:
        raise TargetError(f"how fast a model is on {target} cannot be measured here: {lack}.")
    missing = None if engine == "paddle" else _MISSING[engine]()
    if missing is not None:
        raise MissingDependencyError(missing)
    return engine


def _engine(target: str, onnx: bool) -> str:
    table = find_target(target)
    if table.checked_in != "onnx" and not onnx:
        return table.checked_in
    return "nothing" if table.onnx is None else table.onnx.checked_in


def paddle_form(target: Target, engine: str) -> Form:
    """Paddle's inference models, as `qcc.save` writes them for a target."""

    def write(model: Model, folder: Path) -> Path:
        if state(model.graph) == "float":
            save(float_for(model, target), folder, check=False)
        else:
            save(model, folder, target=target.name, check=False)
        return folder / "model.pdmodel"

    return Form(write, _open_openvino if engine == "openvino" else _open_paddle)


def onnx_form(target: Target, engine: str, scales: Mapping[str, float], cut: Cut | None) -> Form:
    """ONNX files; `scales`: of all variables that are quantized, or that the target wants to know besides."""
    from qcc.backends.onnx.export import export  # it imports the package onnx

    def write(model: Model, folder: Path) -> Path:
        path = folder / "model.onnx"
        export(model, path, target, scales=scales, cut=cut, check=False)
        return path

    return Form(write, lambda path, _: ONNX_ENGINES[engine].open(path))


def lite_form(x86_int8: bool) -> Form:
    """Paddle Lite's files for x86."""

    def write(model: Model, folder: Path) -> Path:
        path = folder / "model.nb"
        export_lite(model, path, arch="x86", x86_int8=x86_int8 and state(model.graph) != "float", check=False)
        return path

    return Form(write, _open_lite)


def _open_openvino(path: Path, _: bool) -> Running:
    return OpenVino(path, 1)


def _open_lite(path: Path, _: bool) -> Running:
    return LiteRuntime(path)


def _open_paddle(path: Path, quantized: bool) -> Running:
    params = path.with_suffix(".pdiparams")
    return Predictor(path, params if params.exists() else None, Engine(onednn=True, int8=quantized))
