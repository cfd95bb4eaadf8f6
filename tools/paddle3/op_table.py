"""ops.tsv: which op of Paddle 3 is which of Paddle 2.6, learnt from programs of one op each.

    python tools/paddle3/op_table.py programs.jsonl qcc/frontend/paddle3/data/ops.tsv

`programs.jsonl` is what `one_op_programs.py` has written. Variables of the op of 2.6 are called `i.SLOT` and
`o.SLOT`, so that feeds and fetches of the translation tell which operand or result each slot became; an
attribute is changed alone, and the one attribute or constant that changes with it is what it became.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qcc.frontend.paddle3.program import DType, Op, Opaque, Program
from qcc.frontend.paddle3.read import parse
from qcc.frontend.paddle3.tables import Signature, find, legacy_ops, signatures

AROUND = ("pd_op.data", "pd_op.feed", "pd_op.fetch", "builtin.combine", "builtin.split", "builtin.slice")
CONSTANTS = ("pd_op.full", "pd_op.full_int_array")
NOTES = ("stop_gradient", "persistable", "op_callstack", "op_role", "chunk_id", "struct_name", "place")
LEFT_OUT = re.compile(r"^onednn_op|^custom_op|_grad_?$|_grad_|_sp_?$|_sr_?$|_xpu_?$")
TRAINING = frozenset(
    (
        "adadelta", "adagrad", "adam", "adamax", "adamw", "check_finite_and_unscale", "dgc_momentum",
        "decayed_adagrad", "dpsgd", "ftrl", "fused_adam", "lamb", "lars_momentum", "merged_adam",
        "merged_momentum", "momentum", "rmsprop", "sgd", "sparse_momentum", "update_loss_scaling",
    )
)  # fmt: skip
# Where several ops of 2.6 become one of Paddle 3, that is the one with the most general form.
PREFERRED = {
    "pd_op.add": "elementwise_add",
    "pd_op.matmul": "matmul_v2",
    "pd_op.mean": "reduce_mean",
    "pd_op.sum": "reduce_sum",
}


@dataclass
class Main:
    """The one op of a translation that is neither interface nor constant."""

    op: Op
    signature: Signature
    sources: list[str | tuple[Any, ...] | None]
    sinks: dict[str, int]


@dataclass
class Entry:
    legacy: str
    operands: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    attrs: dict[str, str] = field(default_factory=dict)
    needed: dict[str, Any] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def main_of(program: Program, legacy: str) -> Main | None:
    ops = list(program.ops())
    made_by = {value.id: op for op in ops for value in op.results}
    mains = [op for op in ops if op.name not in (*AROUND, *CONSTANTS)]
    if len(mains) != 1 or find(signatures(), mains[0].name) is None:
        return None
    op = mains[0]
    sources = [source(number, made_by) for number in op.operands]
    return Main(op, find(signatures(), op.name), sources, dict(sinks(ops, op, made_by, output_names(legacy))))


def source(number: int, made_by: dict[int, Op]) -> str | tuple[Any, ...] | None:
    """The slot that an operand stands for, or the numbers of a constant."""
    op = made_by.get(number)
    if op is None:
        return None
    if op.name in ("pd_op.data", "pd_op.feed"):
        name = str(op.attrs["name"])
        return name.split(".")[1] if name.startswith("i.") else None
    if op.name == "builtin.combine":
        return source(op.operands[0], made_by)
    if op.name in CONSTANTS:
        value = op.attrs["value"]
        return tuple(value) if isinstance(value, list) else (value,)
    return None


def sinks(ops: list[Op], main: Op, made_by: dict[int, Op], slots: list[str]) -> Iterator[tuple[str, int]]:
    """The output slot that each result of the op is fetched as; fetches stand in the order of the slots."""
    for op in ops:
        if op.name != "pd_op.fetch":
            continue
        number = op.operands[0]
        maker = made_by.get(number)
        if maker is not None and maker.name in ("builtin.split", "builtin.slice"):
            number = maker.operands[0]
        for index, value in enumerate(main.results):
            if value.id == number:
                yield slots[int(str(op.attrs["col"]))], index


def output_names(legacy: str) -> list[str]:
    names = []
    for slot in legacy_ops()[legacy].outputs.values():
        names += [slot.name] * (2 if slot.several else 1)
    return names


def learn(legacy: str, lines: list[dict[str, Any]]) -> tuple[str, Entry] | None:
    """The op of Paddle 3 and what is known of it."""
    translated = [(line, main_of(parse(line["program"].encode(), Path(legacy)), legacy)) for line in lines]
    bases = [(line, main) for line, main in translated if line["attr"] is None and main is not None]
    if not bases:
        return None
    entry = Entry(legacy)
    name = bases[0][1].op.name
    for _, main in bases:
        if main.op.name == name:
            learn_slots(entry, main)
    by_inputs = {line["inputs"]: main for line, main in bases}
    for line, main in translated:
        if line["attr"] is not None and main is not None and main.op.name == name:
            learn_attribute(entry, line["attr"], by_inputs[line["inputs"]], main)
    for main in by_inputs.values():
        learn_rest(entry, main)
    return name, entry


def learn_slots(entry: Entry, main: Main) -> None:
    for operand, origin in zip(main.signature.operands, main.sources, strict=False):
        if isinstance(origin, str):
            entry.operands.setdefault(operand, origin)
    for slot, index in main.sinks.items():
        if index >= len(main.signature.results):
            continue
        entry.results.setdefault(main.signature.results[index], slot)


def learn_attribute(entry: Entry, attr: str, base: Main, changed: Main) -> None:
    for name, value in changed.op.attrs.items():
        if name not in NOTES and base.op.attrs.get(name) != value:
            entry.attrs.setdefault(name, attr)
    pairs = zip(changed.signature.operands, base.sources, changed.sources, strict=False)
    for operand, before, after in pairs:
        if before != after and not isinstance(after, str):
            entry.constants.setdefault(operand, attr)


def learn_rest(entry: Entry, base: Main) -> None:
    """Attributes and operands that no attribute of 2.6 moves: what has the same name is the same."""
    known = legacy_ops()[entry.legacy].attrs
    for name, value in base.op.attrs.items():
        if name in NOTES or name in entry.attrs:
            continue
        if name in known:
            entry.attrs[name] = name
        elif not isinstance(value, DType | Opaque) and name != "is_test":
            entry.needed[name] = value
    for operand, origin in zip(base.signature.operands, base.sources, strict=False):
        if operand not in entry.operands and operand not in entry.constants and isinstance(origin, tuple):
            if operand in known:
                entry.constants[operand] = operand
            else:
                entry.left.append(operand)


def rank(name: str, entry: Entry) -> tuple[Any, ...]:
    """The best of the ops of 2.6 that become one of Paddle 3 comes first."""
    plain = name.rpartition(".")[2].rstrip("_")
    return (
        entry.legacy != PREFERRED.get(name),
        bool(entry.left) + bool(entry.needed),
        -len(entry.operands) - len(entry.results),
        not entry.legacy[-1:].isdigit(),
        entry.legacy != plain,
        entry.legacy,
    )


def row(name: str, entry: Entry) -> str:
    operands = {
        operand: entry.operands.get(operand, "")
        + (f"@{entry.constants[operand]}" if operand in entry.constants else "")
        for operand in [*entry.operands, *(key for key in entry.constants if key not in entry.operands)]
    }
    needed = json.dumps(entry.needed, separators=(",", ":"))
    columns = (name, entry.legacy, pairs(operands), pairs(entry.results), pairs(entry.attrs), needed)
    return "\t".join(columns)


def pairs(mapping: dict[str, str]) -> str:
    return " ".join(key if key == value else f"{key}={value}" for key, value in sorted(mapping.items()))


def main(programs: Path, target: Path) -> None:
    by_op: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with programs.open(encoding="utf-8") as stream:
        for text in stream:
            line = json.loads(text)
            if "program" in line:
                by_op[line["legacy"]].append(line)
    found: dict[str, list[Entry]] = defaultdict(list)
    for legacy, lines in by_op.items():
        learnt = learn(legacy, lines)
        if learnt is not None and not LEFT_OUT.search(learnt[0]) and legacy not in TRAINING:
            found[learnt[0]].append(learnt[1])
    lines = [
        row(name, min(entries, key=lambda entry: rank(name, entry)))
        for name, entries in sorted(found.items())
    ]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
