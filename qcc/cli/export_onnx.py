"""`qcc export --target ENGINE`: a model as the ONNX file that a named engine loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from qcc.cli.calibration import used
from qcc.cli.progress import progress
from qcc.cli.stdout import echo
from qcc.shown import counted

if TYPE_CHECKING:
    from qcc.backends.onnx.export import Cut
    from qcc.backends.report import Saved
    from qcc.cli.calibration import CalibrationData
    from qcc.cli.export_in_time import ExportInTime
    from qcc.cli.time_budget import Found
    from qcc.model import Model
    from qcc.targets.table import Target


def takes_onnx(target: str | None) -> bool:
    """Whether a target's engine is one that takes ONNX files alone."""
    from qcc.targets.lite import LITE_TARGETS
    from qcc.targets.table import find_target

    return target is not None and target not in LITE_TARGETS and find_target(target).checked_in == "onnx"


def require_onnx() -> None:
    """Raise MissingDependencyError where ONNX files cannot be written."""
    from qcc.backends.onnx import onnx_missing
    from qcc.errors import MissingDependencyError

    missing = onnx_missing()
    if missing is not None:
        raise MissingDependencyError(missing)


def write_onnx(
    model: Model,
    output: Path,
    target: Target,
    calibration: CalibrationData | None,
    *,
    weight_only: str | None,
    cut: Cut | None,
    no_check: bool,
    in_time: ExportInTime | None = None,
) -> tuple[Saved, Found | None]:
    """Measure what the target wants measured, and write the file, with those layers in float that
    `in_time` finds; what is missing is told."""
    require_onnx()
    from qcc.backends.onnx.export import export
    from qcc.backends.onnx.form import unmeasured
    from qcc.errors import ModelFormatError
    from qcc.passes.manager import PassManager
    from qcc.passes.own_names import OwnNames
    from qcc.passes.static_scales import ops_to_calibrate

    # Scales are measured, and told to passes, by name.
    model = PassManager((OwnNames(),)).run(model)
    data = None
    scales: dict[str, float] = {}
    if calibration is not None:
        calibrates = next(ops_to_calibrate(model.graph), None) is not None
        if calibrates:
            model = calibration.calibrated(model)
        names = unmeasured(model, target)
        if not names and not calibrates and in_time is None:
            if no_check:
                raise ModelFormatError(
                    f"there is nothing to measure for {target.name}, and nothing is checked: leave out"
                    " --calibrate."
                )
            echo(f"there is nothing to measure for {target.name}; the file is checked on {calibration.path}.")
        if names:
            scales = _measured(model, names, calibration)
        data = calibration.one_batch(model)
    found = None
    if in_time is not None:
        model, known, found = in_time.for_onnx(model, target, scales, cut=cut)
        scales = dict(known)
        if calibration is not None and (names := unmeasured(model, target)):
            scales |= _measured(model, names, calibration)
    saved = export(
        model,
        output,
        target,
        scales=scales,
        weight_only=weight_only is not None,
        cut=cut,
        check=False if no_check else True if data is None else data,
    )
    return saved, found


def _measured(model: Model, bits: dict[str, int], calibration: CalibrationData) -> dict[str, float]:
    from qcc.calibrate.activations import scales_of

    batches = calibration.batches(model)
    with progress("measuring scales", len(batches), Console(stderr=True)) as report:
        scales = scales_of(model, bits, used(batches, report))
    on = f"{counted(len(batches), 'batch')} of {calibration.path}"
    echo(f"measured {counted(len(scales), 'more scale')} on {on}.")
    return scales
