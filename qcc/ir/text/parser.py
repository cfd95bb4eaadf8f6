"""Reading a graph from text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from qcc._paddle import core
from qcc.ir.graph import Graph
from qcc.ir.nodes import EMPTY_NAME
from qcc.ir.program import AttrProto, AttrType, ProgramProto, Shell, VarProto, pointed_names
from qcc.ir.text.attributes import parse_attr, parse_int, parse_list, parse_name
from qcc.ir.text.lexer import END, NAME, Lexer
from qcc.ir.text.usual import Braces, Usual, main_output
from qcc.ir.text.values import parse_weight
from qcc.ir.text.variables import (
    UsualFields,
    fields_from,
    make_var,
    parse_message_var,
    parse_type,
)
from qcc.ir.text.versions import Versions
from qcc.ir.weights import Weights


def parse_graph(text: str, weights: Mapping[str, np.ndarray] | None = None) -> Graph:
    """The graph that a text describes.

    `weights` provides the values that the text gives only digests of, by name; without it those
    weights stay out.  Raises TextError with the line and column.
    """
    return _Parser(text, weights).graph()


@dataclass(frozen=True)
class _Argument:
    """A variable among an op's arguments, and the offset where it stands."""

    name: str
    version: int
    start: int


@dataclass(frozen=True)
class _Slot:
    """A slot of an op; the name is None where it goes without saying."""

    name: str | None
    arguments: list[_Argument]


@dataclass
class _References:
    """Numbers of blocks that attributes name; they can be checked only when all blocks are read."""

    places: list[tuple[int, int]] = field(default_factory=list)

    def collect(self, attr: AttrProto, start: int) -> None:
        if attr.type == AttrType.BLOCK:
            self.places.append((attr.block_idx, start))
        elif attr.type == AttrType.BLOCKS:
            self.places.extend((index, start) for index in attr.blocks_idx)


class _Parser:
    def __init__(self, text: str, weights: Mapping[str, np.ndarray] | None) -> None:
        self._lexer = Lexer(text)
        self._given = weights
        self._weights = Weights()
        self._program = ProgramProto()
        self._block = self._program.blocks.add(idx=0, parent_idx=-1)
        self._for_test: bool | None = None
        self._program.version.version = core.ProgramDesc()._version()
        self._names: dict[str, tuple[str, ...]] = {"feeds": (), "fetches": ()}
        self._usual = Usual()
        self._fields = UsualFields()
        self._declared: list[dict[str, VarProto | None]] = [{}]
        self._versions = Versions()
        self._references = _References()
        self._statements: dict[str, Callable[[str], None]] = {
            "graph": self._graph_statement,
            "feeds": self._names_statement,
            "fetches": self._names_statement,
            "usual": self._usual_statement,
            "weight": self._variable_statement,
            "var": self._variable_statement,
            "value": self._value_statement,
            "undeclared": self._undeclared_statement,
            "block": self._block_statement,
            "op_versions": self._op_versions_statement,
        }

    def graph(self) -> Graph:
        lexer = self._lexer
        if not lexer.at("graph"):
            raise lexer.unexpected("'graph {for_test=true}' or 'graph {for_test=false}'")
        while lexer.kind != END:
            if not lexer.starts_line:
                raise lexer.unexpected("the end of the line")
            self._statement()
        for index, start in self._references.places:
            if not 0 < index < len(self._program.blocks):
                raise lexer.wrong(f"there is no further block {index}", start)
        op_versions = self._program.op_version_map.SerializeToString()
        self._program.ClearField("op_version_map")
        desc = core.ProgramDesc(self._program.SerializeToString())
        shell = replace(Shell.of(desc, op_versions), version=self._program.version.version)
        feeds, fetches = self._names["feeds"], self._names["fetches"]
        return Graph(desc, shell, feeds, fetches, self._weights, for_test=bool(self._for_test))

    # ------------------------------------------------------------------ statements

    def _statement(self) -> None:
        """One op, or one statement that opens with a word of its own."""
        lexer = self._lexer
        if lexer.at("("):
            self._op(parse_list(lexer, self._slot, "(", ")"))
            return
        start, bare = lexer.start, lexer.kind == NAME
        name = parse_name(lexer)
        if lexer.at("("):
            self._op_call(name, [])
        elif lexer.at("=") or lexer.at("#"):
            self._op([_Slot(None, [self._argument(name, start)])])
        elif bare and name in self._statements:
            self._statements[name](name)
        else:
            raise lexer.unexpected("'=' after an output, or '(' after an op's type")

    def _graph_statement(self, word: str) -> None:
        start = self._lexer.start
        attrs = {attr.name: attr for attr in self._braces().attrs}
        for_test, version = attrs.pop("for_test", None), attrs.pop("program_version", None)
        if attrs or for_test is None or for_test.type != AttrType.BOOLEAN:
            raise self._lexer.wrong(
                "'graph' takes for_test=true or for_test=false, and program_version=N", start
            )
        self._for_test = for_test.b
        if version is not None:
            self._program.version.version = version.i

    def _names_statement(self, word: str) -> None:
        self._names[word] = tuple(parse_list(self._lexer, parse_name))

    def _usual_statement(self, word: str) -> None:
        lexer = self._lexer
        start = lexer.start
        key = lexer.expect_kind(NAME, "'op', 'var' or 'weight'")
        if key == "op":
            braces = self._braces()
            changes: dict[str, AttrProto | None] = {attr.name: attr for attr in braces.attrs}
            self._usual = Usual(changes | dict.fromkeys(braces.absent))
        elif key in self._fields.by_keyword:
            fields = fields_from(self._braces(), self._fields.by_keyword[key], lexer, start)
            self._fields = UsualFields({**self._fields.by_keyword, key: fields})
        else:
            raise lexer.error("'op', 'var' or 'weight'", f"'{key}'", start)

    def _variable_statement(self, word: str) -> None:
        lexer = self._lexer
        start = lexer.start
        name = parse_name(lexer)
        if name in self._declared[-1]:
            raise lexer.wrong(f"variable '{name}' is declared a second time", start)
        lexer.expect(":")
        var = parse_message_var(lexer) if lexer.at("message") else self._declaration(word, name)
        self._declared[-1][name] = var
        self._block.vars.append(var)
        if self._block.idx == 0 and lexer.take("="):
            self._set_weight(name, var)

    def _declaration(self, word: str, name: str) -> VarProto:
        lexer = self._lexer
        kind, dtype, dims = parse_type(lexer)
        start = lexer.start
        braces = self._braces() if lexer.at("{") else Braces()
        return make_var(
            name, kind, dtype, dims, fields_from(braces, self._fields.by_keyword[word], lexer, start)
        )

    def _value_statement(self, word: str) -> None:
        name = parse_name(self._lexer)
        self._lexer.expect("=")
        self._set_weight(name, None)

    def _set_weight(self, name: str, var: VarProto | None) -> None:
        value = parse_weight(self._lexer, name, var, self._given)
        if value is not None:
            self._weights[name] = value

    def _undeclared_statement(self, word: str) -> None:
        self._declared[-1].update(dict.fromkeys(parse_list(self._lexer, parse_name)))

    def _block_statement(self, word: str) -> None:
        lexer = self._lexer
        start = lexer.start
        index = parse_int(lexer)
        attrs = {attr.name: attr.i for attr in self._braces().attrs}
        parent = attrs.get("parent_idx", -1)
        if index != len(self._declared) or not 0 <= parent < index:
            raise lexer.wrong(
                f"expected block {len(self._declared)} with the parent_idx of an earlier block", start
            )
        self._block = self._program.blocks.add(idx=index, parent_idx=parent)
        if "forward_block_idx" in attrs:
            self._block.forward_block_idx = attrs["forward_block_idx"]
        self._declared.append({})
        self._versions = Versions()

    def _op_versions_statement(self, word: str) -> None:
        for attr in self._braces().attrs:
            pair = self._program.op_version_map.pair.add(op_name=attr.name)
            pair.op_version.version = attr.i

    # ------------------------------------------------------------------ ops

    def _op(self, outputs: list[_Slot]) -> None:
        self._lexer.expect("=")
        self._op_call(parse_name(self._lexer), outputs)

    def _op_call(self, op_type: str, outputs: list[_Slot]) -> None:
        lexer = self._lexer
        op = self._block.ops.add(type=op_type)
        inputs = parse_list(lexer, self._slot, "(", ")")
        self._fill(op.inputs, inputs, op_type, self._versions.read)
        self._fill(op.outputs, outputs, op_type, self._versions.write)
        start = lexer.start
        braces = self._braces() if lexer.at("{") else Braces()
        for name in braces.absent:
            if name not in self._usual.implied(op_type):
                raise lexer.wrong(
                    f"'{op_type}' has no attribute '{name}' that would have to be taken away", start
                )
        for name in (name for _, names in pointed_names(braces.attrs) for name in names):
            # Paddle looks for them in the op's own block alone.
            if name not in self._declared[-1]:
                raise lexer.wrong(f"an attribute names '{name}', which this block does not declare", start)
        op.attrs.extend(self._usual.complete(op_type, braces))

    def _fill(
        self,
        target: Any,
        slots: list[_Slot],
        op_type: str,
        count: Callable[[Iterable[str]], dict[str, int]],
    ) -> None:
        labels = count({argument.name for slot in slots for argument in slot.arguments})
        for slot in slots:
            for argument in slot.arguments:
                self._check(argument, labels[argument.name])
            name = main_output(op_type) if slot.name is None else slot.name
            target.add(parameter=name, arguments=[argument.name for argument in slot.arguments])

    def _check(self, argument: _Argument, version: int) -> None:
        name = argument.name
        if name != EMPTY_NAME and not self._is_visible(name):
            raise self._lexer.wrong(f"variable '{name}' is not declared", argument.start)
        if argument.version != version:
            expected = f"#{version}" if version else ""
            found = f"#{argument.version}" if argument.version else ""
            raise self._lexer.wrong(
                f"the version of '{name}' at this place is {name}{expected}, not {name}{found}",
                argument.start,
            )

    def _is_visible(self, name: str) -> bool:
        index = self._block.idx
        while index >= 0:
            if name in self._declared[index]:
                return True
            index = self._program.blocks[index].parent_idx
        return False

    def _slot(self, lexer: Lexer) -> _Slot:
        name = parse_name(lexer)
        lexer.expect("=")
        if lexer.at("["):
            return _Slot(name, parse_list(lexer, lambda _: self._argument()))
        return _Slot(name, [self._argument()])

    def _argument(self, name: str | None = None, start: int = 0) -> _Argument:
        """A variable and its version; the caller may have read the name."""
        lexer = self._lexer
        if name is None:
            start = lexer.start
            name = parse_name(lexer)
        return _Argument(name, parse_int(lexer) if lexer.take("#") else 0, start)

    def _braces(self) -> Braces:
        """`{name=value, -name}`, or `{= name=value}` or `{== name=value}` for attributes to the last."""
        lexer = self._lexer
        lexer.expect("{")
        exact = lexer.take("=")
        verbatim = exact and lexer.take("=")
        attrs: dict[str, AttrProto] = {}
        absent: list[str] = []
        while not lexer.take("}"):
            if (attrs or absent) and not lexer.take(","):
                raise lexer.unexpected("',' or '}'")
            if lexer.take("-"):
                absent.append(parse_name(lexer))
                continue
            start = lexer.start
            name = parse_name(lexer)
            if name in attrs:
                raise lexer.wrong(f"'{name}' is given a second time", start)
            lexer.expect("=")
            start = lexer.start
            attrs[name] = parse_attr(lexer, name)
            self._references.collect(attrs[name], start)
        return Braces(list(attrs.values()), absent, exact, verbatim)
