"""From a model to an `.onnx` file: prepared, translated, checked in two steps, and only then in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from qcc.backends.deploy import options
from qcc.backends.deploy.passes.cut_nms import CutNms
from qcc.backends.heads import DECODERS, suppressions
from qcc.backends.onnx.check import Subject, check_file
from qcc.backends.onnx.form import Prepared, onnx_form, prepare
from qcc.backends.onnx.translate import fix_batch, one_at_a_time, reads_sizes, to_onnx
from qcc.backends.report import Check, Saved
from qcc.errors import OutputError, TargetError
from qcc.files import publish, staging, write_json, writing
from qcc.frontend.suffixes import ONNX_SUFFIX
from qcc.model import Model
from qcc.passes.manager import PassManager
from qcc.quantization import scheme, state
from qcc.record import RECORD_SUFFIX, make_record
from qcc.targets.processor import lacks
from qcc.targets.table import Target

if TYPE_CHECKING:
    from onnx import ModelProto

Cut = Literal["nms"]

_MOST_BYTES = 2**31


def export(
    model: Model,
    path: Path,
    target: Target,
    *,
    scales: Mapping[str, float] = MappingProxyType({}),
    weight_only: bool = False,
    cut: Cut | None = None,
    check: bool | Mapping[str, np.ndarray] = True,
) -> Saved:
    """Write a float, frozen or QDQ model as the ONNX file `path`, with a record of what made it in
    `path`.json.

    Integers and scales are those that were frozen, Q and DQ stand where the target's engine wants them.
    `scales` are those of `unmeasured` variables; without them, the ops there compute in float.

    With `check`, the file is run before it appears, on made-up inputs or those given: by ONNX Runtime without
    optimizations, beside the model in Paddle, and then by its engine, beside that.

    Raises TargetError and PassError for what has no way into the form, MissingDependencyError without the
    packages for ONNX, OutputError when the file cannot be written or is not right.
    """
    _check_path(path)
    form = onnx_form(target)
    if cut is not None:
        model = _without_suppression(model)
    prepared = prepare(model, target, scales, weight_only=weight_only)
    content = to_onnx(prepared.model.graph, form.signed, gemm=form.gemm)
    if content.ByteSize() >= _MOST_BYTES:
        raise OutputError(f"{path} was not written: it would be larger than the 2 GiB that ONNX files hold.")
    look = partial(_check, prepared, content, target, path, check)
    checks = _checked(prepared, content, target, look, runs=check is not False)
    record_name = path.name + RECORD_SUFFIX
    graph = prepared.model.graph
    with staging(path.parent) as staged:
        file = staged / path.name
        with writing(path), file.open("wb") as stream:
            stream.write(content.SerializeToString(deterministic=True))
        engine_record = options.record(target, onnx=True)
        record = make_record(
            "onnx", state(graph), scheme(graph), prepared.model.provenance, [file], engine_record
        )
        write_json(staged / record_name, record.content())
        publish(staged, path.parent, [path.name, record_name])
    return Saved(f"onnx-{target.name}", (path, path.with_name(record_name)), tuple(checks))


def _checked(
    prepared: Prepared, content: ModelProto, target: Target, look: Callable[[], list[Check]], *, runs: bool
) -> list[Check]:
    """What `look` finds of a file's content, whose batch is closed where OpenVINO wants that; `runs`: whether
    it runs the content."""
    if onnx_form(target).checked_in == "openvino" and reads_sizes(content.graph):
        # OpenVINO 2026.4 computes some such networks wrongly in int8 while the batch is open; those that
        # decode boxes not on all data.
        decodes = any(op.type in DECODERS for op in prepared.model.graph.ops)
        if runs and not decodes and not one_at_a_time(content.graph, prepared.model.graph):
            with suppress(OutputError):  # which is raised again below, where the batch is not to blame
                checks = look()
                if all(one.good for one in checks):
                    return checks
        fix_batch(content.graph)
    return look()


def _check(
    prepared: Prepared,
    content: ModelProto,
    target: Target,
    path: Path,
    check: bool | Mapping[str, np.ndarray],
) -> list[Check]:
    form = onnx_form(target)
    checks = [Check("read back", "the rules of ONNX kept")]
    checks += [Check(target.name, line) for line in prepared.lines]
    single = one_at_a_time(content.graph, prepared.model.graph)
    if single:
        told = "takes one sample at a time: its batch is 1, where the model's is open."
        checks.append(Check(target.name, told))
    if check is not False:
        engine = form.checked_in
        if (lack := lacks(target)) is not None:
            engine = "nothing"
            checks.append(Check(target.engine, f"not run, because {lack}", good=False))
        subject = Subject(prepared, content, form, path, single)
        data = None
        if check is not True:
            data = {name: array[:1] if name in single else array for name, array in check.items()}
        checks += check_file(subject, engine, data)
    if form.checked_in == "nothing":
        checks.append(
            Check(target.engine, "not run: the file's structure was checked, and no more", good=False)
        )
    return checks


def _without_suppression(model: Model) -> Model:
    if not any(suppressions(model.graph.var(name)) for name in model.fetches):
        raise TargetError("the model has no non-maximum suppression: leave out --cut nms.")
    return PassManager((CutNms(),)).run(model)


def _check_path(path: Path) -> None:
    if path.suffix != ONNX_SUFFIX:
        raise TargetError(f"{path} does not end in {ONNX_SUFFIX}, by which engines know ONNX files.")
    if path.is_dir():
        raise TargetError(
            f"{path} is a folder, and an ONNX file is one file: give a name inside, or another."
        )
