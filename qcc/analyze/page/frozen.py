"""The page that `qcc freeze` leaves beside the forms: what was frozen, how, and what stays float."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qcc.analyze.findings import sizes
from qcc.analyze.inspection import OpStatus, inspect
from qcc.analyze.page.elements import Html, joined, tag
from qcc.analyze.page.frame import PAGE, page
from qcc.analyze.page.network import Place, network
from qcc.analyze.page.tables import (
    CHANNELS,
    FILTER,
    cell,
    header,
    left_float,
    op_name,
    scrolled,
    spread_cell,
    stays_float,
    table,
    tile,
)
from qcc.analyze.page.words import TIMES, kilobytes, number
from qcc.analyze.ranges import Spread
from qcc.analyze.twins import Layer, Twins, twins
from qcc.backends.report import Saved
from qcc.errors import MissingDependencyError, ModelFormatError, PassError
from qcc.files import write_text
from qcc.model import Model
from qcc.shown import counted

_FOR = {
    "float": "frozen: integers in float32, for evaluating, for qcc export and for oneDNN",
    "int8": "weights as INT8, for storing",
    "qdq": "for engines that run int8",
}


def write_frozen(
    folder: Path,
    title: str,
    model: Model,
    saved: Sequence[Saved],
    metrics: Mapping[str, float],
    facts: Mapping[str, str],
    target: str | None = None,
) -> str:
    """Write the page of a quantized model whose forms were written; say where it is, or why there is none.
    `metrics`: of the model, by name, as far as they are known; `target`: what the files are for, if known.

    Raises OutputError.
    """
    try:
        text = html(title, twins(model, None), saved, metrics, facts, target)
    except (MissingDependencyError, ModelFormatError, PassError) as error:
        return f"no {PAGE}: {error}"
    write_text(folder / PAGE, text)
    return f"{folder / PAGE} has what was quantized, and what stays float."


def html(
    title: str,
    pair: Twins,
    saved: Sequence[Saved],
    metrics: Mapping[str, float],
    facts: Mapping[str, str],
    target: str | None,
) -> str:
    """The page's text.  Raises MissingDependencyError."""
    floats = [one for one in inspect(Model(pair.quantized)).quantizable if not one.quantized]
    places = {
        layer.output: Place(f"op-{index}", "unmeasured", f"int8: {_bits(layer)}")
        for index, layer in enumerate(pair.layers)
    }
    places |= {
        one.output: Place(f"float-{index}", "float", f"float: {one.how}") for index, one in enumerate(floats)
    }
    parts = {
        "summary": _summary(title, pair, floats, saved, metrics, facts, target),
        "ops": joined(tag("h2", "Quantized ops"), FILTER, scrolled(_ops(pair, places))),
        "network": network(pair.float_graph, places),
    }
    if floats:
        parts["floats"] = left_float(floats, places)
    return page(f"{title}, frozen", parts)


def _summary(
    title: str,
    pair: Twins,
    floats: Sequence[OpStatus],
    saved: Sequence[Saved],
    metrics: Mapping[str, float],
    facts: Mapping[str, str],
    target: str | None,
) -> Html:
    found = sizes(pair)
    count = len(pair.layers)
    tiles = [
        *(tile(name, f"{value:.4g}", "as it was evaluated") for name, value in metrics.items()),
        tile(
            "weights",
            f"{found['float'] / found['int8']:.1f} {TIMES} smaller",
            f"{kilobytes(found['float'])} float, {kilobytes(found['int8'])} in int8",
        ),
        tile("in int8", counted(count, "op"), stays_float(floats)),
    ]
    rows = [
        tag(
            "tr",
            tag("th", one.files[0].parent.name, scope="row"),
            tag("td", kilobytes(one.size), class_="words"),
            tag("td", _FOR[one.files[0].parent.name], class_="words"),
            tag("td", *(tag("span", str(check)) for check in one.checks), class_="words"),
        )
        for one in saved
    ]
    if target is not None:
        facts = {**facts, "for": target}
    told = [joined(tag("dt", name), tag("dd", value)) for name, value in facts.items()]
    warnings = [tag("li", str(warning)) for one in saved for warning in one.warnings_for(target)]
    return joined(
        tag("h1", title),
        tag("div", *tiles, class_="tiles"),
        *([tag("ul", *warnings, class_="notes")] if warnings else []),
        tag("dl", *told, class_="facts"),
        tag("h2", "What was written"),
        scrolled(table(("folder", "size", "what for", "checked"), rows)),
    )


_COLUMNS = (
    ("op", "the op, the variable that it writes, and its bits: weight, activation"),
    ("activation", "what its activation is rounded from: the threshold behind which it is clipped"),
    ("weight", "how many weights it has"),
    CHANNELS,
)


def _ops(pair: Twins, places: Mapping[str, Place]) -> Html:
    rows = []
    for layer in pair.layers:
        scale = layer.rounding.scale
        rows.append(
            tag(
                "tr",
                op_name(layer, places[layer.output]),
                cell("measured at every run" if scale is None else f"±{number(scale)}", scale),
                cell(f"{layer.weight.size:,}", layer.weight.size),
                spread_cell(Spread.of(layer)),
                id=places[layer.output].row,
            )
        )
    head = tag("tr", *(header(name, words) for name, words in _COLUMNS))
    return tag("table", tag("thead", head), tag("tbody", *rows), id="ops")


def _bits(layer: Layer) -> str:
    return f"weight {layer.rounding.weight_bits} bits, activation {layer.rounding.activation.bits} bits"
