"""Models as ONNX files: the float part by paddle2onnx, integers and scales as they were frozen.

The modules of this package import `onnx`, which is an extra: ask `onnx_missing` first.
"""

from __future__ import annotations

import importlib.util


def onnx_missing() -> str | None:
    """Why nothing can be translated into ONNX here; None when it can."""
    if all(importlib.util.find_spec(name) is not None for name in ("onnx", "paddle2onnx")):
        return None
    return "the packages for ONNX are not installed: `pip install 'qcc[onnx]'`."
