"""What a model may be compared with: another one in Paddle, in its engines, or in Paddle Lite."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType

import numpy as np

from qcc.analyze.divergence import common
from qcc.backends import fluid
from qcc.backends.apart import Wrong
from qcc.backends.deploy.floats import write_float_for
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.engines.openvino import OpenVino
from qcc.backends.engines.runtime import Runtime
from qcc.backends.judge import first_wrong_op, judge
from qcc.backends.lite.runtime import LiteRuntime
from qcc.backends.onednn_rounding import static_scale
from qcc.backends.predictor import Engine, Predictor
from qcc.backends.reference import reference
from qcc.calibrate.parts import Parts, Values
from qcc.errors import ModelFormatError
from qcc.frontend.suffixes import LITE_SUFFIX, ONNX_SUFFIX
from qcc.ir.graph import Graph
from qcc.model import Model
from qcc.passes.unpack import Unpack
from qcc.passes.zero_points import with_zero_points
from qcc.quantization import state, stored_form
from qcc.targets.table import find_target


class InPaddle:
    """A model that Paddle runs op for op, whole, and each layer on inputs that are given."""

    kernels = "Paddle's kernels, op for op"
    inner = True
    bounds: Mapping[str, float] = MappingProxyType({})

    def __init__(self, graph: Graph, model: Model) -> None:
        other = model.graph.copy()
        Unpack().apply(other)
        self.names = common(graph, other)
        self._parts = Parts(other, self.names, (), self.names)

    def run(self, inputs: Values) -> Values:
        """See `Other`."""
        return self._parts.run(inputs)

    def apart(self, given: Values) -> Values | None:
        """See `Other`."""
        return self._parts.apart(given)


class InEngine:
    """A model in `paddle.inference`, which gives what stands between its layers as well; a context manager.

    That keeps the engine from making one op of two layers, and nothing else.
    """

    inner = True
    bounds: Mapping[str, float]

    def __init__(self, graph: Graph, model: Model, engine: Engine) -> None:
        self.kernels = f"paddle.inference, {engine}"
        self.names = common(graph, model.graph)
        self.bounds = _bounds(model.graph, self.names) if engine.int8 else {}
        self._model, self._engine = model, engine
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="qcc-"))
            self._files = _saved(model, Path(folder) / "whole", model.fetches)
            self._predictor = Predictor(*_saved(model, Path(folder) / "opened", self.names), engine)
            stack.callback(self._predictor.close)
            self._opened = stack.pop_all()

    def __enter__(self) -> InEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def run(self, inputs: Values) -> Values:
        """See `Other`."""
        found = self._predictor.run(inputs)
        return dict(zip(self.names, found, strict=True))

    def apart(self, given: Values) -> None:
        """An engine runs its layers together."""

    def wrong_op(self, inputs: Values) -> Wrong | None:
        """The op that the engine gets wrong on equal inputs, where its outputs are further off than the model
        moves by itself; None where they are not, or nothing is quantized.

        Raises PaddleError where the engine does not run the ops apart.
        """
        if state(self._model.graph) == "float":
            return None
        found = reference(self._model, *self._files, inputs)
        return None if judge(found, self._engine).right else first_wrong_op(found, self._engine)


class InFile:
    """A file in a runtime that gives its outputs alone; a context manager."""

    kernels: str
    inner = False
    bounds: Mapping[str, float] = MappingProxyType({})

    def __init__(self, graph: Graph, path: Path, runtime: Runtime) -> None:
        self._runtime, self._path, self._outputs = runtime, path, graph.fetches
        # What is no op's output, a weight or a feed that is fetched, is no layer.
        self.names = tuple(name for name in graph.fetches if graph.var(name).producer is not None)
        if not self.names:
            runtime.close()
            raise ModelFormatError("the model computes none of its outputs: there is nothing to compare.")

    def __enter__(self) -> InFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runtime.close()

    def run(self, inputs: Values) -> Values:
        """See `Other`.  Raises ModelFormatError for a file of another model."""
        found = self._runtime.run(inputs)
        self._check(len(found))
        return dict(zip(self._outputs, map(np.asarray, found), strict=True))

    def apart(self, given: Values) -> None:
        """The runtime gives no inner values."""

    def _check(self, outputs: int) -> None:
        wanted = len(self._outputs)
        if outputs != wanted:
            raise ModelFormatError(
                f"{self._path} has {outputs} outputs, and the model {wanted}: the file is of another model."
            )


class InLite(InFile):
    """A file for Paddle Lite in its x86 runtime, which tells beforehand how many outputs there are."""

    kernels = "Paddle Lite's x86 runtime"

    def __init__(self, graph: Graph, path: Path) -> None:
        runtime = LiteRuntime(path)
        super().__init__(graph, path, runtime)
        try:
            self._check(len(runtime.outputs))
        except ModelFormatError:
            runtime.close()
            raise


class InOnnx(InFile):
    """An ONNX file in ONNX Runtime."""

    kernels = "ONNX Runtime"

    def __init__(self, graph: Graph, path: Path) -> None:
        super().__init__(graph, path, OnnxRuntime(path))


class InOpenVino(InFile):
    """An ONNX file, or the program of a model of Paddle, in OpenVINO."""

    kernels = "OpenVINO"

    def __init__(self, graph: Graph, path: Path) -> None:
        super().__init__(graph, path, OpenVino(path))


@contextmanager
def for_openvino(path: Path, model: Model | None) -> Iterator[Path]:
    """What OpenVINO opens: an ONNX file itself, or the program of a model, which is written for this."""
    if model is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="qcc-") as folder:
        if state(model.graph) == "float":
            yield write_float_for(model, find_target("openvino"), Path(folder))
        else:
            form = stored_form(model.graph)
            stored = with_zero_points(model.graph)
            yield fluid.write(model, Path(folder), form, fluid.file_names(), None, stored=stored).files[0]


FILES: dict[str, type[InLite] | type[InOnnx]] = {LITE_SUFFIX: InLite, ONNX_SUFFIX: InOnnx}
"""What runs a file that is no Paddle model, by its suffix."""


def _bounds(graph: Graph, names: Iterable[str]) -> dict[str, float]:
    """What oneDNN's int8 kernels clip where they write it: values that all readers quantize by one scale,
    with that scale."""
    found = {}
    for name in names:
        scales = {static_scale(graph, reader) for reader in graph.var(name).consumers}
        if len(scales) == 1 and (scale := scales.pop()) is not None:
            found[name] = scale
    return found


def _saved(model: Model, folder: Path, fetches: tuple[str, ...]) -> tuple[Path, Path | None]:
    graph = model.graph.copy()
    graph.fetches = fetches
    opened = Model(graph, model.provenance)
    saved = fluid.save(opened, folder, stored_form(graph), None, None, False)
    return saved.files[0], saved.files[1] if len(saved.files) > 2 else None
