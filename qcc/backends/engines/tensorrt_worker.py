"""The process in which TensorRT runs one model.

It is started by `qcc.backends.engines.tensorrt`. It tells the names of the inputs, their shapes and what
they take. Requests carry "do": "run", which is answered with the outputs, "time", or "layers", which is
answered with how many layers read integers. The engine is built at the first request, and anew for inputs of
other shapes.
"""

from __future__ import annotations

import json
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import tensorrt as trt
from cuda.bindings import runtime as cuda

from qcc.backends.engines.timing import timed
from qcc.backends.engines.wire import Arrays, Closed, receive, send

_WITH_WEIGHTS = ("Convolution", "Deconvolution", "Gemm", "MatrixMultiply")
_LOGGER = trt.Logger(trt.Logger.ERROR)


def main() -> None:
    connection, path = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    builder = trt.Builder(_LOGGER)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
    parser = trt.OnnxParser(network, _LOGGER)
    if not parser.parse_from_file(path):
        raise SystemExit("; ".join(parser.get_error(number).desc() for number in range(parser.num_errors)))
    inputs = [network.get_input(number) for number in range(network.num_inputs)]
    shapes = {value.name: list(value.shape) for value in inputs}
    graph = onnx.load(path).graph
    declared = _dtypes(graph.output)
    dtypes = {name: str(dtype) for name, dtype in _dtypes(graph.input).items()}
    send(connection, {"inputs": list(shapes), "shapes": shapes, "dtypes": dtypes}, {})
    built: _Built | None = None
    try:
        while True:
            header, arrays = receive(connection)
            if built is None or not built.takes(arrays):
                if built is not None:
                    built.close()
                built = _Built(builder, network, arrays, declared)
            if header["do"] == "layers":
                send(connection, {"int8": built.int8()}, {})
                continue
            built.feed(arrays)
            if header["do"] == "time":
                times = timed(built.run, header["warm_up"], header["runs"])
                # Whether the processor spins or sleeps while the GPU works says nothing about the model.
                send(connection, {**times, "cpu": times["wall"]}, {})
            else:
                built.run()
                send(connection, {}, built.outputs())
    except Closed:
        pass


def _dtypes(values: Any) -> dict[str, np.dtype]:
    return {
        value.name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in values
    }


class _Output(trt.IOutputAllocator):  # type: ignore[misc]
    """Memory of the GPU for an output, whose shape may be known only when it is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.address, self.size = 0, 0
        self.shape: tuple[int, ...] = ()

    def reallocate_output(self, _: str, __: int, size: int, ___: int) -> int:
        if size > self.size or not self.address:
            self.free()
            self.address, self.size = _allocated(size), size
        return self.address

    def notify_shape(self, _: str, shape: Any) -> None:
        self.shape = tuple(shape)

    def free(self) -> None:
        if self.address:
            _did(cuda.cudaFree(self.address))
        self.address = 0


class _Built:
    """An engine for inputs of one shape each, with their place on the GPU. `declared`: the outputs that the
    file has, in its order, with their types, since TensorRT has an order of its own, and no int64."""

    def __init__(self, builder: Any, network: Any, arrays: Arrays, declared: Mapping[str, np.dtype]) -> None:
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that layers tell their types
        config.set_flag(trt.BuilderFlag.INT8)
        config.clear_flag(trt.BuilderFlag.TF32)
        profile = builder.create_optimization_profile()
        for name, array in arrays.items():
            profile.set_shape(name, array.shape, array.shape, array.shape)
        config.add_optimization_profile(profile)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise SystemExit("TensorRT builds no engine of it")
        self._runtime = trt.Runtime(_LOGGER)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        self._context = self._engine.create_execution_context()
        (self._stream,) = _did(cuda.cudaStreamCreate())
        self._shapes = {name: array.shape for name, array in arrays.items()}
        self._declared = declared
        self._places: dict[str, int] = {}
        self._outputs = {name: _Output() for name in declared}
        for name, output in self._outputs.items():
            self._context.set_output_allocator(name, output)

    def close(self) -> None:
        """Give the memory of the GPU back."""
        for output in self._outputs.values():
            output.free()
        for place in self._places.values():
            _did(cuda.cudaFree(place))
        _did(cuda.cudaStreamDestroy(self._stream))
        del self._context, self._engine, self._runtime

    def takes(self, arrays: Arrays) -> bool:
        return self._shapes == {name: array.shape for name, array in arrays.items()}

    def feed(self, arrays: Arrays) -> None:
        for name, array in arrays.items():
            if self._engine.is_shape_inference_io(name):
                raise SystemExit(f"the input {name} says how large something is, which is not run here")
            values = self._as_held(name, array)
            if name not in self._places:
                self._places[name] = _allocated(values.nbytes)
                if not self._context.set_input_shape(name, array.shape):
                    raise SystemExit(f"TensorRT refuses {list(array.shape)} as the shape of {name}")
                self._context.set_tensor_address(name, self._places[name])
            to_gpu = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
            _did(cuda.cudaMemcpy(self._places[name], values.ctypes.data, values.nbytes, to_gpu))

    def _as_held(self, name: str, array: np.ndarray) -> np.ndarray:
        """An input in the type that TensorRT holds, int32 for int64."""
        values = np.ascontiguousarray(array, trt.nptype(self._engine.get_tensor_dtype(name)))
        if array.dtype == np.int64 and not np.array_equal(values, array):
            raise SystemExit(f"the input {name} has numbers of more than the 32 bits that TensorRT holds")
        return values

    def run(self) -> None:
        if not self._context.execute_async_v3(self._stream):
            raise SystemExit("TensorRT does not run it")
        _did(cuda.cudaStreamSynchronize(self._stream))

    def outputs(self) -> dict[str, np.ndarray]:
        found = {}
        for name, output in self._outputs.items():
            values = np.empty(output.shape, trt.nptype(self._engine.get_tensor_dtype(name)))
            to_host = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
            _did(cuda.cudaMemcpy(values.ctypes.data, output.address, values.nbytes, to_host))
            found[name] = values.astype(self._declared[name], copy=False)
        return found

    def int8(self) -> dict[str, int]:
        inspector = self._engine.create_engine_inspector()
        told = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
        # Names are not escaped in it: several ops in one layer are told with line breaks between.
        layers = json.loads(told, strict=False)["Layers"]
        return dict(Counter(kind for kind in map(_int8_kind, layers) if kind))


def _int8_kind(layer: Mapping[str, Any]) -> str | None:
    """What a layer with weights that reads integers is called; None for others."""
    kind = str(layer.get("ParameterType", layer.get("LayerType")))
    reads = [str(value.get("Format/Datatype")) for value in layer.get("Inputs", [])[:1]]
    return kind if kind in _WITH_WEIGHTS and any("Int8" in one for one in reads) else None


def _allocated(size: int) -> int:
    """The address of so many bytes of the GPU, also of none, for which TensorRT wants an address, too."""
    (address,) = _did(cuda.cudaMalloc(max(size, 1)))
    return int(address)


def _did(answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a call of CUDA's runtime gave.  Ends the process for an error."""
    error, *values = answer
    if error != cuda.cudaError_t.cudaSuccess:
        raise SystemExit(cuda.cudaGetErrorString(error)[1].decode())
    return tuple(values)
