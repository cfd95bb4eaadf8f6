"""Drawings as files."""

from __future__ import annotations

from pathlib import Path

import graphviz

from qcc.errors import MissingDependencyError, OutputError
from qcc.files import atomic_file, write_text


def write_dot(source: str, path: Path) -> None:
    """Write Graphviz source, atomically.  Raises OutputError."""
    write_text(path, source)


def write_svg(source: str, path: Path) -> None:
    """Let `dot` draw Graphviz source, and write the picture atomically.

    Raises MissingDependencyError where there is no `dot`, OutputError where it fails.
    """
    try:
        picture = graphviz.Source(source).pipe(format="svg")
    except graphviz.ExecutableNotFound:
        raise MissingDependencyError(
            f"{path} needs the program `dot` of Graphviz, which is not on the PATH: install the package"
            " graphviz of your system (apt-get install graphviz), or draw the .dot file elsewhere."
        ) from None
    except graphviz.CalledProcessError as error:
        reason = (error.stderr or b"").decode(errors="replace").strip().partition("\n")[0]
        raise OutputError(f"{path} cannot be drawn: dot says {reason!r}.") from error
    with atomic_file(path) as stream:
        stream.write(picture)
