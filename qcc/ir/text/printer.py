"""Printing a graph as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from qcc.ir.graph import Graph
from qcc.ir.nodes import EMPTY_NAME
from qcc.ir.program import BlockProto, OpProto, ProgramProto, VarProto
from qcc.ir.text.attributes import quote, value_text
from qcc.ir.text.usual import Braces, Usual, main_output
from qcc.ir.text.values import weight_text
from qcc.ir.text.variables import UsualFields, declaration_text, fields_text, is_weight
from qcc.ir.text.versions import Versions

_WIDTH = 110


def print_graph(graph: Graph) -> str:
    """A graph as text that `parse_graph` reads back to the same program, byte for byte.

    O(size of the program); weights of more than 8 elements are hashed.
    """
    program = graph.to_proto()
    weights: Mapping[str, np.ndarray] = graph.weights
    return "\n".join(_Printer(program).lines(graph, weights)) + "\n"


class _Printer:
    def __init__(self, program: ProgramProto) -> None:
        self._program = program
        self._usual = Usual.of(op for block in program.blocks for op in block.ops)
        self._fields = UsualFields.of(var for block in program.blocks for var in block.vars)

    def lines(self, graph: Graph, weights: Mapping[str, np.ndarray]) -> Iterator[str]:
        version = self._program.version.version
        for_test = "true" if graph.for_test else "false"
        yield f"graph {{for_test={for_test}, program_version={version}}}"
        yield f"feeds [{', '.join(map(quote, graph.feeds))}]"
        yield f"fetches [{', '.join(map(quote, graph.fetches))}]"
        yield from self._usual_lines()
        for block in self._program.blocks:
            yield ""
            if block.idx:
                yield _block_line(block)
            yield from self._block_lines(block, weights if block.idx == 0 else {})
        if self._program.op_version_map.pair:
            yield ""
            yield from _op_version_lines(self._program)

    def _usual_lines(self) -> Iterator[str]:
        for key in ("weight", "var"):
            said = fields_text(self._fields.header(key))
            if said:
                yield f"usual {key}{said}"
        changes = self._usual.changes
        if changes:
            attrs = [attr for attr in changes.values() if attr is not None]
            absent = [name for name, attr in changes.items() if attr is None]
            yield f"usual op{_braces_text(Braces(attrs, absent))}"

    def _block_lines(self, block: BlockProto, weights: Mapping[str, np.ndarray]) -> Iterator[str]:
        declared = {var.name: var for var in block.vars}
        for name, array in weights.items():
            if name not in declared:
                yield f"value {quote(name)} = {weight_text(array, None)}"
        # The main block is sorted anyway, so here the order is free; elsewhere it is the message's.
        variables = sorted(block.vars, key=lambda var: not is_weight(var)) if block.idx == 0 else block.vars
        yield from self._variable_lines(variables, weights)
        visible = self._visible(block)
        undeclared = [name for name in _used_names(block) if name not in visible]
        if undeclared:
            yield f"undeclared [{', '.join(map(quote, undeclared))}]"
        if block.ops:
            yield ""
        versions = Versions()
        for op in block.ops:
            yield self._op_line(op, versions)

    def _visible(self, block: BlockProto) -> set[str]:
        """Names declared in a block and those around it."""
        visible = {EMPTY_NAME}
        index = block.idx
        while index >= 0:
            visible.update(var.name for var in self._program.blocks[index].vars)
            index = self._program.blocks[index].parent_idx
        return visible

    def _variable_lines(
        self, variables: Iterable[VarProto], weights: Mapping[str, np.ndarray]
    ) -> Iterator[str]:
        for var in variables:
            line = declaration_text(var, self._fields)
            array = weights.get(var.name)
            yield line if array is None else f"{line} = {weight_text(array, var)}"

    def _op_line(self, op: OpProto, versions: Versions) -> str:
        labels = versions.read({name for slot in op.inputs for name in slot.arguments})
        inputs = ", ".join(_slot_text(slot.parameter, slot.arguments, labels) for slot in op.inputs)
        labels = versions.write({name for slot in op.outputs for name in slot.arguments})
        outputs = _outputs_text(op, labels)
        return f"{outputs}{quote(op.type)}({inputs}){_braces_text(self._usual.shorten(op))}"


def _outputs_text(op: OpProto, labels: Mapping[str, int]) -> str:
    if not op.outputs:
        return ""
    if len(op.outputs) == 1 and len(op.outputs[0].arguments) == 1:
        slot = op.outputs[0]
        if slot.parameter == main_output(op.type):
            return f"{_label_text(slot.arguments[0], labels)} = "
    slots = (_slot_text(slot.parameter, slot.arguments, labels) for slot in op.outputs)
    return f"({', '.join(slots)}) = "


def _slot_text(slot: str, names: Iterable[str], labels: Mapping[str, int]) -> str:
    texts = [_label_text(name, labels) for name in names]
    value = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return f"{quote(slot)}={value}"


def _label_text(name: str, labels: Mapping[str, int]) -> str:
    return f"{quote(name)}#{labels[name]}" if labels[name] else quote(name)


def _braces_text(braces: Braces) -> str:
    items = [f"{quote(attr.name)}={value_text(attr)}" for attr in braces.attrs]
    items += [f"-{quote(name)}" for name in braces.absent]
    if braces.exact or braces.verbatim:
        return f" {{{'=' if braces.exact else '=='} {', '.join(items)}}}"
    return f" {{{', '.join(items)}}}" if items else ""


def _used_names(block: BlockProto) -> Iterable[str]:
    names: dict[str, None] = {}
    for op in block.ops:
        for slots in (op.inputs, op.outputs):
            for slot in slots:
                names.update(dict.fromkeys(slot.arguments))
    return names


def _block_line(block: BlockProto) -> str:
    forward = f", forward_block_idx={block.forward_block_idx}" if block.HasField("forward_block_idx") else ""
    return f"block {block.idx} {{parent_idx={block.parent_idx}{forward}}}"


def _op_version_lines(program: ProgramProto) -> Iterator[str]:
    line = "op_versions {"
    for position, pair in enumerate(program.op_version_map.pair):
        item = ("" if position == 0 else ", ") + f"{quote(pair.op_name)}={pair.op_version.version}"
        if len(line) + len(item) > _WIDTH:
            yield line + ","
            line, item = "  ", item.removeprefix(", ")
        line += item
    yield line + "}"
