"""Weights that a traced program reshapes, made weights of that shape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qcc.frontend.layer import Traced

_RESHAPING = frozenset({"assign", "reshape2", "squeeze2", "unsqueeze2"})


def reshaped(train: Traced, test: Traced) -> tuple[Traced, Traced]:
    """Both traces of a layer, with the weights reshaped with which its programs do nothing but that, such as
    those of `Conv1D`. The programs are changed:

        f = unsqueeze2(w); y = conv2d(x, f)  ->  y = conv2d(x, w)
    """
    found = [_reshaping(one) for one in (train, test)]
    shapes, others = (
        {name: tuple(one.program.global_block().var(made[-1]).shape) for name, made in each.items()}
        for one, each in zip((train, test), found, strict=True)
    )
    alike = {name: shape for name, shape in shapes.items() if others.get(name) == shape}
    for one, each in zip((train, test), found, strict=True):
        _take_out(one.program.global_block(), {name: each[name] for name in alike})
    return _with_shapes(train, alike), _with_shapes(test, alike)


def _reshaping(traced: Traced) -> dict[str, list[str]]:
    """The weights that one op reads, which reshapes them, and no other one: by name, what these ops write."""
    if traced.program.num_blocks > 1:
        return {}
    block = traced.program.global_block()
    weights = {parameter.name for parameter in block.all_parameters()}
    reads = [name for op in block.ops for name in op.input_arg_names]
    found: dict[str, list[str]] = {}
    sources: dict[str, str] = {}
    for op in block.ops:
        if op.type not in _RESHAPING or len(op.input_arg_names) != 1:
            continue
        read, made = op.input("X")[0], op.output("Out")[0]
        weight = read if read in weights else sources.get(read)
        kept = made in traced.outputs or block.var(made).persistable
        if weight is not None and reads.count(read) == 1 and not kept:
            sources[made] = weight
            found.setdefault(weight, []).append(made)
    return found


def _take_out(block: Any, found: dict[str, list[str]]) -> None:
    """Let what reads the last of what is made of a weight read the weight, in that shape."""
    made = {name for each in found.values() for name in each}
    last = {each[-1]: weight for weight, each in found.items()}
    for index in reversed(range(len(block.ops))):
        op = block.ops[index]
        if op.type in _RESHAPING and op.output("Out")[0] in made:
            block._remove_op(index)
            continue
        for name in last.keys() & {*op.input_arg_names}:
            op._rename_input(name, last[name])
    for name, weight in last.items():
        block.var(weight).desc.set_shape(block.var(name).shape)


def _with_shapes(traced: Traced, shapes: dict[str, tuple[int, ...]]) -> Traced:
    values = {name: value.reshape(shapes.get(name, value.shape)) for name, value in traced.values.items()}
    return replace(traced, values=values)
