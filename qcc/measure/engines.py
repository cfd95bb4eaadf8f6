"""What each engine runs of the subjects, with which kernels, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np

from qcc._paddle import paddle
from qcc.backends.deploy.floats import write_float_for
from qcc.backends.engines.engine import Engine
from qcc.backends.engines.onnx_engines import ONNX_ENGINES
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.engines.openvino import OpenVino, openvino_missing
from qcc.backends.engines.tensorrt import TensorRt, gpu
from qcc.backends.engines.timing import Times
from qcc.backends.lite.describe import describe
from qcc.backends.lite.export import export
from qcc.backends.lite.file import read_naive_buffer
from qcc.backends.lite.runtime import LiteRuntime, runtime_missing
from qcc.backends.predictor import Predictor, int8_kernels
from qcc.errors import EngineError, QccError
from qcc.measure.subjects import Subject
from qcc.model import Model
from qcc.passes.static_scales import is_dynamic
from qcc.targets.processor import NO_VNNI, has_vnni
from qcc.targets.table import WITH_VNNI, find_target

Inputs = Mapping[str, np.ndarray]

_NO_ONNX = (
    "there is no quantized ONNX file: give that of"
    " `qcc export OUT/float --target {target} --calibrate DATA -o FILE.onnx`"
)
_INT8_LAYERS = ("QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger")


class Running(Protocol):
    """A model that an engine has loaded, in a process of its own."""

    def run(self, inputs: Inputs) -> list[np.ndarray]:
        """The outputs, in the model's order."""

    def times(self, inputs: Inputs, warm_up: int, runs: int) -> Times:
        """Times of each of `runs` runs, without feeding and fetching, after `warm_up` others."""

    def close(self) -> None:
        """End the process."""


@dataclass(frozen=True)
class Case:
    """A subject in an engine.

    `int8`: whether the engine is to compute it with integers. `size`: bytes of what it loads. `open` takes
    the number of threads; `int8_layers` counts the layers that do run on integers.
    """

    engine: str
    subject: Subject
    int8: bool
    size: int
    open: Callable[[int], Running]
    int8_layers: Callable[[Running, Inputs], int]


@dataclass(frozen=True)
class Refusal:
    """Why an engine does not run a subject, or, where that is None, any."""

    engine: str
    subject: Subject | None
    reason: str


Found = Iterator[Case | Refusal]


def find_cases(engines: Sequence[str], subjects: Sequence[Subject], scratch: Path) -> list[Case | Refusal]:
    """What these engines run of the subjects; files that are made for one are written to `scratch`."""
    return [found for name in engines for found in ENGINES[name].cases(subjects, scratch)]


def in_paddle(subjects: Sequence[Subject], _: Path) -> Found:
    """`paddle.inference` with oneDNN: float models in float kernels, frozen and QDQ ones in int8 kernels."""
    for subject in subjects:
        if subject.model is None:
            continue
        reason = _not_in_paddle(subject)
        if reason is not None:
            yield Refusal("paddle", subject, reason)
        else:
            yield Case(
                "paddle",
                subject,
                not subject.is_float,
                subject.size,
                partial(_open_in_paddle, subject),
                partial(_int8_in_paddle, subject),
            )


def _not_in_paddle(subject: Subject) -> str | None:
    reason = _for_another(subject, "paddle-x86")
    if reason is not None:
        return reason
    if subject.form not in ("float", "frozen", "qdq"):
        return f"no runtime of Paddle's runs the form {subject.form}: give the frozen or the qdq one"
    if subject.model is not None and is_dynamic(subject.model.graph):
        return (
            "oneDNN's int8 kernels measure no activation scales, and this model's are measured at every run:"
            " fix them with `qcc freeze --calibrate`"
        )
    return None


def _open_in_paddle(subject: Subject, threads: int) -> Running:
    return Predictor(subject.program, subject.params, _onednn(subject, threads))


def _int8_in_paddle(subject: Subject, _: Running, inputs: Inputs) -> int:
    return sum(int8_kernels(subject.program, subject.params, _onednn(subject, 1), inputs).values())


def _onednn(subject: Subject, threads: int) -> Engine:
    return Engine(onednn=True, int8=not subject.is_float, threads=threads)


def _for_another(subject: Subject, target: str) -> str | None:
    """Why a subject is not for an engine, or not for this processor; None where it may run."""
    if subject.target in (None, target):
        return None
    if subject.target != target + WITH_VNNI:
        return f"it is written for {subject.target}"
    if has_vnni():
        return None
    return f"it is written for {subject.target}, and {NO_VNNI}"


def in_openvino(subjects: Sequence[Subject], scratch: Path) -> Found:
    """OpenVINO: float and QDQ models of Paddle, and ONNX files.

    Float models are written here with the ops that it reads, for this.
    """
    missing = openvino_missing()
    if missing is not None:
        yield Refusal("openvino", None, missing)
        return
    qdq = {subject.home for subject in subjects if _in_openvino(subject) and not subject.is_float}
    for number, subject in enumerate(subjects):
        if _in_openvino(subject):
            yield _openvino_case(subject, scratch / f"openvino-{number}")
        elif subject.kind != "lite" and subject.home not in qdq:
            yield Refusal("openvino", subject, _not_in_openvino(subject))


def _in_openvino(subject: Subject) -> bool:
    if _for_another(subject, "openvino") is not None:
        return False
    return subject.kind == "onnx" or subject.form in ("float", "qdq")


def _not_in_openvino(subject: Subject) -> str:
    reason = _for_another(subject, "openvino")
    if reason is not None:
        return reason
    return f"OpenVINO does not read the form {subject.form}: give qdq/ of `qcc freeze --target openvino`"


def _openvino_case(subject: Subject, scratch: Path) -> Case | Refusal:
    program = subject.program
    if subject.is_float and subject.model is not None:
        try:
            program = write_float_for(subject.model, find_target("openvino"), scratch)
        except QccError as error:
            return Refusal("openvino", subject, str(error).rstrip("."))
    opened = partial(_open_in_openvino, subject, program)
    return Case("openvino", subject, not subject.is_float, subject.size, opened, _int8_in_openvino)


def _open_in_openvino(subject: Subject, program: Path, threads: int) -> Running:
    try:
        return OpenVino(program, threads)
    except EngineError as error:
        if subject.form != "qdq" or subject.target is not None:
            raise
        raise EngineError(
            f"{str(error).rstrip('.')}; it is written for no engine: give qdq/ of"
            " `qcc freeze --target openvino`."
        ) from error


def _int8_in_openvino(running: Running, _: Inputs) -> int:
    assert isinstance(running, OpenVino)
    return sum(running.int8.values())


def in_onnxruntime(subjects: Sequence[Subject], scratch: Path) -> Found:
    """ONNX Runtime: ONNX files, and float models, which are exported here, for this."""
    return _onnx_files("onnxruntime", subjects, scratch)


def in_tensorrt(subjects: Sequence[Subject], scratch: Path) -> Found:
    """TensorRT on the first GPU: ONNX files, and float models, which are exported here, for this."""
    return _onnx_files("tensorrt", subjects, scratch)


def _onnx_files(engine: str, subjects: Sequence[Subject], scratch: Path) -> Found:
    missing = ONNX_ENGINES[engine].missing()
    if missing is not None:
        yield Refusal(engine, None, missing)
        return
    for number, subject in enumerate(subjects):
        if subject.kind == "onnx":
            reason = _for_another(subject, engine)
            yield Refusal(engine, subject, reason) if reason else _onnx_case(engine, subject, subject.program)
        elif subject.model is not None and subject.is_float:
            yield _exported_float(engine, subject, subject.model, scratch / f"{engine}-{number}.onnx")
    if all(subject.kind != "onnx" or subject.is_float for subject in subjects):
        yield Refusal(engine, None, _NO_ONNX.format(target=engine))


def _exported_float(engine: str, subject: Subject, model: Model, file: Path) -> Case | Refusal:
    from qcc.backends.onnx.export import export  # it imports the package onnx

    try:
        export(model, file, find_target(engine), check=False)
    except QccError as error:
        return Refusal(engine, subject, str(error).rstrip("."))
    return _onnx_case(engine, subject, file)


def _onnx_case(engine: str, subject: Subject, file: Path) -> Case:
    def open_with(threads: int) -> Running:
        return OnnxRuntime(file, threads=threads) if engine == "onnxruntime" else TensorRt(file)

    return Case(engine, subject, not subject.is_float, file.stat().st_size, open_with, _int8_in_onnx)


def _int8_in_onnx(running: Running, inputs: Inputs) -> int:
    """Layers alone, as for the other engines: no additions, poolings and the like."""
    if isinstance(running, TensorRt):
        return sum(running.int8(inputs).values())
    assert isinstance(running, OnnxRuntime)
    return sum(count for kind, count in running.int8.items() if kind.startswith(_INT8_LAYERS))


def in_lite(subjects: Sequence[Subject], scratch: Path) -> Found:
    """Paddle Lite on x86: its own files, and those that models are exported to here, for this."""
    missing = runtime_missing()
    if missing is not None:
        yield Refusal("lite", None, missing)
        return
    frozen = {subject.home for subject in subjects if subject.form == "frozen"}
    for number, subject in enumerate(subjects):
        if subject.kind == "lite":
            yield _lite_case(subject, subject.program)
        elif subject.form == "qdq" and (reason := _for_another(subject, "lite-x86")):
            yield Refusal("lite", subject, reason)
        elif subject.form in ("float", "frozen") or (subject.form == "qdq" and subject.home not in frozen):
            yield _exported(subject, scratch / f"{number}.nb")


def _exported(subject: Subject, file: Path) -> Case | Refusal:
    """A model as Paddle Lite's file, with convolutions in int8 where that is exact on x86."""
    assert subject.model is not None
    try:
        export(subject.model, file, arch="x86", x86_int8=not subject.is_float, check=False)
    except QccError as error:
        return Refusal("lite", subject, str(error).rstrip("."))
    return _lite_case(subject, file)


def _lite_case(subject: Subject, file: Path) -> Case:
    layers = len(describe(read_naive_buffer(file)).int8_ops)

    def count(_: Running, __: Inputs) -> int:
        return layers

    # The exact form computes with floats from the start: what it takes says nothing about int8.
    return Case("lite", subject, layers > 0, file.stat().st_size, partial(LiteRuntime, file), count)


def _tensorrt_version() -> str:
    return f"{version('tensorrt')} on {gpu()}"


def _paddle_version() -> str:
    return str(paddle.__version__)  # of whichever build is installed


@dataclass(frozen=True)
class Runtime:
    """An engine: how people call it, what tells its version, what it runs, and whether on the processor, with
    as many threads as are asked for."""

    name: str
    version: Callable[[], str]
    cases: Callable[[Sequence[Subject], Path], Found]
    on_cpu: bool = True

    @property
    def title(self) -> str:
        return f"{self.name} {self.version()}"


ENGINES = {
    "paddle": Runtime("Paddle Inference with oneDNN", _paddle_version, in_paddle),
    "openvino": Runtime("OpenVINO", partial(version, "openvino"), in_openvino),
    "onnxruntime": Runtime("ONNX Runtime", partial(version, "onnxruntime"), in_onnxruntime),
    "tensorrt": Runtime("TensorRT", _tensorrt_version, in_tensorrt, on_cpu=False),
    "lite": Runtime("Paddle Lite for x86", partial(version, "paddlelite"), in_lite),
}
