"""`qcc check`: whether a model can be deployed, before any training is spent on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from qcc.cli.model_files import model_files
from qcc.cli.next import tell_next
from qcc.cli.stdout import echo

if TYPE_CHECKING:
    from qcc.model import Model


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--target",
    metavar="NAME",
    help="The engine and processor: lite-arm, lite-x86, paddle-x86, openvino, onnxruntime, tensorrt, or one"
    " of another package; NAME+vnni for processors with VNNI.",
)
@model_files
def check(model: Path, target: str | None, model_filename: str | None, params_filename: str | None) -> None:
    """Say whether a target runs all ops of the model in MODEL, and which of them in int8.

    The model may be in any form, also the float one that training would start from. An op that the target
    does not run makes the command fail, with all such ops and what there is instead.

    MODEL may also be a Paddle Lite file (.nb), of qcc or of Paddle Lite's own optimizer; it needs no
    --target. The command fails when its kernels compute something wrong on a device, and says what.
    """
    from qcc.cli.inspect_lite import is_lite

    if is_lite(model):
        if _check_lite_file(model, target) == "arm":
            tell_next("export", "MODEL", "--target", "lite", "-o", model, "--selftest", "DIR")
        else:
            tell_next("bench", "MODEL", model)
        return
    # What an ONNX file is good for is told where it would be loaded.
    if target is None and (model.is_dir() or model.suffix != ".onnx"):
        raise click.UsageError("Missing option '--target'.")
    import qcc
    from qcc.targets.lite import LITE_TARGETS

    arch = None if target is None else LITE_TARGETS.get(target)
    if target is not None and arch is None:
        from qcc.targets.table import find_target

        find_target(target, others=tuple(LITE_TARGETS))
    loaded = qcc.load(model, model_filename, params_filename)
    assert target is not None
    for line in _engine_lines(loaded, target) if arch is None else _lite_lines(loaded, arch):
        echo(line)
    tell_next(*_after(loaded, model, target))


def _after(loaded: Model, model: Path, target: str) -> tuple[object, ...]:
    """Quantize what is float; write what is quantized in the form for the target."""
    from qcc.cli.export_onnx import takes_onnx
    from qcc.passes.static_scales import ops_to_calibrate
    from qcc.quantization import state
    from qcc.targets.lite import LITE_TARGETS

    form = state(loaded.graph)
    if form == "float":
        return "quantize", model, "--data", "PHOTOS", "-o", "OUT", "--target", target
    measure = () if next(ops_to_calibrate(loaded.graph), None) is None else ("--calibrate", "DATA")
    if target not in LITE_TARGETS and not takes_onnx(target):
        return "freeze", model, "--target", target, *measure, "--save", "OUT"
    if "transformed" in form:
        return "freeze", model, *measure, "--save", "OUT"
    if target in LITE_TARGETS:
        return "export", model, "--target", "lite", "--arch", LITE_TARGETS[target], *measure, "-o", "OUT.nb"
    return "export", model, "--target", target, *measure, "-o", "OUT.onnx"


def _check_lite_file(file: Path, target: str | None) -> str:
    """Tell what the file holds, and give what it is for: an ARM device, which is not here, or x86."""
    from qcc.backends.lite.file_check import check_file
    from qcc.errors import TargetError
    from qcc.targets.lite import LITE_TARGETS

    found = check_file(file)
    if target is not None and LITE_TARGETS.get(target) != found.arch:
        raise TargetError(f"{file} is for {found.arch}, not for {target}: leave out --target.")
    for line in found.lines():
        echo(line)
    if found.wrong:
        count = len(found.wrong)
        places = "one place" if count == 1 else f"{count} places"
        raise TargetError(f"{file} goes wrong on {found.arch} in {places}: see the lines above.")
    return found.arch


def _lite_lines(model: Model, arch: Literal["arm", "x86"]) -> Iterator[str]:
    from qcc.backends.lite.check import check as look

    return look(model, arch).lines()


def _engine_lines(model: Model, target: str) -> Iterator[str]:
    from qcc.backends.deploy.check import check as look
    from qcc.backends.readable import require_readable
    from qcc.targets.table import find_target

    table = find_target(target)
    report = look(model, table)
    unseen = require_readable(report, table)
    yield from report.lines()
    if unseen is not None:
        yield unseen
