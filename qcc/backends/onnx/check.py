"""Whether an ONNX file computes what its model does, and whether an engine computes what the file says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
import onnx

from qcc.backends.again import Both, Outcome, run_both, weigh, with_other_size
from qcc.backends.agreement import MOST, distances, furthest
from qcc.backends.apart import Apart, Wrong, blamed
from qcc.backends.check import NO_CHECK
from qcc.backends.engines.onnx_engines import ONNX_ENGINES, OnnxRunning
from qcc.backends.engines.onnxruntime import OnnxRuntime, onnxruntime_missing
from qcc.backends.engines.openvino import OpenVino, openvino_missing
from qcc.backends.engines.tensorrt import TensorRt
from qcc.backends.fluid import write
from qcc.backends.heads import heads, is_chosen
from qcc.backends.judge import NOT_TOGETHER, all_within
from qcc.backends.onnx.apart import apart_and_rounded, unrounded
from qcc.backends.onnx.boxes import SUPPRESSIONS
from qcc.backends.onnx.check_boxes import compare_rows
from qcc.backends.onnx.form import Prepared
from qcc.backends.onnx.translate import to_onnx
from qcc.backends.predictor import PaddleExecutor
from qcc.backends.reference import Reference, reference
from qcc.backends.report import Check
from qcc.backends.samples import feeds_of
from qcc.backends.telling import scenes
from qcc.errors import EngineError, GraphError, OutputError, PaddleError
from qcc.model import Model
from qcc.shown import listed
from qcc.targets.table import OnnxForm

_MUCH = 0.05
_GIVEN = "the form for this engine, beside the model as it was given"
_FLAT = ", but for boxes without area, of which it keeps all, and Paddle one of those that touch"

Open = Callable[[Path], AbstractContextManager[OnnxRunning]]


@dataclass(frozen=True)
class Subject:
    """What is checked: the model as it was prepared, the ONNX file's content, the name that errors say, and
    the inputs whose batch is one sample in the file alone."""

    prepared: Prepared
    onnx: onnx.ModelProto
    form: OnnxForm
    shown: Path
    single: Collection[str] = ()

    def error(self, what: str) -> OutputError:
        return OutputError(f"{self.shown} was not written: {what}; {NO_CHECK}.")


def check_file(subject: Subject, engine: str, data: Mapping[str, np.ndarray] | None) -> list[Check]:
    """Run an ONNX file in two steps: as it stands, beside Paddle; then in its engine, beside that.

    `engine`: "onnxruntime", "openvino", "tensorrt", or "nothing". `data` is an input of the model; without,
    one is made up. Engines that are not installed are told of. Raises OutputError for what is further off
    than the model moves by itself; it says which step it was.
    """
    missing = onnxruntime_missing()
    if missing is not None:
        return [Check("ONNX Runtime", f"not run, because {missing}", good=False)]
    if not heads(subject.prepared.model.graph):
        return [Check("Paddle", "not run, because nothing that it computes can be compared", good=False)]
    with tempfile.TemporaryDirectory(prefix="qcc-") as folder:
        place = Path(folder)
        try:
            found = _reference(subject, place, data)
        except GraphError as error:
            return [Check("Paddle", f"not run, because {str(error).rstrip('.')}", good=False)]
        except PaddleError as error:
            raise subject.error(str(error).rstrip(".")) from error
        checks = list(_form(subject, found, place))
        opened = place / "opened.onnx"
        # The file's own outputs stay: what leads to them may change how an engine computes the rest.
        own = [name for name in dict.fromkeys(found.graph.fetches) if name not in found.names]
        kinds = {name: output.dtype for name, output in zip(found.names, found.outputs, strict=True)}
        names = kinds | dict.fromkeys(own)
        opened.write_bytes(with_outputs(subject.onnx, names).SerializeToString())
        what = "the file, run as it stands by ONNX Runtime without optimizations"
        there, stands = _step(subject, found, opened, what, as_it_stands, _given(found))
        checks += stands
        if set(found.names) != set(found.graph.fetches):
            checks += _whole(subject, found, place, engine)
        if engine != "nothing":
            checks += _in_engine(subject, found, opened, engine, there)
        return checks


def _whole(subject: Subject, found: Reference, place: Path, engine: str) -> Iterator[Check]:
    """Run what is behind the values that are compared: a suppression on equal inputs, and all of the file."""
    file = place / "whole.onnx"
    file.write_bytes(subject.onnx.SerializeToString())
    try:
        compared = compare_rows(subject.onnx, found, place)
        if compared.wrong is not None:
            raise subject.error(f"the file: on equal inputs {compared.wrong}")
        with as_it_stands(file) as session:
            rows = session.run(found.sample.inputs)
        if engine == "openvino" and openvino_missing() is None:
            with OpenVino(file) as layers:
                layers.run(found.sample.inputs)
    except EngineError as error:
        raise subject.error(str(error).rstrip(".")) from error
    shapes = ", ".join(
        f"{name} {list(row.shape)}" for name, row in zip(found.graph.fetches, rows, strict=True)
    )
    if any(op.type in SUPPRESSIONS for op in found.graph.ops):
        words = f"gives Paddle's rows on equal inputs{_FLAT if compared.flat else ''}; {shapes}"
        yield Check("its non-maximum suppression", words, good=not compared.flat)


def with_outputs(model: onnx.ModelProto, names: Mapping[str, np.dtype | None]) -> onnx.ModelProto:
    """A copy of a model that returns other values of its graph; the types of those that it does not return
    itself are given."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    known = {value.name: value for value in model.graph.output}
    del opened.graph.output[:]
    for name, dtype in names.items():
        value = opened.graph.output.add()
        if name in known:
            value.CopyFrom(known[name])
        else:
            kind = onnx.helper.np_dtype_to_tensor_dtype(dtype)
            value.CopyFrom(onnx.helper.make_tensor_value_info(name, kind, None))
    return opened


def as_it_stands(file: Path) -> OnnxRuntime:
    """An ONNX file, run op by op.  Raises EngineError."""
    return OnnxRuntime(file, optimize=False)


def _reference(subject: Subject, place: Path, data: Mapping[str, np.ndarray] | None) -> Reference:
    model = subject.prepared.model
    program, params = _written(model, place / "prepared")
    feeds = [
        replace(feed, shape=(1, *feed.shape[1:])) if feed.name in subject.single else feed
        for feed in feeds_of(model)
    ]
    return reference(model, program, params, data, feeds=feeds)


def _written(model: Model, folder: Path) -> tuple[Path, Path | None]:
    saved = write(model, folder, "float", ("model.pdmodel", "model.pdiparams"), None)
    params = folder / "model.pdiparams"
    return folder / "model.pdmodel", params if params in saved.files else None


def _form(subject: Subject, found: Reference, place: Path) -> Iterator[Check]:
    """How far the form for the target is from the model that it was made of, which is an error where it is to
    be the same. What is chosen among values may be any other; what it is chosen from is compared."""
    before = subject.prepared.before
    kept = [name in before.graph and not is_chosen(found.graph.var(name)) for name in found.names]
    if not any(kept):
        return
    names = list(compress(found.names, kept))
    executor = PaddleExecutor(*_written(before, place / "before"))
    wanted = executor.run(found.sample.inputs, names)
    seen = distances(list(compress(found.outputs, kept)), wanted)
    distance = furthest(*seen)
    words = f"{distance} on {found.sample.source}"
    if subject.prepared.same and not all_within(seen, list(compress(found.limits(), kept))):
        raise subject.error(f"{_GIVEN}: {words}, which is wrong: a pass of qcc changed what it computes")
    if distance.mean > MOST and _is_wrong_on_all(found, executor, names):
        raise subject.error(f"{_GIVEN}: {words}, which is wrong however it is rounded")
    if distance.mean > _MUCH:
        yield Check(_GIVEN, f"{words}, which is much: evaluate the file on data of yours", good=False)
    else:
        yield Check(_GIVEN, words)


def _is_wrong_on_all(found: Reference, before: PaddleExecutor, names: Sequence[str]) -> bool:
    """Whether the form is as far off on other inputs: where scores are nearly equal, it is on a right one."""
    for scene in scenes(found.graph, found.sample):
        seen = distances(found.executor.run(scene.inputs, names), before.run(scene.inputs, names))
        if furthest(*seen).mean <= MOST:
            return False
    return True


def _in_engine(subject: Subject, found: Reference, file: Path, engine: str, wanted: Both) -> Iterator[Check]:
    known = ONNX_ENGINES[engine]
    name, missing = known.name, known.missing()
    if missing is not None:
        yield Check(name, f"not run, because {missing}", good=False)
        return
    counted = ""

    @contextmanager
    def opened(path: Path) -> Iterator[OnnxRunning]:
        nonlocal counted
        with known.open(path) as session:
            yield session
            if path == file:
                counted = _kernels(session, found.sample.inputs)

    yield from _step(subject, found, file, f"the engine, {name}, beside that", opened, wanted)[1]
    yield Check(name, counted)


def _kernels(session: OnnxRunning, inputs: Mapping[str, np.ndarray]) -> str:
    """What computes with integers, and, where the engine tells, what does not."""
    if isinstance(session, TensorRt):
        return f"in int8: {listed(session.int8(inputs))}"
    return session.kernels


def _given(found: Reference) -> Both:
    return Both(found.outputs, None if found.again is None else found.again.outputs)


def _step(
    subject: Subject, found: Reference, file: Path, what: str, opened: Open, wanted: Both
) -> tuple[Both, list[Check]]:
    """Run a file, and compare with what is wanted of it; where it is too far off, op by op."""
    if not isinstance(wanted.again, list):
        # Nothing there is to compare with.
        found = replace(found, again=None)
    try:
        with opened(file) as session:
            both = run_both(found, lambda inputs: session.run(inputs)[: len(wanted.outputs)])
        outcome = _judged(subject, found, opened, both.outputs, wanted.outputs)
    except EngineError as error:
        raise subject.error(str(error).rstrip(".")) from error
    if not outcome.right:
        raise subject.error(f"{what}: {outcome.words}")

    def judged(again: Reference, outputs: list[np.ndarray]) -> Outcome:
        assert isinstance(wanted.again, list)
        return _judged(subject, again, opened, outputs, wanted.again)

    return both, with_other_size(Check(what, outcome.words), found, both, judged)


def _judged(
    subject: Subject,
    found: Reference,
    opened: Open,
    outputs: Sequence[np.ndarray],
    wanted: Sequence[np.ndarray],
) -> Outcome:
    return weigh(
        found,
        distances(outputs, wanted),
        lambda: _wrong_op(subject, found, opened),
        lambda wrong: str(wrong or NOT_TOGETHER),
    )


def _wrong_op(subject: Subject, found: Reference, opened: Open) -> Wrong | None:
    file = found.program.with_name("apart.onnx")

    def wrong_in(apart: Apart) -> Wrong | None:
        onnx = to_onnx(apart.cut.graph, subject.form.signed, gemm=subject.form.gemm)
        file.write_bytes(onnx.SerializeToString())
        with opened(file) as session:
            outputs = session.run(apart.inputs)
        return apart.wrong(outputs)

    return blamed(found, apart_and_rounded(found), wrong_in, unrounded)
