"""Whether what a target's files go through reads all ops of a model, before any training is spent on it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from qcc.backends import fluid
from qcc.backends.deploy.check import Report
from qcc.backends.deploy.check import check as check_for_engine
from qcc.backends.engines.openvino import OpenVino, not_read, openvino_missing
from qcc.backends.lite.check import check as check_for_lite
from qcc.backends.onnx import onnx_missing
from qcc.errors import EngineError, TargetError
from qcc.model import Model
from qcc.passes.zero_points import with_zero_points
from qcc.quantization import stored_form
from qcc.targets.lite import LITE_TARGETS
from qcc.targets.table import Target, find_target


def require_runs(model: Model, target: str, *, read: bool = True) -> None:
    """Make a model, in any form, into the file for a target, and keep nothing of that: what refuses ops does
    so before anything is measured. `read`: see also whether all ops are read, as `require_readable` does;
    what is to become an ONNX file is translated in any case.

    Raises TargetError or PassError with the ops.
    """
    if target in LITE_TARGETS:
        check_for_lite(model, LITE_TARGETS[target])
        return
    table = find_target(target)
    report = check_for_engine(model, table)
    if read or table.checked_in == "onnx":
        require_readable(report, table)


def require_readable(report: Report, target: Target) -> str | None:
    """Translate a model into ONNX, or let OpenVINO load it, whichever the target's files go through; nothing
    is kept of that. Gives why it cannot be done here, where it cannot.

    Raises TargetError with the op that is not read.
    """
    if target.checked_in == "onnx":
        missing = onnx_missing()
        if missing is None:
            _translate(report.frozen, target)
    elif target.checked_in == "openvino":
        missing = openvino_missing()
        if missing is None:
            _load(report.formed)
    else:
        return None
    return None if missing is None else f"not seen whether all ops are read, because {missing}"


def _translate(frozen: Model, target: Target) -> None:
    # Needs the packages for ONNX.
    from qcc.backends.onnx.form import onnx_form, prepare
    from qcc.backends.onnx.translate import to_onnx

    form = onnx_form(target)
    to_onnx(prepare(frozen, target, {}).model.graph, form.signed, gemm=form.gemm)


def _load(formed: Model) -> None:
    with tempfile.TemporaryDirectory(prefix="qcc-") as folder:
        names, stored = fluid.file_names(), with_zero_points(formed.graph)
        fluid.write(formed, Path(folder), stored_form(formed.graph), names, None, stored=stored)
        try:
            OpenVino(Path(folder) / names[0]).close()
        except EngineError as error:
            raise TargetError(f"{not_read(error)}.") from error
