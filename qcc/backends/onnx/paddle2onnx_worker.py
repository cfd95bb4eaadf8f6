"""The process in which paddle2onnx translates one model: what it refuses, it aborts at.

It is started by `qcc.backends.onnx.converter`, and answers a request that names program, parameters and opset
with the bytes of the ONNX model.
"""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np

from qcc.backends.engines.wire import Closed, receive, send


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    translate = _library().export
    try:
        while True:
            header, _ = receive(connection)
            model = translate(
                header["program"],
                header["params"],
                header["opset"],
                True,  # a higher opset where an op needs one
                False,  # say nothing
                False,  # onnx.checker looks at the finished file
                True,
                False,  # its optimizer loses the names of variables
                {},
                "onnxruntime",
                "",
                "",
                False,
            )
            send(connection, {}, {"model": np.frombuffer(model, np.uint8)})
    except Closed:
        pass


def _library() -> Any:
    """The compiled part of paddle2onnx. Its Python part would import Paddle, which it does not need."""
    spec = importlib.util.find_spec("paddle2onnx")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    name = "paddle2onnx_cpp2py_export"
    (file,) = Path(spec.submodule_search_locations[0]).glob(f"{name}*.so")
    found = importlib.util.spec_from_file_location(name, file)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
