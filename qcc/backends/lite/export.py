"""From a model to a `.nb` file: lowered, written, read back, checked, and only then put in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from qcc.backends.lite.agreement import X86_RUNTIME, run_and_compare
from qcc.backends.lite.describe import describe
from qcc.backends.lite.file import NaiveBuffer, parse_naive_buffer, write_naive_buffer
from qcc.backends.lite.guarantees import relied_on
from qcc.backends.lite.lowering import lowering
from qcc.backends.lite.passes.limits import is_square
from qcc.backends.lite.rules.view import Rows
from qcc.backends.lite.runtime import runtime_missing
from qcc.backends.lite.translate import to_naive_buffer
from qcc.backends.lite.verifier import complaints_about, faults_of
from qcc.backends.report import Check, Saved
from qcc.errors import GraphError, OutputError, PaddleError, PassError, TargetError
from qcc.files import publish, staging, write_json, writing
from qcc.frontend.suffixes import LITE_SUFFIX
from qcc.ir.graph import Graph
from qcc.model import Model
from qcc.passes.instruments import Instrument, Verification
from qcc.passes.integer_weights import integer_weights
from qcc.passes.rewrite import first_of
from qcc.quantization import scheme, state
from qcc.record import RECORD_SUFFIX, make_record
from qcc.shown import counted
from qcc.targets.lite import Arch

GUARANTEE = "guarantee"
"""What is said under this name is what an application must keep to."""
_READ_BACK = "every byte accounted for, and the rules of the mobile reader kept"
_NONE_IN_INT8 = "no convolution runs in int8 on x86, since for none of these that would be exact"


def export(
    model: Model,
    path: Path,
    *,
    arch: Arch = "arm",
    x86_int8: bool = False,
    weight_only: Literal[8, 16] | None = None,
    rows: Rows = "declared",
    check: bool | Mapping[str, np.ndarray] = True,
    instruments: Sequence[Instrument] = (Verification(),),
) -> Saved:
    """Write a model as the naive buffer `path`, with a record of what made it in `path`.json.

    `arch` "arm" runs quantized ops in int8. "x86" computes them exactly by float kernels, from the same
    integers; with `x86_int8`, convolutions run in int8 where that is exact. `weight_only` stores the
    weights of a float model as integers of 8 or 16 bits; weights that alone are integers stay so. `rows` says
    of a file for ARM whether the number of rows that products see (the batch, the length of a sequence) may
    change between the runs of one predictor: as the declared shapes say, "fixed", or "open". What the file
    relies on stands in its record.

    The file is read back and verified before it appears. With `check`, a file for x86 is run as well, on
    made-up inputs or those given, and compared with the model, where Paddle Lite's runtime is installed.

    Raises PassError when the model cannot be lowered, with all its ops that have no kernel; TargetError
    for options that do not go together; OutputError when the file cannot be written or is not right.
    """
    _check_options(model, path, arch, x86_int8, weight_only, rows)
    weight_only = weight_only or _stored_bits(model)
    lowered = lower(
        model, arch, x86_int8=x86_int8, weight_only=weight_only, rows=rows, instruments=instruments
    )
    record_name = path.name + RECORD_SUFFIX
    with staging(path.parent) as staged:
        file = staged / path.name
        with writing(path), file.open("wb") as stream:
            write_naive_buffer(to_naive_buffer(lowered.graph), stream)
        # Folding has made new weights; they need not stand beside the bytes that are read back.
        lowered.weights.clear()
        buffer = _read_back(file, path, rows, arch)
        checks = [Check("read back", _READ_BACK), *_warnings(lowered.graph)]
        guarantees, warnings = relied_on(buffer, arch), faults_of(buffer, rows, arch, "warned")
        checks += [Check(GUARANTEE, sentence) for sentence in guarantees.sentences()]
        checks += _kernel_warnings(warnings, record_name)
        if x86_int8 and not describe(buffer).int8_ops:
            checks.append(Check("Paddle Lite's kernels", _NONE_IN_INT8, good=False))
        if check is not False and arch == "x86":
            again = partial(lower, arch=arch, x86_int8=x86_int8, weight_only=weight_only)
            data = None if check is True else check
            checks += _check_run(model, file, path, data, again, weight_only)
        form = f"lite-{arch}"
        record = make_record(
            form,
            state(model.graph),
            scheme(model.graph),
            lowered.provenance,
            [file],
            lite={**guarantees.content(), "warnings": warnings},
        )
        write_json(staged / record_name, record.content())
        publish(staged, path.parent, [path.name, record_name])
    return Saved(form, (path, path.with_name(record_name)), tuple(checks))


def lower(
    model: Model,
    arch: Arch,
    *,
    x86_int8: bool = False,
    weight_only: Literal[8, 16] | None = None,
    rows: Rows = "declared",
    instruments: Sequence[Instrument] = (Verification(),),
) -> Model:
    """The model as it is written: every op names its kernel.  Raises PassError."""
    manager = lowering(arch, x86_int8=x86_int8, weight_only=weight_only, rows=rows)
    try:
        return manager.run(model, instruments)
    except PassError as error:
        # Which pass it was means nothing to somebody who has not asked for passes.
        raise PassError(str(error.__cause__ or error)) from error


def _check_options(
    model: Model, path: Path, arch: Arch, x86_int8: bool, weight_only: int | None, rows: Rows
) -> None:
    if path.suffix != LITE_SUFFIX:
        raise TargetError(
            f"{path} does not end in {LITE_SUFFIX}, by which Paddle Lite's tools know their files."
        )
    if path.is_dir():
        raise TargetError(
            f"{path} is a folder, and a naive buffer is one file: give a name inside, or another."
        )
    if x86_int8 and arch != "x86":
        raise TargetError("int8 kernels for x86 are asked for, but the file is for arm: say --arch x86.")
    if rows != "declared" and arch != "arm":
        raise TargetError(
            "on x86 the number of rows may always change: leave out --rows, which is about files for arm."
        )
    if weight_only is not None and state(model.graph) not in ("float", "weight-only"):
        raise TargetError(
            f"the model is {state(model.graph)}, whose weights are integers already: leave out --weight-only."
        )


def _stored_bits(model: Model) -> Literal[8, 16] | None:
    """The bits of a model whose weights alone are integers: so they stay."""
    bits = {found.bits for found in integer_weights(model.graph)}
    if not bits:
        return None
    return 8 if bits == {8} else 16


def _read_back(file: Path, shown: Path, rows: Rows, arch: Arch) -> NaiveBuffer:
    parsed = parse_naive_buffer(file)
    complaints = [*parsed.complaints, *complaints_about(parsed.buffer, rows, arch)]
    if complaints:
        raise OutputError(f"{shown} was not written: {first_of(complaints, 'complaint')}.")
    return parsed.buffer


def _warnings(graph: Graph) -> list[Check]:
    if any(op.type == "yolo_box" and is_square(op) is None for op in graph.ops):
        words = "Paddle Lite takes every feature map for square, so feed the file with square images only"
        return [Check("yolo_box", words, good=False)]
    return []


def _kernel_warnings(warnings: Sequence[str], record_name: str) -> list[Check]:
    """One warning, of the first op; all of them stand in the record."""
    if not warnings:
        return []
    more = f" ({counted(len(warnings) - 1, 'more such op')} in {record_name})" if len(warnings) > 1 else ""
    return [Check("Paddle Lite's kernels", warnings[0] + more, good=False)]


def _check_run(
    model: Model,
    file: Path,
    shown: Path,
    data: Mapping[str, np.ndarray] | None,
    again: Callable[[Model], Model],
    weight_only: Literal[8, 16] | None,
) -> list[Check]:
    missing = runtime_missing()
    if missing is not None:
        return [Check(X86_RUNTIME, f"not run, because {missing}", good=False)]
    try:
        checks = run_and_compare(model, file, data, again, weight_only)
    except (GraphError, PaddleError) as error:
        return [Check(X86_RUNTIME, f"not run, because {error}", good=False)]
    if not checks[0].good:
        raise OutputError(
            f"{shown} was not written: {X86_RUNTIME} gives other numbers than the model,"
            f" {checks[0].outcome}; --no-check writes it all the same."
        )
    return checks
