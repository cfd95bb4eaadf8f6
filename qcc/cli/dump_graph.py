"""`qcc dump-graph`: a drawing of a model, or of what passes do to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from qcc.cli.model_files import model_files
from qcc.cli.next import tell_next
from qcc.cli.paths import FILE
from qcc.cli.stdout import echo
from qcc.shown import counted

if TYPE_CHECKING:
    from qcc.draw import Picture
    from qcc.draw.render import Renderer
    from qcc.model import Model
    from qcc.passes import PassManager

_LONGEST_TEXT = 1 << 30


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--dot", required=True, type=FILE, help="Where to write the Graphviz source.")
@click.option("--svg", type=FILE, help="Where to write the picture.")
@click.option("--png", type=FILE, help="Where to write it as pixels.")
@click.option(
    "--renderer",
    type=click.Choice(["graphviz-pure", "dot"]),
    default="graphviz-pure",
    show_default=True,
    help="What draws: the port of Graphviz that comes with qcc, or the system's own.",
)
@click.option("--folded", is_flag=True, help="Draw an op together with what merely goes on behind it.")
@click.option("-p", "--pipeline", help="Run these passes first, and draw what they make of the model.")
@click.option("--after", help="Draw the model after this pass, of the pipeline if there is one.")
@click.option("--diff", is_flag=True, help="Mark what the pipeline, or the pass given by --after, did.")
@click.option("--around", "name", metavar="NAME", help="Draw only what is near this variable.")
@click.option("--depth", type=click.IntRange(min=0), help="How many steps far from NAME (4).")
@model_files
def dump_graph(
    model: Path,
    dot: Path,
    svg: Path | None,
    png: Path | None,
    renderer: Renderer,
    folded: bool,
    pipeline: str | None,
    after: str | None,
    diff: bool,
    name: str | None,
    depth: int | None,
    model_filename: str | None,
    params_filename: str | None,
) -> None:
    """Draw the model in MODEL: a folder, a program file, the prefix of one, or a graph as text (.txt).

    Shapes and colours tell quantize, dequantize, quantized and float ops, weights and scales apart; the
    legend says how. With --diff, what a pass added is green, what it removed a dashed outline, what it
    changed or rewired purple.

    \b
    qcc dump-graph MODEL --dot model.dot --svg model.svg
    qcc dump-graph MODEL --dot freeze.dot --svg freeze.svg --after freeze --diff
    qcc dump-graph MODEL --dot conv.dot --around conv2d_7.tmp_0 --depth 3
    qcc dump-graph MODEL --dot all.dot --svg all.svg --folded
    """
    if diff and pipeline is None and after is None:
        raise click.UsageError("--diff marks what passes did, so it needs -p or --after.")
    if depth is not None and name is None:
        raise click.UsageError("--depth says how far from a variable, so it needs --around.")
    if diff and folded:
        raise click.UsageError("--diff marks single ops, and --folded draws several as one.")
    from qcc.draw import around, to_dot, write_dot, write_picture
    from qcc.files import check_outputs
    from qcc.frontend.saved import model_files as files_of
    from qcc.ir.verify import verify

    read = [model] if model.suffix == ".txt" else files_of(model, model_filename, params_filename)
    pictures: list[tuple[Path, Literal["svg", "png"]]] = []
    pictures += [(svg, "svg")] if svg is not None else []
    pictures += [(png, "png")] if png is not None else []
    check_outputs([dot, *(path for path, _ in pictures)], read)
    loaded = _read(model, model_filename, params_filename)
    if model.suffix == ".txt" and (pipeline is not None or after is not None):
        # A graph from text may lack values: that is enough to draw it, and not for passes.
        verify(loaded.graph, scales=False)
    picture = _picture(loaded, pipeline, after, diff, folded)
    if name is not None:
        picture = around(picture, name, 4 if depth is None else depth)
    source = to_dot(picture)
    write_dot(source, dot)
    echo(f"{dot}: {counted(len(picture.nodes), 'node')} and {counted(len(picture.edges), 'edge')}.")
    for path, form in pictures:
        write_picture(source, path, form, renderer)
        echo(f"{path}: drawn.")
    if pipeline is None:
        tell_next("dump-graph", model, "--dot", dot, "-p", "PIPELINE", "--diff")
    else:
        tell_next("apply", model, "-p", pipeline, "-o", "OUT")


def _read(path: Path, model_filename: str | None, params_filename: str | None) -> Model:
    if path.suffix != ".txt":
        import qcc

        return qcc.load(path, model_filename, params_filename)
    from qcc.errors import ModelFormatError, TextError
    from qcc.ir.text import parse_graph
    from qcc.model import Model
    from qcc.text_lines import read_text

    try:
        return Model(parse_graph(read_text(path, _LONGEST_TEXT, ModelFormatError)))
    except TextError as error:
        raise TextError(f"{path}, {error}") from error


def _picture(model: Model, pipeline: str | None, after: str | None, diff: bool, folded: bool) -> Picture:
    from qcc.draw import Stages, difference, folded_view, view
    from qcc.passes import PassManager
    from qcc.passes.instruments import Verification

    wanted = pipeline if pipeline is not None else after
    if wanted is None:
        return folded_view(model.graph) if folded else view(model.graph)
    manager = PassManager.parse(wanted)
    stages = Stages()
    first, last = 0, len(manager.passes)
    if pipeline is not None and after is not None:
        last = _position(manager, after) + 1
        first = last - 1
    result = PassManager(manager.passes[:last]).run(model, [Verification(), stages])
    if folded:
        return folded_view(result.graph)
    return difference(stages.pictures[first], stages.pictures[last]) if diff else stages.pictures[last]


def _position(manager: PassManager, name: str) -> int:
    from qcc.errors import PipelineError

    names = [step.name for step in manager.passes]
    if name not in names:
        raise PipelineError(f"--after {name}: the pipeline has no such pass; it has {', '.join(names)}.")
    return names.index(name)
