"""Drawings as files, and as places on a sheet."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qcc.errors import MissingDependencyError, OutputError
from qcc.files import atomic_file, write_text

Renderer = Literal["graphviz-pure", "dot"]
"""The port of Graphviz that comes with qcc, and the system's own."""

_POINTS_PER_INCH = 72


def write_dot(source: str, path: Path) -> None:
    """Write Graphviz source, atomically.  Raises OutputError."""
    write_text(path, source)


def write_picture(
    source: str, path: Path, form: Literal["svg", "png"] = "svg", renderer: Renderer = "graphviz-pure"
) -> None:
    """Draw Graphviz source, and write the picture atomically.

    Raises MissingDependencyError where there is no such program, OutputError where it fails.
    """
    picture = _drawn(source, form, str(path), renderer)
    with atomic_file(path) as stream:
        stream.write(picture)


@dataclass(frozen=True)
class Layout:
    """Where nodes and edges lie on a sheet of `width` and `height`, in points from its upper left corner.

    `nodes`: the middle of each, by name; `edges`: for each pair of names the points of a Bezier curve, one
    and then three for each of its pieces.
    """

    width: float
    height: float
    nodes: dict[str, tuple[float, float]]
    edges: dict[tuple[str, str], tuple[tuple[float, float], ...]]


def layout(source: str) -> Layout:
    """Lay Graphviz source out; names in it are without spaces.

    Raises MissingDependencyError, OutputError.
    """
    nodes: dict[str, tuple[float, float]] = {}
    edges: dict[tuple[str, str], tuple[tuple[float, float], ...]] = {}
    width = height = 0.0

    def point(x: str, y: str) -> tuple[float, float]:
        return float(x) * _POINTS_PER_INCH, (height - float(y)) * _POINTS_PER_INCH

    for line in _drawn(source, "plain", "the picture", "graphviz-pure").decode().splitlines():
        match line.split():
            case ["graph", _, wide, high]:
                width, height = float(wide), float(high)
            case ["node", name, x, y, *_]:
                nodes[name] = point(x, y)
            case ["edge", tail, head, count, *rest]:
                numbers = rest[: 2 * int(count)]
                edges[tail, head] = tuple(map(point, numbers[::2], numbers[1::2]))
    return Layout(width * _POINTS_PER_INCH, height * _POINTS_PER_INCH, nodes, edges)


def _drawn(source: str, form: str, what: str, renderer: Renderer) -> bytes:
    program = _program(renderer)
    if program is None:
        raise MissingDependencyError(f"{what} needs the program `{renderer}`, {_MISSING[renderer]}.")
    done = subprocess.run([program, f"-T{form}"], input=source.encode(), capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise OutputError(f"{what} cannot be drawn: {renderer} says {reason!r}.")
    return done.stdout


_MISSING = {
    "graphviz-pure": "which was installed with qcc and is gone: `pip install graphviz-pure`",
    "dot": "which is not on the PATH: install the package graphviz of your system (apt-get install graphviz),"
    " or leave out --renderer",
}


def _program(renderer: Renderer) -> str | None:
    """Where a program is: that of a package beside this interpreter, wherever the PATH leads."""
    beside = shutil.which(renderer, path=sysconfig.get_path("scripts"))
    return beside or shutil.which(renderer)
