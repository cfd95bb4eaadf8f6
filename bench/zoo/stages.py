"""What is done with each network of the zoo, and what comes out: functions that return what JSON holds.

`prepare` writes what the others read into a folder of its own:

    float/ frozen/ int8/ qdq/     the network in each form
    front/float/ ...              that up to the first op that selects, such as an NMS, where it has one: then
                                  there is only the frozen form of the whole
    inputs.npz  float.npz  frozen.npz   a made-up input, and what the front answers to it
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from isolated import without_folders
from networks import frozen

import qcc
from qcc.analyze.inspection import inspect
from qcc.backends.agreement import Distance, distances, furthest
from qcc.backends.engines.engine import Engine
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.engines.openvino import OpenVino
from qcc.backends.engines.paddle_worker import Inference
from qcc.backends.lite.check import check as check_lite
from qcc.backends.lite.export import export
from qcc.backends.lite.file import read_naive_buffer
from qcc.backends.lite.passes.kernels import KERNEL_ATTR
from qcc.backends.lite.runtime import LiteRuntime
from qcc.backends.onnx.export import export as export_onnx
from qcc.backends.onnx.form import unmeasured
from qcc.calibrate.activations import scales_of
from qcc.errors import EngineError, QccError
from qcc.failures import PADDLE_FAILURES, reason
from qcc.model import Model, Runner
from qcc.passes.frozen import frozen_ops
from qcc.targets.lite import find_kernel
from qcc.targets.table import find_target

Inputs = dict[str, np.ndarray]
Result = dict[str, Any]

FORMS = {"float": "float", "frozen": "float", "int8": "int8", "qdq": "qdq"}
_LAYERS = ("Conv", "Deconv", "FullyConnected", "MatMul", "QGemm", "QLinearConv", "QLinearMatMul")
# Behind these, what a value on a rounding boundary becomes decides on which values there are.
SELECTING = frozenset({"yolo_box", "multiclass_nms3", "matrix_nms", "generate_proposals_v2", "top_k_v2"})


def made_up(model: Model, seed: int) -> Inputs:
    """Noise for pictures; for a detector their size, and 1 for the factor by which they were scaled."""
    random = np.random.default_rng(seed)
    inputs: Inputs = {}
    shapes = {name: model.graph.versions(name)[0].shape for name in model.feeds}
    for name, shape in shapes.items():
        if name == "im_shape":
            inputs[name] = np.array([shapes["image"][2:]] if "image" in shapes else [[128, 128]], np.float32)
        elif name == "scale_factor":
            inputs[name] = np.ones(shape, np.float32)
        else:
            inputs[name] = random.standard_normal(shape).astype(np.float32)
    return inputs


def front(model: Model) -> Model | None:
    """The model up to its first ops that select; None when it has none."""
    wanted: list[str] = []
    behind: set[str] = set()
    for op in model.graph.ops:
        names = [var.name for var in op.all_inputs()]
        if op.type in SELECTING and behind.isdisjoint(names):
            wanted += [var.name for var in op.all_inputs() if var.producer is not None]
            behind |= {var.name for var in op.all_outputs()}
        elif not behind.isdisjoint(names):
            behind |= {var.name for var in op.all_outputs()}
    if not wanted:
        return None
    shorter = model.copy()
    shorter.graph.fetches = tuple(dict.fromkeys(wanted))
    return qcc.PassManager.parse("prune").run(shorter)


def prepare(source: Path, folder: Path) -> Result:
    """Load, inspect, quantize, freeze; write every form; run the forms in Paddle's own kernels."""
    model = qcc.load(source)
    inputs = made_up(model, 100)
    quantized = frozen(model, inputs)
    found = inspect(quantized)
    cut = front(model)
    if cut is None:
        _write(model, quantized, folder, FORMS)
    else:
        cut_quantized = front(quantized)
        assert cut_quantized is not None
        _write(model, quantized, folder, ("frozen",))
        _write(cut, cut_quantized, folder / "front", FORMS)
    np.savez(folder / "inputs.npz", **inputs)
    given = _for(cut or model, inputs)
    reference = Runner(qcc.load(_front(folder, "frozen")))
    outputs = {"float": (cut or model).run(given), "frozen": reference.run(given)}
    for form, arrays in outputs.items():
        np.savez(folder / f"{form}.npz", *arrays)
    again = {
        form: _compare(qcc.load(_front(folder, form)).run(given), outputs["frozen"])
        for form in ("int8", "qdq")
    }
    # What rounding alone does: the same run, its input moved in the last bits.
    moved = {name: array * np.float32(1 + 1e-6) for name, array in given.items()}
    again["ties"] = _compare(reference.run(moved), outputs["frozen"])
    return {
        "ops": sum(inspect(model).ops.values()),
        "front": list((cut or model).fetches) if cut is not None else None,
        "quantizable": len(found.quantizable),
        "quantized": len(list(frozen_ops(quantized.graph))),
        "kinds": Counter(status.type for status in found.quantizable if status.quantized),
        "frozen": _distances(_compare(outputs["frozen"], outputs["float"])),
        **{form: _distances(distance) for form, distance in again.items()},
    }


def _write(model: Model, quantized: Model, folder: Path, forms: Iterable[str]) -> None:
    for form in forms:
        qcc.save(model if form == "float" else quantized, folder / form, form=FORMS[form], check=False)


def _front(folder: Path, form: str) -> Path:
    cut = folder / "front" / form
    return cut if cut.exists() else folder / form


def _for(model: Model, inputs: Mapping[str, np.ndarray]) -> Inputs:
    return {name: inputs[name] for name in model.feeds}


def _arrays(path: Path) -> list[np.ndarray]:
    with np.load(path) as archive:
        return [archive[name] for name in archive.files]


def _inputs(folder: Path) -> Inputs:
    with np.load(folder / "inputs.npz") as archive:
        return dict(archive)


def _compare(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> Distance:
    return furthest(*distances(found, expected))


def _distances(distance: Distance) -> Result:
    if not distance.sound:
        return {"sound": False}
    return {"largest": distance.largest, "mean": distance.mean, "norms": distance.norms}


def _against(folder: Path, outputs: Sequence[np.ndarray], form: str = "frozen") -> Result:
    return _distances(_compare(outputs, _arrays(folder / f"{form}.npz")))


# ---------------------------------------------------------------------- engines


def for_target(folder: Path, target: str) -> Path:
    """The front in the form for an engine."""
    place = folder / target
    if not place.exists():
        qcc.save(qcc.load(_front(folder, "frozen")), place, target=target, check=False)
    return place


def paddle_x86(folder: Path, form: str) -> Result:
    """The front in `paddle.inference`: float in oneDNN's float kernels, else in its int8 kernels."""
    place = for_target(folder, form) if form == "paddle-x86" else _front(folder, form)
    words = folder / f"onednn-{form}.txt"
    # oneDNN looks when it runs its first kernel, and writes to the standard output.
    os.environ["DNNL_VERBOSE"] = "1"
    stream = os.open(words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    params = place / "model.pdiparams"
    engine, inputs = Engine(onednn=True, int8=form != "float"), _inputs(folder)
    try:
        model = Inference(place / "model.pdmodel", params, asdict(engine))
        words.write_text("")
        outputs = model.run({name: inputs[name] for name in model.feeds}, None, [])
    except PADDLE_FAILURES as error:
        return {"refused": reason(error)}
    result = _against(folder, outputs, "float" if form == "float" else "frozen")
    return {"int8": _int8_kernels(words.read_text()), **result}


def _int8_kernels(log: str) -> dict[str, int]:
    """How many calls of each primitive read 8-bit integers: `...exec,cpu,convolution,...,src_u8::...`."""
    calls = re.findall(r"exec,cpu,(convolution|deconvolution|inner_product|matmul),.*src_[us]8", log)
    return dict(Counter(calls))


def openvino(folder: Path, form: str) -> Result:
    """The front in OpenVINO, which reads Paddle's files."""
    place = for_target(folder, form) if form == "openvino" else _front(folder, form)
    try:
        with OpenVino(place / "model.pdmodel") as engine:
            return {"int8": engine.int8, **_against(folder, engine.run(_inputs(folder)))}
    except EngineError as error:
        return {"refused": _last_words(str(error))}


def _last_words(text: str) -> str:
    telling = re.search(r"(FrontEnd API failed.*|Check '.*|.*unsupported.*)", text, re.IGNORECASE)
    return without_folders(telling.group(1) if telling else text)[:300]


def onnx(folder: Path, target: str) -> Result:
    """The front as an ONNX file, in its engine; then the file of the whole network, its check included."""
    inputs = _inputs(folder)
    model, shorter = qcc.load(folder / "frozen"), qcc.load(_front(folder, "frozen"))
    file = _onnx_file(shorter, folder / f"{target}.onnx", target, _for(shorter, inputs), check=False)
    runtime: OnnxRuntime | OpenVino = OnnxRuntime(file) if target == "onnxruntime" else OpenVino(file)
    with runtime as engine:
        layers = {kind: count for kind, count in engine.int8.items() if kind.startswith(_LAYERS)}
        result = {"int8": layers, **_against(folder, engine.run(inputs))}
    try:
        _onnx_file(model, folder / f"{target}-whole.onnx", target, _for(model, inputs), check=True)
    except QccError as error:
        result["whole"] = without_folders(str(error))
    return result


def _onnx_file(model: Model, file: Path, target: str, inputs: Inputs, *, check: bool) -> Path:
    table = find_target(target)
    names = unmeasured(model, table)
    scales = scales_of(model, names, [inputs]) if names else {}
    export_onnx(model, file, table, scales=scales, check=inputs if check else False)
    return file


def lite_x86(folder: Path) -> Result:
    """The front in Paddle Lite; then the whole network, as far as its export comes, the check included."""
    inputs = _inputs(folder)
    model = qcc.load(folder / "frozen")
    shorter = qcc.load(_front(folder, "frozen"))
    file = folder / "front-x86.nb"
    export(shorter, file, arch="x86", check=False)
    with LiteRuntime(file) as runtime:
        outputs = runtime.run(_for(shorter, inputs))
    result = _against(folder, outputs)
    if _front(folder, "frozen") != folder / "frozen":
        try:
            export(model, folder / "whole-x86.nb", arch="x86", check=_for(model, inputs))
        except QccError as error:
            result["whole"] = without_folders(str(error))
    return result


def lite_arm(folder: Path, source: Path) -> Result:
    """The whole network as a file for ARM; what `qcc check` says before, and what is in the file."""
    foreseen: Result | None = None
    try:
        foreseen = dict(check_lite(qcc.load(source), "arm").int8)
        refused = None
    except QccError as error:
        refused = without_folders(str(error))
    try:
        export(qcc.load(folder / "frozen"), folder / "arm.nb", arch="arm")
    except QccError as error:
        return {"refused": without_folders(str(error)), "kind": type(error).__name__, "foreseen": refused}
    kernels = [find_kernel(op.attr(KERNEL_ATTR, "")) for op in read_naive_buffer(folder / "arm.nb").ops]
    int8 = Counter(k.op for k in kernels if k is not None and k.precision == "int8" and k.op != "calib")
    return {"int8": dict(int8), "ops": len(kernels), "foreseen": refused or foreseen}
