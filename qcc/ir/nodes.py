"""The two kinds of nodes of a graph: variables and operators.

They are the nodes of Paddle's `IrGraph`, with Paddle's own descriptions, and read-only to everybody but
`qcc.ir.graph.Graph`, which keeps links and descriptions equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any

from qcc._paddle import VarType, core
from qcc.errors import GraphError

EMPTY_NAME = "@EMPTY@"
"""Paddle's name for an argument that an op leaves out, mostly in backward ops."""

# As numbers, since Paddle's own enumerators compare slowly.
_LOD_TENSOR = int(VarType.LOD_TENSOR)
_TENSOR_TYPES = tuple(map(int, (VarType.LOD_TENSOR, VarType.SELECTED_ROWS, VarType.LOD_TENSOR_ARRAY)))
_BLOCK, _BLOCKS = int(core.AttrType.BLOCK), int(core.AttrType.BLOCKS)

FIXED_SIZES = "export the model with fixed sizes"
"""What helps where variables hold an attribute's value: they are computed from sizes."""

_NOTHING: Mapping[str, list[Var]] = MappingProxyType({})


class Var:
    """One version of a variable.

    Where a program overwrites a variable (an optimizer step, a running mean), each value is a
    version of its own, as in `IrGraph`: `producer` is the op that writes it, None for the value
    that the program starts with.
    """

    __slots__ = ("consumers", "desc", "name", "owner", "persistable", "producer")

    def __init__(
        self, name: str, desc: core.VarDesc, persistable: bool, owner: core.ProgramDesc | None
    ) -> None:
        self.name = name
        self.desc = desc
        """Paddle's description; None for `@EMPTY@` and variables that the block does not declare.
        Copies of a graph share it: nobody edits it once the variable is in a graph."""
        self.owner = owner  # Paddle frees the descriptions that it parsed with their program
        self.persistable = persistable
        self.producer: Op | None = None
        # A dict for its order; an op that reads the variable twice stands here once.
        self.consumers: dict[Op, None] = {}

    def unlinked(self) -> Var:
        """Another version of the variable, which no op touches yet."""
        return Var(self.name, self.desc, self.persistable, self.owner)

    @property
    def is_declared(self) -> bool:
        """True for a variable that the program declares."""
        return self.desc is not None and self.name != EMPTY_NAME

    @property
    def is_tensor(self) -> bool:
        """True for a dense tensor, the only kind that has values in files."""
        desc = self.desc
        return desc is not None and int(desc.type()) == _LOD_TENSOR

    @property
    def dtype(self) -> VarType:
        return self.desc.dtype()

    @property
    def shape(self) -> tuple[int, ...]:
        """-1 stands for a size that is known only when the model runs, which Paddle also writes as a multiple
        of -1: -2 for an open height behind a pixel_shuffle."""
        desc = self.desc
        if desc is None or int(desc.type()) not in _TENSOR_TYPES:
            return ()
        shape = desc.shape()
        return tuple(shape) if min(shape, default=0) >= -1 else tuple(max(size, -1) for size in shape)

    def __repr__(self) -> str:
        return f"Var({self.name})"


class Op:
    """One operator: `inputs` and `outputs` map a slot's name to its variables, in order.

    `pointed` maps an attribute's name to the variables that hold its value, such as the `output_size` of a
    `conv2d_transpose` that was computed from shapes. Few ops have any. The op reads these as well.

    `kept` are values that the op overwrites and may leave as they were, or a part of them, without naming
    them as inputs: the other elements of an array, say. What needs the op needs them, too.
    """

    __slots__ = ("desc", "inputs", "kept", "outputs", "owner", "pointed", "rank", "shared", "type")

    def __init__(
        self,
        op_type: str,
        desc: core.OpDesc,
        rank: tuple[int, ...],
        owner: core.ProgramDesc | None,
        *,
        shared: bool = False,
    ) -> None:
        self.type = op_type
        self.desc = desc
        self.shared = shared
        """True while another graph may hold the same description: `Graph` edits one of its own then."""
        self.owner = owner  # Paddle frees the descriptions that it parsed with their program
        self.rank = rank
        self.inputs: dict[str, list[Var]] = {}
        self.outputs: dict[str, list[Var]] = {}
        # The variables keep alive what Paddle's description points to.
        self.pointed = _NOTHING
        self.kept: tuple[Var, ...] = ()

    def input(self, slot: str) -> Var:
        """The only variable of an input slot."""
        (var,) = self.inputs[slot]
        return var

    def output(self, slot: str) -> Var:
        """The only variable of an output slot."""
        (var,) = self.outputs[slot]
        return var

    def all_inputs(self) -> Iterator[Var]:
        """All that the op reads: in its slots, behind them what its attributes name, and what it keeps."""
        for variables in chain(self.inputs.values(), self.pointed.values()):
            yield from variables
        yield from self.kept

    def all_outputs(self) -> Iterator[Var]:
        for variables in self.outputs.values():
            yield from variables

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute's value, `default` where the op does not carry it; for a block, its number.

        Raises GraphError for one that variables hold: whoever can do without its value looks at `pointed`.
        """
        if name in self.pointed:
            raise GraphError(
                f"{self.computed_attr(name)}, and what reads it here needs it before: {FIXED_SIZES}."
            )
        desc = self.desc
        if not desc.has_attr(name):
            return default
        kind = int(desc.attr_type(name))
        # Paddle would hand out the block itself, and Python would free it a second time.
        if kind == _BLOCK:
            return desc._block_attr_id(name)
        if kind == _BLOCKS:
            return list(desc._blocks_attr_ids(name))
        return desc.attr(name)

    @property
    def has_block(self) -> bool:
        """True for a loop or a branch, whose block knows variables by their names."""
        desc = self.desc
        return desc.has_attr("sub_block") or desc.has_attr("blocks")

    def computed_attr(self, name: str) -> str:
        """For errors, as a clause: that variables hold an attribute's value."""
        names = ", ".join(repr(var.name) for var in self.pointed[name])
        return f"the attribute {name!r} of {self} is computed when the model runs, as {names}"

    def __repr__(self) -> str:
        outputs = ", ".join(var.name for var in self.all_outputs())
        return f"Op({self.type} -> {outputs})"
