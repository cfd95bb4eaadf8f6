"""`qcc export`: a model as the file that a device's runtime loads."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from qcc.cli.calibration import calibration_data, calibration_options, no_data
from qcc.cli.export_in_time import curve_files, export_in_time
from qcc.cli.export_onnx import write_onnx
from qcc.cli.model_files import model_files
from qcc.cli.next import tell_next
from qcc.cli.own_files import check_place, is_selftest
from qcc.cli.stdout import echo
from qcc.cli.time_budget import Found, WantedTime, time_budget_options
from qcc.shown import counted

if TYPE_CHECKING:
    from qcc.backends.report import Saved
    from qcc.calibrate.data.batches import Batch
    from qcc.cli.calibration import CalibrationData
    from qcc.model import Model
    from qcc.passes.instruments import Instrument

_LITE = "lite"
_LITE_OPTIONS = ("arch", "x86_int8", "rows", "cross_check", "selftest", "dump_dir")
_ONNX_OPTIONS = ("vnni", "cut")
# As `qcc quantize` and `qcc check` call them.
_BITS: dict[str, Literal[8, 16]] = {"int8": 8, "int16": 16}


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--target",
    metavar="NAME",
    default="lite",
    show_default=True,
    help="What loads the file: lite, or for an ONNX file onnxruntime, openvino or tensorrt.",
)
@click.option(
    "--arch",
    type=click.Choice(["arm", "x86"]),
    default="arm",
    show_default=True,
    help="Lite: the processor. On arm what is quantized runs in int8; on x86 float kernels compute it"
    " exactly.",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The file, OUT.nb or OUT.onnx."
)
@click.option("--x86-int8", is_flag=True, help="Lite on x86: run convolutions in int8 where that is exact.")
@click.option(
    "--weight-only",
    type=click.Choice(list(_BITS)),
    help="Store the weights of a float model as integers, to be turned back when the file is loaded.",
)
@click.option(
    "--rows",
    type=click.Choice(["fixed", "open"]),
    help="Lite on arm: whether the batch (or a sequence's length) is the same in all runs of a predictor."
    " int8 fc ops are right only then; otherwise others are written. [default: as the model's shapes say]",
)
@click.option(
    "--vnni",
    is_flag=True,
    help="ONNX: the processor has VNNI, so that weights keep 8 bits; without it their sums may be clipped,"
    " and they get 7. The same as --target TARGET+vnni.",
)
@click.option(
    "--cut",
    type=click.Choice(["nms"]),
    help="ONNX: end in front of the non-maximum suppression, with its boxes and scores as outputs.",
)
@calibration_options
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="Training configuration that says how the images of --calibrate are prepared.",
)
@time_budget_options
@click.option(
    "--cross-check", is_flag=True, help="Lite: tell how the file differs from what Paddle Lite's opt makes."
)
@click.option("--no-check", is_flag=True, help="Do not run the file before it is written.")
@click.option(
    "--selftest",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Lite: write a folder by which the file is tried on a device: inputs, outputs, and a C++ program.",
)
@click.option(
    "--dump-dir", type=click.Path(path_type=Path), help="Lite: write the graph's text there after each pass."
)
@model_files
def export(
    model: Path,
    target: str,
    arch: Literal["arm", "x86"],
    output: Path,
    x86_int8: bool,
    weight_only: str | None,
    rows: Literal["fixed", "open"] | None,
    vnni: bool,
    cut: Literal["nms"] | None,
    calibrate: Path | None,
    preprocess: Path | None,
    config_path: Path | None,
    no_slower: bool,
    max_latency: float | None,
    cross_check: bool,
    no_check: bool,
    selftest: Path | None,
    dump_dir: Path | None,
    model_filename: str | None,
    params_filename: str | None,
) -> None:
    """Write the model in MODEL, float, frozen or in QDQ form, as a file for a device or an engine.

    A file for Paddle Lite is read back and verified before it appears; one for x86 is also run and compared
    with the model, where Paddle Lite's runtime is installed. An ONNX file is run in ONNX Runtime, op by op,
    and in its engine, where these are installed.

    \b
    qcc export MODEL --target lite --arch arm -o model.nb
    qcc export MODEL --target onnxruntime --calibrate DATA -o model.onnx
    """
    import qcc
    from qcc.backends.deploy.options import told
    from qcc.backends.lite.export import export as write
    from qcc.errors import TargetError
    from qcc.targets.lite import LITE_TARGETS
    from qcc.targets.table import find_target

    given = calibration_data(calibrate, config_path, preprocess, model, model_filename)
    if config_path is not None:
        _check_config(given)
    if target in LITE_TARGETS:
        target, arch = _LITE, _arch_of(target, LITE_TARGETS[target], arch)
    if target != _LITE:
        _refuse(_LITE_OPTIONS, "Paddle Lite's files")
        if weight_only == "int16":
            raise TargetError("weights in ONNX files have 8 bits: say --weight-only int8.")
        table = find_target(target, others=(_LITE,))
        table = table.with_vnni() if vnni else table
        in_time = export_in_time(
            WantedTime(no_slower, max_latency),
            table.name,
            given,
            weight_only=weight_only is not None,
        )
        loaded = qcc.load(model, model_filename, params_filename)
        _check_frozen(loaded)
        saved, found = write_onnx(
            loaded,
            output,
            table,
            given,
            weight_only=weight_only,
            cut=cut,
            no_check=no_check,
            in_time=in_time,
        )
        _tell(saved, output, told(table, output, onnx=True))
        _write_curve(found, output)
        tell_next("bench", "MODEL", output)
        return
    _refuse(_ONNX_OPTIONS, "ONNX files, of which the engine is named by --target")
    _check_selftest(selftest)
    in_time = export_in_time(
        WantedTime(no_slower, max_latency),
        f"lite-{arch}",
        given,
        weight_only=weight_only is not None,
        x86_int8=x86_int8,
    )
    loaded = qcc.load(model, model_filename, params_filename)
    bits = None if weight_only is None else _BITS[weight_only]
    data = None
    if given is not None:
        _check_frozen(loaded)
        is_run = selftest is not None or in_time is not None or (arch == "x86" and not no_check)
        loaded = given.calibrated(loaded, is_run=is_run)
        data = given.one_batch(loaded)
    found = None
    if in_time is not None:
        loaded, found = in_time.for_lite(loaded)
        x86_int8 = not found.is_float
    saved = write(
        loaded,
        output,
        arch=arch,
        x86_int8=x86_int8,
        weight_only=bits,
        rows=rows or "declared",
        check=False if no_check else True if data is None else data,
        instruments=_instruments(dump_dir),
    )
    _tell(saved, output)
    if selftest is not None:
        options = {"arch": arch, "x86_int8": x86_int8, "weight_only": bits, "rows": rows or "declared"}
        _write_selftest(loaded, selftest, data, **options)
    if cross_check:
        _cross_check(loaded, output, arch)
    _write_curve(found, output)
    if selftest is None:  # which goes on on the device
        tell_next("check", output)


def _write_curve(found: Found | None, output: Path) -> None:
    """What a time budget has tried."""
    if found is not None:
        files = curve_files(output)
        found.write(*files)
        found.end(*files)


def _refuse(options: tuple[str, ...], what: str) -> None:
    """Refuse options that say nothing about the file that is asked for."""
    for name in options:
        if _is_given(name):
            raise click.UsageError(f"--{name.replace('_', '-')} is about {what}.")


def _check_config(given: CalibrationData | None) -> None:
    """Raise UsageError where -c says nothing, or what another option says."""
    if given is None:
        raise click.UsageError(no_data("-c"))
    if given.preprocess is not None:
        raise click.UsageError("-c and --preprocess both say how images are prepared: give one of them.")
    if not given.of_images:
        raise click.UsageError(f"-c says how images are prepared, and --calibrate {given.path} gives none.")


def _arch_of(
    target: str, of_target: Literal["arm", "x86"], given: Literal["arm", "x86"]
) -> Literal["arm", "x86"]:
    """The processor that a target names, which --arch may repeat."""
    if given != of_target and _is_given("arch"):
        raise click.UsageError(f"--target {target} is for {of_target}, and --arch {given} for another.")
    return of_target


def _is_given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def _check_frozen(model: Model) -> None:
    """Before time is spent on measuring: lowering would refuse the model."""
    from qcc.errors import ModelFormatError
    from qcc.quantization import state

    if "transformed" in state(model.graph):
        raise ModelFormatError(
            f"the model is {state(model.graph)}, and what can be exported is a float, frozen or qdq one:"
            " freeze it first, by `qcc freeze MODEL --calibrate DATA`."
        )


def _instruments(dump_dir: Path | None) -> list[Instrument]:
    from qcc.ir.text import print_graph
    from qcc.passes.instruments import Dump, Verification

    return [Verification(), *([] if dump_dir is None else [Dump(dump_dir, print_graph)])]


def _tell(saved: Saved, output: Path, more: Iterable[str] = ()) -> None:
    echo(f"wrote {output}, {output.stat().st_size} bytes, for {saved.form}.")
    for check in saved.checks:
        echo(str(check) if check.good else f"warning: {check}", err=not check.good)
    for line in more:
        echo(line)


def _check_selftest(folder: Path | None) -> None:
    """Raise OutputError where files of others would be replaced."""
    if folder is not None:
        from qcc.backends.lite.selftest import FOR_DEVICES

        check_place(folder, (), dict.fromkeys(FOR_DEVICES, is_selftest))


def _write_selftest(model: Model, folder: Path, data: Batch | None, **options: Any) -> None:
    from qcc.backends.lite.export import lower
    from qcc.backends.lite.selftest import write_selftest

    names = write_selftest(model, partial(lower, **options), folder, data)
    echo(f"wrote {len(names)} files of a self-test into {folder}; its README.md says how it is run.")


def _cross_check(model: Model, output: Path, arch: Literal["arm", "x86"]) -> None:
    from qcc.backends.lite.cross_check import cross_check

    differences = cross_check(model, output, arch)
    for difference in differences:
        echo(f"cross-check: {difference}")
    found = counted(len(differences), "difference") if differences else "no differences"
    echo(f"cross-check with opt: {found}.")
