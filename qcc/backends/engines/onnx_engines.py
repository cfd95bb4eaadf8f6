"""The engines that read ONNX files: how a file is opened in each, and why one cannot be used here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qcc.backends.engines.onnxruntime import OnnxRuntime, onnxruntime_missing
from qcc.backends.engines.openvino import OpenVino, openvino_missing
from qcc.backends.engines.tensorrt import TensorRt, tensorrt_missing

OnnxRunning = OnnxRuntime | OpenVino | TensorRt


@dataclass(frozen=True)
class OnnxEngine:
    """`open` takes a file, for one thread of a processor; `missing` says why there is no such engine here,
    None where there is one."""

    name: str
    open: Callable[[Path], OnnxRunning]
    missing: Callable[[], str | None]


ONNX_ENGINES = {
    "onnxruntime": OnnxEngine(OnnxRuntime.engine, OnnxRuntime, onnxruntime_missing),
    "openvino": OnnxEngine(OpenVino.engine, OpenVino, openvino_missing),
    "tensorrt": OnnxEngine(TensorRt.engine, TensorRt, tensorrt_missing),
}
