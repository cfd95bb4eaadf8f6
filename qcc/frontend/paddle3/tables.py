"""What is known of ops, as data: their operands in Paddle 3, their slots in 2.6, and how one becomes the
other.

`signatures.tsv`  op, operands, results: their names, which are not in the files, in order
`legacy.tsv`      op of Paddle 2.6, its version, input slots, output slots, attributes: `Slot?` may be
                  absent, `Slot*` takes several; attributes are JSON, `{name: [type, default]}`
`ops.tsv`         op of Paddle 3, op of Paddle 2.6, operands, results, attributes, attributes without a
                  counterpart: `operand=Slot` is a tensor, `operand=@attr` a constant that becomes an
                  attribute, `operand=Slot@attr` either; what 2.6 lacks must have the value `name=value`

`tools/paddle3/` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Signature:
    operands: tuple[str, ...]
    results: tuple[str, ...]


@dataclass(frozen=True)
class Slot:
    name: str
    optional: bool
    several: bool


@dataclass(frozen=True)
class LegacyOp:
    """What Paddle 2.6 declares of an op: `attrs` has the type of each attribute (INT, FLOATS) and its
    default.
    """

    version: int
    inputs: dict[str, Slot]
    outputs: dict[str, Slot]
    attrs: dict[str, tuple[str, Any]]


@dataclass(frozen=True)
class Row:
    """How an op of Paddle 3 is one of Paddle 2.6.

    `operands`: the slot and the attribute, one of them empty, by operand. `needed`: attributes that 2.6
    lacks, with the one value that it computes with.
    """

    legacy: str
    operands: dict[str, tuple[str, str]]
    results: dict[str, str]
    attrs: dict[str, str]
    needed: dict[str, Any]


VARIADIC = frozenset(
    ("builtin.combine", "builtin.split", "cf.yield", "pd_op.if", "pd_op.while", "pd_op.select_input")
)
"""Ops with any number of operands or results; their signatures name what comes first."""

# What no header of Paddle declares, or not in full.
_BUILTIN = {
    "builtin.combine": Signature((), ("out",)),
    "builtin.shadow_output": Signature(("x",), ()),
    "builtin.slice": Signature(("x",), ("out",)),
    "builtin.split": Signature(("x",), ()),
    "cf.yield": Signature((), ()),
    "pd_op.slice_array": Signature(("input", "starts", "ends"), ("out",)),
    "pd_op.slice_array_dense": Signature(("input", "starts"), ("out",)),
}


@cache
def signatures() -> dict[str, Signature]:
    found = {
        op: Signature(tuple(operands.split()), tuple(results.split()))
        for op, operands, results in _rows("signatures.tsv")
    }
    return found | _BUILTIN


@cache
def legacy_ops() -> dict[str, LegacyOp]:
    return {
        op: LegacyOp(
            int(version),
            _slots(inputs),
            _slots(outputs),
            {name: (kind, value) for name, (kind, value) in json.loads(attrs).items()},
        )
        for op, version, inputs, outputs, attrs in _rows("legacy.tsv")
    }


@cache
def rows() -> dict[str, Row]:
    found = {}
    for op, legacy, operands, results, attrs, needed in _rows("ops.tsv"):
        found[op] = Row(
            legacy,
            {name: _target(target) for name, target in _pairs(operands)},
            dict(_pairs(results)),
            dict(_pairs(attrs)),
            json.loads(needed or "{}"),
        )
    return found


def find(table: Mapping[str, Any], op: str) -> Any:
    """What a table has for an op, None when nothing; `relu_` computes the same as `relu`, in place."""
    for name in (op, op.removesuffix("_"), f"{op}_"):
        if name in table:
            return table[name]
    return None


def _rows(name: str) -> list[list[str]]:
    text = files(__package__).joinpath(f"data/{name}").read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines()]


def _slots(text: str) -> dict[str, Slot]:
    found = {}
    for word in text.split():
        name = word.rstrip("?*")
        found[name] = Slot(name, "?" in word, "*" in word)
    return found


def _pairs(text: str) -> list[tuple[str, str]]:
    """`a=b c` -> (a, b), (c, c)."""
    found = []
    for word in text.split():
        name, _, target = word.partition("=")
        found.append((name, target or name))
    return found


def _target(text: str) -> tuple[str, str]:
    slot, _, attr = text.partition("@")
    return slot, attr
