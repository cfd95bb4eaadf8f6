"""`qcc compare`: two models layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from qcc.cli.finite import FiniteRange
from qcc.cli.next import tell_next
from qcc.cli.paths import FILE
from qcc.cli.progress import progress
from qcc.cli.stdout import echo
from qcc.frontend.suffixes import ONNX_SUFFIX

if TYPE_CHECKING:
    from qcc.analyze.divergence import Comparison, Off, Other
    from qcc.analyze.others import InEngine
    from qcc.calibrate.parts import Values
    from qcc.ir.graph import Graph
    from qcc.model import Model


_SHOWN = 10
_COARSE = ("onednn-int8", "openvino")
"""Engines that round as their kernels do."""
_READS = {ONNX_SUFFIX: ("openvino",)}
"""What may run a file besides the engine that it is for, by its suffix."""


@click.command()
@click.argument("model", metavar="A", type=click.Path(path_type=Path))
@click.argument("other", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    metavar="DATA",
    help="What to run both on, as in `qcc quantize MODEL --data`: images, arrays, a training configuration,"
    " module:function, or random.",
)
@click.option(
    "--engine",
    type=click.Choice(["paddle", "inference", "onednn", "onednn-int8", "openvino"]),
    default="paddle",
    show_default=True,
    help="What runs B: Paddle op for op, paddle.inference with its own kernels, with those of oneDNN, or with"
    " those of oneDNN for int8; or OpenVINO. A .nb file runs in Paddle Lite, an .onnx file in ONNX Runtime or"
    " OpenVINO.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="How many images or batches to compare on, spread evenly.",
)
@click.option(
    "--limit",
    type=FiniteRange(min=0, min_open=True),
    metavar="SHARE",
    help="From which difference on a layer counts as apart, relative to its values, both as root mean"
    " squares. Without it: 0.001 where both hold the same floats, 0.02 for the same integers, 0.1 for 8 bits"
    " against others.",
)
@click.option("--all", "show_all", is_flag=True, help=f"Print all layers, not the worst {_SHOWN}.")
@click.option("--json", "json_file", type=FILE, help="Write all of it.")
@click.option(
    "--preprocess",
    type=FILE,
    metavar="FILE.yml",
    help="How images are prepared, where it does not stand beside A.",
)
def compare(
    model: Path,
    other: Path,
    data: str,
    engine: str,
    samples: int,
    limit: float | None,
    show_all: bool,
    json_file: Path | None,
    preprocess: Path | None,
) -> None:
    """Tell where the models A and B come apart first, and how far each layer is off.

    A runs op for op in Paddle. B is any form of the same network: quantized, of another epoch, a
    .nb or an .onnx file.
    Where Paddle runs both, each layer of B is also run on A's values, so that one that is wrong can be told
    from one that only reads what is wrong.

    \b
    qcc compare MODEL OUT/float --data PHOTOS
    qcc compare OUT/float OUT/qdq --engine onednn-int8 --data PHOTOS
    qcc compare OUT/float OUT/qdq --engine openvino --data PHOTOS
    qcc compare OUT/float model.nb --data PHOTOS
    qcc compare OUT/float model.onnx --data PHOTOS
    """
    from qcc.analyze.divergence import ROUNDED, Limit, compare_layers, usual_limit
    from qcc.analyze.others import FILES, InEngine
    from qcc.analyze.run import Sample
    from qcc.analyze.sources import find_models
    from qcc.cli.data import files_named, open_source
    from qcc.files import check_outputs, write_json
    from qcc.frontend.saved import model_files

    if other.suffix in FILES and engine not in ("paddle", *_READS.get(other.suffix, ())):
        kernels = FILES[other.suffix].kernels
        raise click.UsageError(f"--engine {engine}: {other} is a file that runs in {kernels}.")
    given = find_models(_of_epoch(model), None)
    source = open_source(given.model, given.program, data, preprocess, samples, [model, other])
    sample = Sample.of(source, given.model, samples)
    also = None if other.suffix in FILES else find_models(_of_epoch(other), None)
    second = None if also is None else also.model
    _require_same_feeds(model, given.model, other, second)
    graph = _comparable(given.model, second)
    if json_file is not None:
        others = [other] if also is None else also.files
        check_outputs([json_file], [*given.files, *others, *files_named(data, preprocess)])
    coarse = second is None or engine in _COARSE
    if coarse:
        _tell_of_processor(other, None if also is None else model_files(also.path, *also.names))
    with _opened(graph, other, second, engine) as runs:
        usual = ROUNDED if second is None or coarse else usual_limit(graph, second.graph)
        with progress("comparing", len(sample.reads), Console(stderr=True)) as report:
            batches = _counted(sample.reads, report)
            chosen = usual if limit is None else Limit(limit, "so --limit says")
            found = compare_layers(graph, runs, batches, chosen)
        _print(found, len(found.layers) if show_all else _SHOWN, json_file)
        if isinstance(runs, InEngine) and found.first is not None:
            _name_op(runs, sample.reads[0]())
    if json_file is not None:
        write_json(json_file, found.record())
        echo(f"{json_file} has all of it.")
    quantized = model if other.suffix in FILES else other
    tell_next("analyze", quantized, "--data", data, "-o", "report.html")


def _require_same_feeds(path: Path, model: Model, other: Path, second: Model | None) -> None:
    from qcc.errors import ModelFormatError

    if second is not None and set(second.feeds) != set(model.feeds):
        fed = [", ".join(map(repr, one.feeds)) for one in (model, second)]
        raise ModelFormatError(
            f"{path} is fed by {fed[0]}, and {other} by {fed[1]}: they are not the same network."
        )


def _of_epoch(path: Path) -> Path:
    """The model as it was evaluated, where a path is the folder of a training's epoch."""
    from qcc.train.saving import EVAL_FOLDER

    inside = path / EVAL_FOLDER
    return inside if inside.is_dir() else path


def _comparable(model: Model, other: Model | None) -> Graph:
    """The graph to run: where a float model is compared with a quantized one, after what was done to it
    before it was rounded."""
    from qcc.analyze.twins import as_quantized
    from qcc.passes.unpack import Unpack
    from qcc.quantization import state

    rounds = other is not None and state(other.graph) not in ("float", "weight-only")
    if other is not None and rounds and state(model.graph) == "float":
        return as_quantized(model, other)
    graph = model.graph.copy()
    Unpack().apply(graph)
    return graph


@contextmanager
def _opened(graph: Graph, path: Path, model: Model | None, engine: str) -> Iterator[Other]:
    from qcc.analyze.others import FILES, InEngine, InOpenVino, InPaddle, for_openvino
    from qcc.backends.predictor import Engine

    if engine == "openvino":
        with for_openvino(path, model) as program, InOpenVino(graph, program) as runs_program:
            yield runs_program
    elif model is None:
        with FILES[path.suffix](graph, path) as runs_file:
            yield runs_file
    elif engine == "paddle":
        yield InPaddle(graph, model)
    else:
        chosen = Engine(onednn=engine != "inference", int8=engine == "onednn-int8")
        with InEngine(graph, model, chosen) as runs:
            yield runs


def _tell_of_processor(other: Path, files: Sequence[Path] | None) -> None:
    """Where B is written for another processor than this one, that what is off here says little there."""
    from qcc.record import FILE_NAME, read_record, record_beside
    from qcc.targets.processor import NO_VNNI, has_vnni
    from qcc.targets.table import WITH_VNNI

    if files is None:
        if other.suffix != ONNX_SUFFIX:
            return
        record = record_beside(other)
    else:
        record = read_record([file for file in files if file.name != FILE_NAME])
    target = "" if record is None else record.target or ""
    if target.endswith(WITH_VNNI) and not has_vnni():
        echo(
            f"notice: {other} is written for {target}, and {NO_VNNI}: its int8"
            " kernels saturate here, and what is off may be right there.",
            err=True,
        )


def _counted(reads: Sequence[Callable[[], Values]], report: Callable[[int], None]) -> Iterator[Values]:
    for number, read in enumerate(reads, 1):
        yield read()
        report(number)


def _print(found: Comparison, count: int, json_file: Path | None) -> None:
    """So many of the layers, the worst ones, in the model's order: noise relative to the signal."""
    from qcc.shown import plain

    shown = found.worst(count)
    width = max(len("layer"), *(len(plain(one.name)) for one in shown))
    apart = any(one.own is not None for one in shown)
    title = "on equal inputs  " if apart else ""
    echo(f"{'layer':{width}}  {'op':20}  {title}in the network")
    for one in shown:
        own = f"{_percent(one.own):>15}  " if apart else ""
        mark = f"  <- first above {found.limit.noise:.1%}" if one is found.first else ""
        echo(f"{plain(one.name):{width}}  {one.op:20}  {own}{_percent(one.whole):>14}{mark}")
    left = len(found.layers) - len(shown)
    if left:
        where = "printed with --all" if json_file is None else f"in {json_file}"
        echo(f"{left} more, which are off by less{' on equal inputs' if apart else ''}: {where}.")
    echo(found.verdict())
    echo(found.limit)


def _percent(found: Off | None) -> str:
    if found is None:
        return ""
    return f"{found.noise:.3%}" if isfinite(found.noise) else "not comparable"


def _name_op(runs: InEngine, inputs: Values) -> None:
    """What of an engine is wrong on equal inputs, if anything is."""
    from qcc.errors import PaddleError

    try:
        wrong = runs.wrong_op(inputs)
    except PaddleError as error:
        echo(f"its layers do not run one by one on equal inputs: {error}")
        return
    if wrong is None:
        echo("that is no further than the model moves by itself, or each op is right on equal inputs.")
    else:
        echo(f"{wrong}, which is wrong.")
