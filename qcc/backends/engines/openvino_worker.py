"""The process in which OpenVINO runs one model.

It is started by `qcc.backends.engines.openvino`. It tells the names of inputs, their shapes, what they take,
and how many layers run in int8 and how many in float, by OpenVINO's types. Requests carry "do": "run", which
is answered with the outputs, or "time".
"""

from __future__ import annotations

import socket
import sys
from collections import Counter
from typing import Any

import openvino

from qcc.backends.engines.timing import timed
from qcc.backends.engines.wire import Closed, receive, send

_LAYERS = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul"})
_INTEGERS = frozenset({"u8", "i8"})
# On processors with bfloat16 (AMX, AVX512-BF16) OpenVINO computes floats in that, of three digits, by itself.
_EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def main() -> None:
    connection, path, threads = socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    core = openvino.Core()
    model = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_NUM_THREADS": threads, **_EXACT})
    # Where an op that changes nothing has gone, an input has that op's names as well.
    ports = {port.node.friendly_name: port for port in model.inputs}
    integers, floats = _layers(model)
    shapes = {
        name: [one.get_length() if one.is_static else -1 for one in port.partial_shape]
        for name, port in ports.items()
        if port.partial_shape.rank.is_static
    }
    dtypes = {name: str(port.element_type.to_dtype()) for name, port in ports.items()}
    told = {"inputs": list(ports), "shapes": shapes, "dtypes": dtypes, "int8": integers, "floats": floats}
    send(connection, told, {})
    try:
        while True:
            header, arrays = receive(connection)
            if header["do"] == "time":
                request = model.create_infer_request()
                for name, array in arrays.items():
                    request.set_tensor(ports[name], openvino.Tensor(array))
                send(connection, timed(request.infer, header["warm_up"], header["runs"]), {})
            else:
                found = model({ports[name]: array for name, array in arrays.items()})
                outputs = {str(number): found[port] for number, port in enumerate(model.outputs)}
                send(connection, {}, outputs)
    except Closed:
        pass


def _layers(model: Any) -> tuple[Counter[str], Counter[str]]:
    """How many layers of each type are executed on integers, and how many are not."""
    integers, floats = Counter[str](), Counter[str]()
    for node in model.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        kind = facts["layerType"].astype(str)
        if kind in _LAYERS:
            on_integers = facts["runtimePrecision"].astype(str) in _INTEGERS
            (integers if on_integers else floats)[kind] += 1
    return integers, floats
