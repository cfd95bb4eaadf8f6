"""The process in which ONNX Runtime runs one model.

It is started by `qcc.backends.engines.onnxruntime`. It tells the names of the inputs, their shapes, what
they take, and which ops compute with integers, by the optimized model, which it writes where it is told to.
Requests carry "do": "run", which is answered with the outputs, or "time".
"""

from __future__ import annotations

import socket
import sys
from collections import Counter
from functools import partial

import numpy as np
import onnx
import onnxruntime

from qcc.backends.engines.timing import timed
from qcc.backends.engines.wire import Arrays, Closed, receive, send

_INTEGERS = ("MatMulInteger", "MatMulIntegerToFloat", "ConvInteger", "QGemm")
_FLOATS = ("Conv", "ConvTranspose", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm", "MatMul")
_ERRORS_ONLY = 3
# What ONNX Runtime calls otherwise than numpy.
_DTYPES = {"float": "float32", "double": "float64"}


def main() -> None:
    connection, model = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    optimized, threads = sys.argv[3], int(sys.argv[4])
    session = _session(model, threads, optimized)
    kinds: Counter[str] = Counter()
    if optimized:
        kinds.update(node.op_type for node in onnx.load(optimized).graph.node)
    integers = {
        kind: count for kind, count in kinds.items() if kind.startswith("QLinear") or kind in _INTEGERS
    }
    floats = {kind: count for kind, count in kinds.items() if kind in _FLOATS}
    # A length that is open has a name, or nothing.
    shapes = {
        value.name: [one if isinstance(one, int) else -1 for one in value.shape]
        for value in session.get_inputs()
    }
    dtypes = {
        value.name: dtype for value in session.get_inputs() if (dtype := _dtype(value.type)) is not None
    }
    told = {"inputs": list(shapes), "shapes": shapes, "dtypes": dtypes, "int8": integers, "floats": floats}
    send(connection, told, {})
    try:
        while True:
            header, arrays = receive(connection)
            if header["do"] == "time":
                run = partial(session.run_with_iobinding, _bound(session, arrays))
                send(connection, timed(run, header["warm_up"], header["runs"]), {})
            else:
                found = session.run(None, arrays)
                send(connection, {}, {str(number): array for number, array in enumerate(found)})
    except Closed:
        pass


def _dtype(told: str) -> str | None:
    """Numpy's name of "tensor(float)"; None where it has none, as of strings and bfloat16."""
    name = told.removeprefix("tensor(").removesuffix(")")
    name = _DTYPES.get(name, name)
    return name if name in np.sctypeDict else None


def _bound(session: onnxruntime.InferenceSession, arrays: Arrays) -> onnxruntime.IOBinding:
    """Inputs that are in their place, and outputs that stay in theirs."""
    binding = session.io_binding()
    for name, array in arrays.items():
        binding.bind_cpu_input(name, array)
    for output in session.get_outputs():
        binding.bind_output(output.name)
    return binding


def _session(model: str, threads: int, optimized: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    levels = onnxruntime.GraphOptimizationLevel
    if optimized:
        options.graph_optimization_level = levels.ORT_ENABLE_ALL
        options.optimized_model_filepath = optimized
    else:
        options.graph_optimization_level = levels.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
