"""Programs of one op each, as Paddle 3 translates them: what `op_table.py` learns from, and what tests read
back.

Runs under paddlepaddle 3.3.1, whose translator (`paddle.pir.translate_to_pir`) knows how each op of Paddle
2.6 is written now. Each op of `legacy.tsv` is translated with its required inputs alone and with all inputs,
and with each attribute changed alone, in a process of its own, since the translator ends the process on some.

    python tools/paddle3/one_op_programs.py qcc/frontend/paddle3/data/legacy.tsv programs.jsonl

A line: {"legacy": op, "inputs": "all" or "required", "attr": the changed attribute or null, "attrs": {name:
value}, "program": the text of Paddle 3}.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("GLOG_minloglevel", "3")

import paddle
from paddle.base import core
from paddle.base.proto import framework_pb2

FIELDS = {
    "INT": (0, "i"),
    "FLOAT": (1, "f"),
    "STRING": (2, "s"),
    "INTS": (3, "ints"),
    "FLOATS": (4, "floats"),
    "STRINGS": (5, "strings"),
    "BOOLEAN": (6, "b"),
    "BOOLEANS": (7, "bools"),
    "LONG": (9, "l"),
    "LONGS": (11, "longs"),
    "FLOAT64S": (12, "float64s"),
    "FLOAT64": (15, "float64"),
}
# Where Paddle has no default.
GIVEN: dict[str, Any] = {
    "INT": 5,
    "FLOAT": 1.0,
    "STRING": "",
    "INTS": [0],
    "FLOATS": [1.0],
    "STRINGS": [],
    "BOOLEAN": False,
    "BOOLEANS": [False],
    "LONG": 5,
    "LONGS": [0],
    "FLOAT64S": [1.0],
    "FLOAT64": 1.0,
}
SKIPPED = ("use_mkldnn", "use_cudnn", "mkldnn_data_type", "use_quantizer")
SECONDS = 120


def legacy_ops(path: Path) -> Iterator[tuple[str, list[str], list[str], dict[str, Any]]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, inputs, outputs, attrs = line.split("\t")
        yield name, inputs.split(), outputs.split(), json.loads(attrs)


def other(value: Any) -> Any:
    """A value of the same type that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return 3 if value != 3 else 2
    if isinstance(value, float):
        return value + 1.5
    if isinstance(value, str):
        return "zz"
    return [other(item) for item in value] if value else [7, 8]


def program(
    op: tuple[str, list[str], list[str], dict[str, Any]], every: bool, attrs: dict[str, Any]
) -> bytes:
    """A program of feeds, the op and fetches; variables are called `i.SLOT` and `o.SLOT`."""
    name, inputs, outputs, kinds = op
    message = framework_pb2.ProgramDesc()
    block = message.blocks.add(idx=0, parent_idx=-1)
    for holder, kind in (("feed", 9), ("fetch", 10)):
        block.vars.add(name=holder, persistable=True).type.type = kind
    main = framework_pb2.OpDesc(type=name)
    fed = _slots(block, main.inputs, inputs, "i", every)
    fetched = _slots(block, main.outputs, outputs, "o", True)
    for attr, value in attrs.items():
        number, field = FIELDS[kinds[attr][0]]
        proto = main.attrs.add(name=attr, type=number)
        if isinstance(value, list):
            getattr(proto, field).extend(value)
        else:
            setattr(proto, field, value)
    for column, variable in enumerate(fed):
        _interface(block, "feed", column, "feed", variable)
    block.ops.append(main)
    for column, variable in enumerate(fetched):
        _interface(block, "fetch", column, variable, "fetch")
    data: bytes = message.SerializeToString()
    return data


def _slots(block: Any, slots: Any, words: list[str], letter: str, every: bool) -> list[str]:
    names = []
    for word in words:
        slot = word.rstrip("?*")
        if "?" in word and not every:
            continue
        arguments = [f"{letter}.{slot}"] + ([f"{letter}.{slot}.1"] if "*" in word else [])
        slots.add(parameter=slot).arguments.extend(arguments)
        for argument in arguments:
            var = block.vars.add(name=argument)
            var.type.type = 7
            tensor = (getattr(var.type, "dense_tensor", None) or var.type.lod_tensor).tensor
            tensor.data_type = 5
            tensor.dims.extend([2, 2])
        names += arguments
    return names


def _interface(block: Any, kind: str, column: int, source: str, target: str) -> None:
    op = block.ops.add(type=kind)
    op.inputs.add(parameter="X").arguments.append(source)
    op.outputs.add(parameter="Out").arguments.append(target)
    op.attrs.add(name="col", type=0).i = column


def translated(data: bytes, folder: Path) -> str:
    new = paddle.pir.translate_to_pir(core.ProgramDesc(data))
    path = folder / "program.json"
    core.serialize_pir_program(new, str(path), True, False, True)
    return path.read_text(encoding="utf-8")


def variants(op: tuple[str, list[str], list[str], dict[str, Any]], folder: Path) -> Iterator[dict[str, Any]]:
    name, _, _, kinds = op
    base = {
        attr: GIVEN[kind] if value is None else value
        for attr, (kind, value) in kinds.items()
        if kind in FIELDS
    }
    base = {attr: value for attr, value in base.items() if attr not in SKIPPED}
    worked = None
    for every in (True, False):
        line = {"legacy": name, "inputs": "all" if every else "required", "attr": None, "attrs": base}
        try:
            yield line | {"program": translated(program(op, every, base), folder)}
            worked = every
        except Exception as error:  # whatever the translator says
            yield line | {
                "error": str(error).strip().splitlines()[-1][:200] if str(error).strip() else repr(error)
            }
    if worked is None:
        return
    for attr, value in base.items():
        changed = base | {attr: other(value)}
        line = {"legacy": name, "inputs": "all" if worked else "required", "attr": attr, "attrs": changed}
        try:
            yield line | {"program": translated(program(op, worked, changed), folder)}
        except Exception:  # a value that the translator refuses tells nothing
            continue


def main(table: Path, target: Path) -> None:
    with target.open("w", encoding="utf-8") as stream:
        for op in legacy_ops(table):
            stream.writelines(_in_a_process(op))


def _in_a_process(op: tuple[str, list[str], list[str], dict[str, Any]]) -> list[str]:
    """The lines of one op; fewer when the process ends."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lines")
        child = os.fork()
        if child == 0:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            signal.alarm(SECONDS)
            with path.open("w", encoding="utf-8") as stream:
                for line in variants(op, Path(folder)):
                    stream.write(json.dumps(line, separators=(",", ":")) + "\n")
                    stream.flush()
            os._exit(0)
        os.waitpid(child, 0)
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith("\n")]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
