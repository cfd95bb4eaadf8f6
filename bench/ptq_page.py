"""The page docs/ptq-bench.md, made from the record of `bench/ptq.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from outcome import Record

BASE, SLIM = "qcc calibrated", "paddleslim "

_HEAD = """# Quantizing without training, beside other tools

```
make bench-ptq     # measures what has no row yet, and writes this page
```

Each tool is given the same {photos} images, one by one, and its own defaults; paddleslim writes the form
that `qcc.load` reads. Each call runs in a process of its own. *CPU* are the processor seconds of the call, of
all threads; *memory* is what the process needs at most above what it held before; *int8* is the number of
layers that are quantized. Networks run in Paddle's executor, with the integers that weights and activations
are rounded to, but for those in OpenVINO, which run there in int8 kernels.

*beside* is the score less that of `{base}`, in points, with the standard error of that difference where the
score is a mean over images: what is not twice as large says nothing. The first table has qcc's default beside
that algorithm of paddleslim which comes out best on these very images, of those that were measured.
"""


_TITLES = {"cpu": ("Without VNNI", "ptq.json"), "vnni": ("With VNNI", "ptq-vnni.json")}


def page(records: Mapping[str, Record]) -> str:
    """The page for the records that there are, by the kind of processor."""
    return "\n".join(_lines(records)) + "\n"


def _lines(records: Mapping[str, Record]) -> Iterator[str]:
    first = next(iter(records.values()))
    yield _HEAD.format(photos=first["photos"], base=BASE)
    for kind, record in records.items():
        yield from _part(kind, record)
    rows = [row for record in records.values() for network in record["networks"] for row in network["rows"]]
    yield "## What else to know"
    yield ""
    if any(row["tool"] == "qcc trained" for row in rows):
        yield (
            f"`qcc trained` takes {first['trained_steps']} steps on the same images, of which it holds an"
            " eighth back; where no epoch is surely better on those few, it gives what was calibrated, and"
            " 0.00 stands beside."
        )
        yield ""
    if any(row["tool"].startswith("nncf, boxes") for row in rows):
        yield (
            "By default, NNCF rounds the arithmetic, too, that makes boxes of a detector's outputs; it stays"
            " float where it is so said (`ignored_scope`). OpenVINO takes a detector's images one at a time,"
            " of all tools."
        )
        yield ""
    if any(row.get("failed", "").startswith("takes more") for row in rows):
        yield "A row that takes too long is given up, and stands there with the limit."
        yield ""
    yield "Other programs ran on the machines at the same time, which processor seconds feel a little."


def _part(kind: str, record: Record) -> Iterator[str]:
    """What was measured on a kind of processor."""
    title, file = _TITLES[kind]
    measured = [network for network in record["networks"] if network["rows"]]
    where = record["environment"]
    yield f"## {title}"
    yield ""
    if "note" in record:
        yield record["note"]
        yield ""
    yield from _summary(measured)
    for network in measured:
        yield from _network(network)
    missing = list(_missing(record["networks"]))
    if missing:
        yield "Not measured so far, and added by `make bench-ptq`:"
        yield ""
        yield from missing
        yield ""
    yield (
        f"Made by `{record['command']}` from `docs/records/{file}` on {where['processor']},"
        f" OMP_NUM_THREADS={where['OMP_NUM_THREADS']}; Paddle {where['paddle']}, paddleslim"
        f" {where['paddleslim']}, OpenVINO {where['openvino']}, NNCF {where['nncf']}."
    )
    yield ""


def _summary(networks: list[dict[str, Any]]) -> Iterator[str]:
    """The default of qcc beside the best of paddleslim's algorithms on each network."""
    heads = (
        "network",
        "score",
        "float",
        BASE,
        "best of paddleslim",
        "CPU, s, qcc : paddleslim",
        "memory, MB, so",
    )
    yield f"| {' | '.join(heads)} |"
    yield "|---|---|---|---|---|---|---|"
    for network in networks:
        rows = {row["tool"]: row for row in network["rows"] if "failed" not in row}
        slim = [row for tool, row in rows.items() if tool.startswith(SLIM)]
        if slim and BASE in rows:
            own, best = rows[BASE], max(slim, key=lambda row: row["score"])
            cells = [
                network["title"],
                network["score"],
                f"{rows['float']['score']:.2%}" if "float" in rows else "",
                f"{own['score']:.2%}",
            ]
            cells.append(f"{best['score']:.2%} ({best['tool'].removeprefix(SLIM)}; {_beside(best, own)})")
            cells += [f"{own['cpu']:.1f} : {best['cpu']:.1f}", f"{own['peak']:.0f} : {best['peak']:.0f}"]
            yield f"| {' | '.join(cells)} |"
    yield ""


def _missing(networks: list[Record]) -> Iterator[str]:
    """The tools without a row, by the networks in which they have none."""
    lacking: dict[str, list[str]] = {}
    for network in networks:
        done = {row["tool"] for row in network["rows"]}
        for tool in network["tools"]:
            if tool not in done:
                lacking.setdefault(tool, []).append(network["title"])
    places: dict[tuple[str, ...], list[str]] = {}
    for tool, titles in lacking.items():
        places.setdefault(tuple(titles), []).append(tool)
    for titles, tools in places.items():
        where = "all networks" if len(titles) == len(networks) else "; ".join(titles)
        yield f"* {where}: " + ", ".join(f"`{tool}`" for tool in tools)


def _network(network: dict[str, Any]) -> Iterator[str]:
    rows = network["rows"]
    base = next((row for row in rows if row["tool"] == BASE), None)
    yield f"### {network['title']}"
    yield ""
    yield f"{network['about'][:1].upper()}{network['about'][1:]}."
    yield ""
    yield f"| tool | {network['score']} | beside | CPU, s | memory, MB | int8 |"
    yield "|---|---|---|---|---|---|"
    yield from (_row(row, base) for row in rows)
    yield ""


def _row(row: dict[str, Any], base: dict[str, Any] | None) -> str:
    if "failed" in row:
        return f"| {row['tool']} | {_cell(row['failed'])} | | | | |"
    cells = [f"{row['score']:.2%}", _beside(row, base)]
    cells += [f"{row[key]:.{digits}f}" if key in row else "" for key, digits in (("cpu", 1), ("peak", 0))]
    return f"| {row['tool']} | {' | '.join(cells)} | {row['int8'] or ''} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _beside(row: dict[str, Any], base: dict[str, Any] | None) -> str:
    """How much better a row is than the base, and how sure that is."""
    if base is None or "failed" in base or row["tool"] == BASE or row["tool"].startswith("float"):
        return ""
    text = f"{100 * (row['score'] - base['score']):+.2f}"
    if not row["each"]:
        return text
    difference = np.subtract(*([100 * float(one) for one in side["each"].split()] for side in (row, base)))
    error = float(difference.std(ddof=1)) / float(np.sqrt(difference.size))
    return f"{text} ± {error:.2f}"
