"""Models for a named engine: what of them runs there, and the form in which it is right there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qcc.backends import fluid
from qcc.backends.check import Written, check_runs, read_back
from qcc.backends.deploy import options
from qcc.backends.deploy.check_openvino import check_in_openvino
from qcc.backends.deploy.form import for_target
from qcc.backends.engines.engine import Engine
from qcc.backends.report import Check, Saved
from qcc.errors import TargetError
from qcc.model import Model
from qcc.passes.instruments import OpCount, Verification
from qcc.passes.zero_points import read_zero_points, with_zero_points
from qcc.quantization import stored_form
from qcc.targets.processor import lacks
from qcc.targets.table import Target

FORM = "qdq"


def save(
    model: Model,
    folder: Path,
    target: Target,
    form: str | None,
    model_filename: str | None,
    params_filename: str | None,
    check: bool | Mapping[str, np.ndarray],
) -> Saved:
    """See `qcc.save`."""
    if target.checked_in == "onnx":
        raise TargetError(
            f"{target.engine} reads no models of Paddle, but ONNX files:"
            f" `qcc export MODEL --target {target.name} -o OUT.onnx`."
        )
    if form not in (None, FORM):
        raise TargetError(f"target {target.name!r} has no form {form!r}; it has {FORM}.")
    names = fluid.file_names(model_filename, params_filename)
    counts = OpCount()
    prepared, placement = for_target(model, target, (Verification(), counts))
    notes = [note for change in counts.changes for note in change.result.notes]
    stored = None
    if target.checked_in == "openvino":
        stored = with_zero_points(prepared.graph)
        # Scales are float32: those that the file holds count.
        prepared = Model(stored.copy(), prepared.provenance)
        read_zero_points(prepared.graph)

    def checked(files: Written) -> list[Check]:
        read_back(prepared, files)
        checks = [Check("read back", "program and weights equal, bit for bit")]
        checks += [Check(target.name, line) for line in (*placement.lines(), *notes)]
        data = None if isinstance(check, bool) else check
        if (lack := lacks(target)) is not None:
            return [*checks, Check(target.engine, f"not run, because {lack}", good=False)]
        if target.checked_in == "openvino":
            return [*checks, *check_in_openvino(prepared, files, data)]
        engine = Engine(onednn=True, int8=True, int8_ops=target.int8_ops)
        return [*checks, *check_runs(prepared, files, data, engine)]

    # Where nothing is left that is quantized, the model is stored as floats.
    written = stored_form(prepared.graph)
    return fluid.write(
        prepared,
        folder,
        written,
        names,
        None if check is False else checked,
        options.record(target),
        stored,
    )
