"""Reading a file of Paddle 3 (`inference.json`), checked so far that nothing behind it has to doubt.

    {"base_code": {"magic": "pir", "version": 4, ...},
     "program": {"regions": [{"blocks": [{"args": [], "ops": [OP, ...]}]}]}}

    OP = {"#": "1.conv2d", "I": [{"%": 235}, ...], "O": [{"%": 236, "TT": TYPE}], "A": [{"N": NAME, "AT":
    ATTR}, ...]}

Numbers of values are positive, those of a block's arguments negative; 0 is an operand that is absent. A
parameter stands in a short form of its own, `{"#": "p", ...}`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qcc.errors import ModelFormatError
from qcc.frontend.paddle3.half import widened
from qcc.frontend.paddle3.program import Block, Op, Parameter, Program, Value
from qcc.frontend.paddle3.words import (
    WordError,
    attr_of,
    flag,
    full_name,
    integer,
    items,
    record,
    shown,
    text,
    type_of,
)
from qcc.inputs import read_input

# Loops and branches within each other; more than any program that was written by hand.
_MAX_DEPTH = 32
_LARGEST = 1 << 30


def read(path: Path) -> Program:
    """The program in a file.

    Every value is defined once and used where it is known: behind its definition, in the block that defines
    it or one inside. The time is linear in the file.

    Raises ModelFormatError naming the file and the op, and OSError.
    """
    return parse(read_input(path, _LARGEST), path)


def parse(data: bytes, path: Path) -> Program:
    """The program in the content of a file, see `read`; `path` names it in messages."""
    try:
        return _Reader(path).program(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path} is no JSON, or is truncated or damaged: {error}.") from error


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._ever: set[int] = set()
        self._known: set[int] = set()
        self._names: set[str] = set()
        self._parameters: list[Parameter] = []
        self._count = 0

    def program(self, content: object) -> Program:
        try:
            head, block = self._head(content)
        except WordError as error:
            raise ModelFormatError(f"{self._path} is damaged: it {error}.") from error
        main = self._block(block, 0)
        if main.arguments:
            raise ModelFormatError(f"{self._path} is damaged: its main block has arguments.")
        return widened(Program(head, self._parameters, main))

    def _head(self, content: object) -> tuple[int, object]:
        """The version, and the one block of the one region at the top."""
        whole = record(content)
        base = record(whole.get("base_code"))
        if base.get("magic") != "pir":
            raise WordError(f"says {shown(base.get('magic'))} where a program of Paddle 3 says 'pir'")
        regions = items(record(whole.get("program")).get("regions"))
        blocks = items(record(regions[0]).get("blocks")) if len(regions) == 1 else []
        if len(blocks) != 1:
            raise WordError("has not one region with one block")
        return integer(base.get("version")), blocks[0]

    def _block(self, content: object, depth: int) -> Block:
        """A block; what it defines is not known behind it."""
        if depth > _MAX_DEPTH:
            raise ModelFormatError(f"{self._path}: blocks stand in each other more than {_MAX_DEPTH} deep.")
        block = Block()
        own: list[int] = []
        try:
            fields = record(content)
            block.arguments = tuple(self._defined(item, "#", own) for item in items(fields.get("args")))
            ops = items(fields.get("ops"))
        except WordError as error:
            raise ModelFormatError(f"{self._path} is damaged: a block {error}.") from error
        for item in ops:
            self._read_op(item, block, own, depth)
        self._known.difference_update(own)
        return block

    def _read_op(self, item: object, block: Block, own: list[int], depth: int) -> None:
        number = self._count
        self._count += 1
        name = "without a name"
        try:
            fields = record(item)
            name = full_name(fields.get("#"))
            if name == "p":
                self._parameters.append(self._parameter(fields, own, depth))
                return
            operands = tuple(self._used(operand) for operand in items(fields.get("I", [])))
            attrs = self._attributes(fields.get("A", []))
            inner = [
                block
                for region in items(fields.get("regions", []))
                for block in items(record(region).get("blocks"))
            ]
            blocks = tuple(self._block(block, depth + 1) for block in inner)
            results = tuple(self._defined(result, "%", own) for result in items(fields.get("O", [])))
        except WordError as error:
            raise ModelFormatError(f"{self._path} is damaged: op {number}, {name}, {error}.") from error
        block.ops.append(Op(name, number, operands, results, attrs, blocks))

    def _attributes(self, content: object) -> dict[str, Any]:
        attrs: dict[str, Any] = {}
        for item in items(content):
            fields = record(item)
            name = text(fields.get("N"))
            if name in attrs:
                raise WordError(f"has the attribute {shown(name)} twice")
            attrs[name] = attr_of(fields.get("AT"))
        return attrs

    def _parameter(self, fields: dict[str, Any], own: list[int], depth: int) -> Parameter:
        """`A`: is_distributed, is_parameter, need_clip, name; `OA`: persistable, stop_gradient, trainable.

        A file that was saved for inference alone lacks `OA`.
        """
        described = items(fields.get("A"))
        name = text(described[3]) if len(described) > 3 else ""
        if not name or "\0" in name or name in self._names:
            raise WordError(f"is a parameter named {shown(name)}, which is empty or another one's")
        if depth:
            raise WordError("is a parameter inside another op")
        self._names.add(name)
        flags = items(fields.get("OA", []))
        persistable = flag(flags[0]) if flags else not name.endswith("__non_persistable")
        return Parameter(name, self._defined(fields.get("O"), "%", own), persistable)

    def _used(self, content: object) -> int:
        number = integer(record(content).get("%"))
        if number and number not in self._known:
            why = "is defined later, or in a block apart" if number in self._ever else "is not defined"
            raise WordError(f"reads value {number}, which {why}")
        return number

    def _defined(self, content: object, key: str, own: list[int]) -> Value:
        """A value from here on; the arguments of a block carry negative numbers under another key."""
        fields = record(content)
        kind = type_of(fields.get("TT"))
        if kind is None and not fields.get(key):
            return Value(0, None)
        number = integer(fields.get(key))
        if number == 0 or (number < 0) != (key == "#"):
            raise WordError(f"defines a value under the number {number}")
        if number in self._ever:
            raise WordError(f"defines value {number} a second time")
        self._ever.add(number)
        self._known.add(number)
        own.append(number)
        return Value(number, kind)
