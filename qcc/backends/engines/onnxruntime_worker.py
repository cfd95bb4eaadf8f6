"""The process in which ONNX Runtime runs one model.

It is started by `qcc.backends.engines.onnxruntime`. It tells the names of the inputs, what they take, and
which ops compute with integers. Requests carry "do": "run", which is answered with the outputs, or "time".
"""

from __future__ import annotations

import socket
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

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
    optimize, threads = sys.argv[3] == "1", int(sys.argv[4])
    with tempfile.TemporaryDirectory(prefix="qcc-") as folder:
        optimized = Path(folder) / "optimized.onnx"
        session = _session(model, threads, optimized if optimize else None)
        kinds: Counter[str] = Counter()
        if optimize:
            kinds.update(node.op_type for node in onnx.load(str(optimized)).graph.node)
    integers = {
        kind: count for kind, count in kinds.items() if kind.startswith("QLinear") or kind in _INTEGERS
    }
    floats = {kind: count for kind, count in kinds.items() if kind in _FLOATS}
    names = [value.name for value in session.get_inputs()]
    dtypes = {value.name: _dtype(value.type) for value in session.get_inputs()}
    send(connection, {"inputs": names, "dtypes": dtypes, "int8": integers, "floats": floats}, {})
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


def _dtype(told: str) -> str:
    """Numpy's name of "tensor(float)"."""
    name = told.removeprefix("tensor(").removesuffix(")")
    return _DTYPES.get(name, name)


def _bound(session: onnxruntime.InferenceSession, arrays: Arrays) -> onnxruntime.IOBinding:
    """Inputs that are in their place, and outputs that stay in theirs."""
    binding = session.io_binding()
    for name, array in arrays.items():
        binding.bind_cpu_input(name, array)
    for output in session.get_outputs():
        binding.bind_output(output.name)
    return binding


def _session(model: str, threads: int, optimized: Path | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    levels = onnxruntime.GraphOptimizationLevel
    if optimized is None:
        options.graph_optimization_level = levels.ORT_DISABLE_ALL
    else:
        options.graph_optimization_level = levels.ORT_ENABLE_ALL
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
