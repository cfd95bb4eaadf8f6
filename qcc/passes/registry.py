"""Which passes exist: qcc's own, and those of other packages.

A package adds passes by the entry-point group `qcc.passes`:

    [project.entry-points."qcc.passes"]
    my_pass = "my_package.my_module:MyPass"
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from qcc.errors import PipelineError
from qcc.passes.base import Pass

GROUP = "qcc.passes"

# In the order in which a pipeline uses them.
BUILT_IN = {
    "transform": "qcc.passes.transform:Transform",
    "freeze": "qcc.passes.freeze:Freeze",
    "int8": "qcc.passes.int8:Int8",
    "unpack": "qcc.passes.unpack:Unpack",
    "qdq": "qcc.passes.qdq:Qdq",
    "prune": "qcc.passes.prune:Prune",
}


@cache
def known_passes() -> Mapping[str, str]:
    """Name -> "module:class" of all passes.

    Raises PipelineError when two packages give the same name, naming both.
    """
    known = dict(BUILT_IN)
    givers = dict.fromkeys(BUILT_IN, "qcc")
    for entry in entry_points(group=GROUP):
        giver = _distribution(entry)
        if entry.name in known:
            raise PipelineError(
                f"pass {entry.name!r} is offered by {givers[entry.name]} as well as by {giver};"
                " uninstall one of them."
            )
        known[entry.name] = entry.value
        givers[entry.name] = giver
    return known


def find_pass(name: str) -> type[Pass]:
    """The class of a pass.  Raises PipelineError for an unknown name, with the nearest known one."""
    known = known_passes()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
        raise PipelineError(f"there is no pass {name!r}; {hint}")
    module, _, attribute = known[name].partition(":")
    found = getattr(import_module(module), attribute)
    if not (isinstance(found, type) and issubclass(found, Pass)):
        raise PipelineError(f"{known[name]}, registered as pass {name!r}, is not a subclass of Pass.")
    return found


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value
