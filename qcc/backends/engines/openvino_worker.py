"""The process in which OpenVINO runs one model.

It is started by `qcc.backends.engines.openvino`. It tells the names of inputs and outputs and how many layers
run in int8, by OpenVINO's types, and then answers each set of inputs with the outputs.
"""

from __future__ import annotations

import socket
import sys
from collections import Counter
from typing import Any

import openvino

from qcc.backends.engines.wire import Closed, receive, send

_LAYERS = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul"})
_INTEGERS = frozenset({"u8", "i8"})


def main() -> None:
    connection, path = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    core = openvino.Core()
    model = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_NUM_THREADS": 1})
    send(connection, {"inputs": [port.get_any_name() for port in model.inputs], "int8": in_int8(model)}, {})
    try:
        while True:
            _, arrays = receive(connection)
            found = model(arrays)
            outputs = {str(number): found[port] for number, port in enumerate(model.outputs)}
            send(connection, {}, outputs)
    except Closed:
        pass


def in_int8(model: Any) -> dict[str, int]:
    """How many layers of each type are executed on integers."""
    kinds: Counter[str] = Counter()
    for node in model.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        kind = facts["layerType"].astype(str)
        if kind in _LAYERS and facts["runtimePrecision"].astype(str) in _INTEGERS:
            kinds[kind] += 1
    return dict(kinds)
