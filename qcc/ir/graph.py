"""Graph: block 0 of a Paddle program as an `IrGraph` with an index, feeds, fetches and weights.

Every edit of a program happens here. An edit costs O(1): it uses the primitives under `IrGraph`'s
own helpers, which build the set of all nodes for an assertion at every call, and keeps a Python
index (producers, consumers, names) beside it, so that a look-up costs O(1) too.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any

import numpy as np

from qcc._paddle import IrGraph, VarType, core, paddle, static_mode
from qcc.errors import GraphError
from qcc.ir import program as programs
from qcc.ir.collector import collector_paused
from qcc.ir.dtypes import dtype_number
from qcc.ir.nodes import EMPTY_NAME, Op, Var
from qcc.ir.weights import Weights

Slots = Mapping[str, "Var | Sequence[Var]"]

# Paddle's own enumerators compare slowly.
_LONG, _LONGS = int(core.AttrType.LONG), int(core.AttrType.LONGS)

_BLANKS: dict[str, core.OpDesc] = {}


class Graph:
    """A program's main block as operators and variables; see `Var` for versions of a variable.

    `for_test` tells a test graph from a training graph (the one with backward ops). Blocks other
    than the first are carried along unchanged.

    Raises GraphError when an edit names something that is not there, or is there already. The rules
    that hold between passes are in `qcc.ir.verify`.
    """

    def __init__(
        self,
        desc: core.ProgramDesc,
        shell: programs.Shell,
        feeds: Iterable[str],
        fetches: Iterable[str],
        weights: Weights,
        *,
        for_test: bool,
    ) -> None:
        self.shell = shell
        self._core = core.Graph(desc)
        self.for_test = for_test
        self.feeds = tuple(feeds)
        self.fetches = tuple(fetches)
        self.weights = weights
        self._ops: dict[Op, None] = {}
        self._versions: dict[str, list[Var]] = {}
        self._order: tuple[Op, ...] | None = None
        self._inserted = 0
        self._last_rank = 0
        self._removed_nodes: set[core.Node] = set()
        self.lowered_by: str | None = None
        """The first pass that made what Paddle's executor does not compute; None for a Paddle program."""
        self.changed: dict[Op, None] = {}
        """Ops that an edit touched since verification last emptied this journal."""
        with collector_paused():
            self._index(desc)

    # ------------------------------------------------------------------ building the index

    def _index(self, desc: core.ProgramDesc) -> None:
        variables: dict[int, Var] = {}
        operators: list[Op] = []
        # Node ids count up in program order, whereas nodes() is a set.
        for number, node in sorted((node.id(), node) for node in self._core.nodes()):
            if node.is_op():
                operators.append(Op(node, self._core, node.name(), (len(operators), 0, 0)))
            elif node.is_var() and not node.is_ctrl_var():
                var_desc = node.var()
                persistable = var_desc is not None and var_desc.persistable()
                var = variables[number] = Var(node, self._core, node.name(), persistable)
                self._versions.setdefault(var.name, []).append(var)
        self._last_rank = len(operators)
        for op in operators:
            self._ops[op] = None
            op_desc = op.node.op()
            # The Python call stack holds paths of the machine that built the program.
            op_desc.remove_attr("op_callstack")
            op.inputs = _bind(op_desc.inputs(), op.node.inputs, variables)
            op.outputs = _bind(op_desc.outputs(), op.node.outputs, variables)
            for var in op.all_inputs():
                if op in var.consumers:
                    # Paddle has a link for each time that an op reads a variable, this graph has one.
                    op.node.remove_input(var.node)
                    var.node.remove_output(op.node)
                var.consumers[op] = None
            for var in op.all_outputs():
                var.producer = op
        # A variable that no op of this block touches gets no node from Paddle.
        for var_desc in desc.block(0).all_vars():
            name = var_desc.name()
            if name not in self._versions:
                node = self._core.create_var_node(var_desc)
                self._versions[name] = [Var(node, self._core, name, var_desc.persistable())]

    # ------------------------------------------------------------------ looking

    @property
    def ops(self) -> tuple[Op, ...]:
        """The operators in their one topological order: the program's own where it is possible.

        An overwrite comes after every reader of the value that it replaces. Raises GraphError on a
        cycle, naming an op on it.
        """
        if self._order is None:
            self._order = tuple(_topological(self._ops, self._versions))
        return self._order

    @property
    def vars(self) -> tuple[Var, ...]:
        """Every version of every variable, by name in the order of creation."""
        return tuple(var for versions in self._versions.values() for var in versions)

    def __contains__(self, name: str) -> bool:
        return name in self._versions

    def versions(self, name: str) -> tuple[Var, ...]:
        """All versions of a variable, oldest first.  Raises GraphError for an unknown name."""
        try:
            return tuple(self._versions[name])
        except KeyError:
            raise GraphError(f"the graph has no variable {name!r}.") from None

    def var(self, name: str) -> Var:
        """The last version of a variable: what a fetch of `name` sees.  Raises GraphError."""
        return self.versions(name)[-1]

    def has_op(self, op: Op) -> bool:
        return op in self._ops

    @property
    def ir(self) -> IrGraph:
        """The graph as Paddle's `IrGraph`, for Paddle's own passes and tools; look, do not edit."""
        if self._removed_nodes:
            core.graph_safe_remove_nodes(self._core, self._removed_nodes)
            self._removed_nodes = set()
        return IrGraph(self._core, for_test=self.for_test)

    def __repr__(self) -> str:
        kind = "test" if self.for_test else "training"
        return f"Graph({kind}, {len(self._ops)} ops, {len(self._versions)} variables)"

    # ------------------------------------------------------------------ editing variables

    def add_var(
        self,
        name: str,
        dtype: str,
        shape: Sequence[int],
        value: np.ndarray | None = None,
    ) -> Var:
        """A new dense variable; with a `value` it is persistable and the value becomes a weight.

        Raises GraphError when the name is taken or the value has another dtype or shape.
        """
        if value is not None and (value.dtype != np.dtype(dtype) or value.shape != tuple(shape)):
            raise GraphError(
                f"variable {name!r} is declared {dtype}{list(shape)} but its value is"
                f" {value.dtype}{list(value.shape)}."
            )
        var = self._declare(name, dtype_number(dtype), shape, persistable=value is not None)
        if value is not None:
            self.weights[name] = value
        return var

    def _declare(self, name: str, dtype: VarType, shape: Sequence[int], *, persistable: bool) -> Var:
        if name in self._versions:
            raise GraphError(f"the graph already has a variable {name!r}.")
        desc = core.VarDesc(name)
        desc.set_type(VarType.LOD_TENSOR)
        desc.set_dtype(dtype)
        desc.set_shape(list(shape))
        desc.set_persistable(persistable)
        var = Var(self._core.create_var_node(desc), self._core, name, persistable)
        self._versions[name] = [var]
        return var

    def add_var_like(self, name: str, var: Var) -> Var:
        """A new temporary variable with dtype and shape of another."""
        like = var.node.var()
        return self._declare(name, like.dtype(), like.shape(), persistable=False)

    def add_weight_like(self, name: str, var: Var, value: np.ndarray) -> Var:
        """A new weight that is marked as another one is (a parameter, trainable), with its own value."""
        weight = self.add_var(name, str(value.dtype), value.shape, value)
        marked, desc = var.node.var(), weight.node.var()
        if marked.has_is_parameter():
            desc.set_is_parameter(marked.is_parameter())
        if marked.has_stop_gradient():
            desc.set_stop_gradient(marked.stop_gradient())
        return weight

    def add_version(self, var: Var) -> Var:
        """A new last version of a variable, for the op that overwrites it."""
        node = self._core.create_var_node(var.desc)
        version = Var(node, self._core, var.name, var.persistable)
        self._versions[var.name].append(version)
        self._order = None
        return version

    def set_shape(self, var: Var, shape: Sequence[int]) -> None:
        """Declare another shape for a temporary variable."""
        var.node.var().set_shape(list(shape))

    def remove_var(self, var: Var) -> None:
        """Remove a version that no op reads or writes; with the last one its weight goes too."""
        if var.producer is not None or var.consumers:
            raise GraphError(f"variable {var.name!r} is still in use and cannot be removed.")
        versions = self._versions[var.name]
        versions.remove(var)
        if not versions:
            del self._versions[var.name]
            self.weights.pop(var.name, None)
        self._removed_nodes.add(var.node)
        self._order = None

    # ------------------------------------------------------------------ editing operators

    def add_op(
        self,
        op_type: str,
        inputs: Slots,
        outputs: Slots,
        attrs: Mapping[str, Any],
        *,
        before: Op | None = None,
        after: Op | None = None,
    ) -> Op:
        """A new op beside another one (at the end when none is given).

        Outputs must be variables without a producer. Raises GraphError.
        """
        read = {slot: _as_list(variables) for slot, variables in inputs.items()}
        written = {slot: _as_list(variables) for slot, variables in outputs.items()}
        _check_unproduced([var for variables in written.values() for var in variables])
        node = self._core.create_op_node(_blank_op(op_type, attrs))
        desc = node.op()
        for slot, variables in read.items():
            desc.set_input(slot, [var.name for var in variables])
        for slot, variables in written.items():
            desc.set_output(slot, [var.name for var in variables])
        op = Op(node, self._core, op_type, self._rank(before, after))
        op.inputs, op.outputs = read, written
        for var in op.all_inputs():
            _link_input(op, var)
        for var in op.all_outputs():
            _link_output(op, var)
        self._ops[op] = None
        self.changed[op] = None
        self._order = None
        return op

    def _rank(self, before: Op | None, after: Op | None) -> tuple[int, ...]:
        self._inserted += 1
        if before is not None:
            return (before.rank[0], -1, self._inserted)
        if after is not None:
            return (after.rank[0], 1, self._inserted)
        self._last_rank += 1
        return (self._last_rank, 0, self._inserted)

    def set_input(self, op: Op, slot: str, variables: Sequence[Var]) -> None:
        """Let an input slot read these variables."""
        previous = op.inputs.get(slot)
        op.inputs[slot] = list(variables)
        op.desc.set_input(slot, [var.name for var in variables])
        if previous:
            for var in set(previous).difference(op.all_inputs()):
                del var.consumers[op]
                var.node.remove_output(op.node)
                op.node.remove_input(var.node)
        for var in variables:
            _link_input(op, var)
        self.changed[op] = None
        self._order = None

    def set_output(self, op: Op, slot: str, variables: Sequence[Var]) -> None:
        """Let an output slot write these variables, none of which has a producer yet."""
        previous = op.outputs.get(slot, [])
        _check_unproduced([var for var in variables if var not in previous])
        for var in previous:
            self._unlink_output(op, var)
            op.node.remove_output(var.node)
        for var in variables:
            _link_output(op, var)
        op.outputs[slot] = list(variables)
        op.desc.set_output(slot, [var.name for var in variables])
        self.changed[op] = None
        self._order = None

    def _unlink_output(self, op: Op, var: Var) -> None:
        var.producer = None
        var.node.remove_input(op.node)
        self.changed.update(var.consumers)

    def replace_input(self, op: Op, old: Var, new: Var) -> None:
        """Let an op read `new` wherever it read `old`."""
        for slot, variables in op.inputs.items():
            if old in variables:
                self.set_input(op, slot, [new if var is old else var for var in variables])

    def replace_uses(self, old: Var, new: Var) -> None:
        """Let every reader of `old` read `new`."""
        for op in list(old.consumers):
            self.replace_input(op, old, new)

    def set_attr(self, op: Op, name: str, value: Any) -> None:
        """Set an attribute; Python's type chooses Paddle's: an int a 32-bit one, a bool an int.

        An attribute that holds 64-bit integers or a boolean already goes on doing so.
        """
        desc = op.desc
        kind = int(desc.attr_type(name)) if desc.has_attr(name) else None
        if kind == _LONG:
            desc._set_int64_attr(name, value)
        elif kind == _LONGS:
            desc._set_int64s_attr(name, value)
        else:
            desc._set_attr(name, value)

    def set_flag(self, op: Op, name: str, value: bool) -> None:
        """Set a boolean attribute, where the reader of the program tells booleans from ints."""
        op.desc._set_bool_attr(name, value)

    def remove_attr(self, op: Op, name: str) -> None:
        """Remove an attribute, if the op has it."""
        op.desc.remove_attr(name)

    def remove_op(self, op: Op) -> None:
        """Remove an op. Its variables stay, those that it wrote without a producer."""
        if op not in self._ops:
            raise GraphError(f"the graph does not hold {op}.")
        for var in set(op.all_inputs()):
            del var.consumers[op]
            var.node.remove_output(op.node)
        for var in op.all_outputs():
            self._unlink_output(op, var)
        op.node.clear_inputs()
        op.node.clear_outputs()
        del self._ops[op]
        self.changed.pop(op, None)
        self._removed_nodes.add(op.node)
        self._order = None

    # ------------------------------------------------------------------ out again

    def to_proto(self) -> programs.ProgramProto:
        """The program as Paddle's protobuf message, without feed and fetch ops; always the same bytes."""
        variables = (versions[0] for versions in self._versions.values())
        return self.shell.fill((op.desc for op in self.ops), (var.desc for var in variables))

    @static_mode()
    def to_program(self) -> paddle.static.Program:
        """The graph as a program that `paddle.static.Executor` runs; feed and fetch by name."""
        return paddle.static.Program.parse_from_string(self.to_proto().SerializeToString())

    def copy(self) -> Graph:
        """A graph of its own; the weights' arrays are shared until one side sets a new one."""
        desc = core.ProgramDesc(self.to_proto().SerializeToString())
        weights = self.weights.copy()
        twin = Graph(desc, self.shell, self.feeds, self.fetches, weights, for_test=self.for_test)
        twin.lowered_by = self.lowered_by
        # What nobody has verified yet is to be verified in the copy.
        if self.changed:
            pairs = zip(self.ops, twin._ops, strict=True)
            twin.changed.update((copied, None) for op, copied in pairs if op in self.changed)
        return twin


def _check_unproduced(variables: list[Var]) -> None:
    for var in variables:
        if var.producer is not None:
            raise GraphError(f"variable {var.name!r} already has a producer, {var.producer}.")
    if len(set(variables)) < len(variables):
        raise GraphError(f"an op cannot write a variable twice, as in {variables}.")


def _blank_op(op_type: str, attrs: Mapping[str, Any]) -> core.OpDesc:
    """An op's description without inputs and outputs. A pass adds many ops of few kinds, so they are kept."""
    kind = f"{op_type} {attrs}"
    if kind not in _BLANKS:
        if len(_BLANKS) >= 64:
            _BLANKS.clear()
        desc = _BLANKS[kind] = core.OpDesc()
        desc.set_type(op_type)
        # Paddle gives its own to every op that it reads from a file: a copy must not gain attributes.
        for name, value in {**programs.runtime_defaults(op_type), **attrs}.items():
            desc._set_attr(name, value)
    return _BLANKS[kind]


def _link_input(op: Op, var: Var) -> None:
    if op not in var.consumers:
        var.consumers[op] = None
        var.node.append_output(op.node)
        op.node.append_input(var.node)


def _link_output(op: Op, var: Var) -> None:
    var.producer = op
    var.node.append_input(op.node)
    op.node.append_output(var.node)


def _as_list(variables: Var | Sequence[Var]) -> list[Var]:
    return [variables] if isinstance(variables, Var) else list(variables)


def _bind(
    slots: Mapping[str, list[str]], nodes: Iterable[core.Node], variables: Mapping[int, Var]
) -> dict[str, list[Var]]:
    """Slots with the variables of an op's nodes in place of names."""
    linked = [variables.get(node.id()) for node in nodes]
    # No variable stands behind a node that only orders ops.
    by_name = {var.name: var for var in linked if var is not None}
    return {slot: [by_name[name] for name in names] for slot, names in sorted(slots.items())}


def _topological(ops: Iterable[Op], versions: Mapping[str, list[Var]]) -> list[Op]:
    """The topological order that always takes the op of the lowest rank: O(n log n)."""
    replaced = {
        later: earlier
        for name, chain in versions.items()
        if len(chain) > 1 and name != EMPTY_NAME
        for earlier, later in pairwise(chain)
    }
    by_rank = sorted(ops, key=attrgetter("rank"))
    return by_rank if _is_topological(by_rank, replaced) else _kahn(by_rank, replaced)


def _is_topological(order: Iterable[Op], replaced: Mapping[Var, Var]) -> bool:
    done: set[Op] = set()
    for op in order:
        if not done.issuperset(_waits_for(op, replaced)):
            return False
        done.add(op)
    return True


def _kahn(ops: Iterable[Op], replaced: Mapping[Var, Var]) -> list[Op]:
    waits: dict[Op, int] = {}
    followers: dict[Op, list[Op]] = {}
    for op in ops:
        before = set(_waits_for(op, replaced))
        waits[op] = len(before)
        for earlier in before:
            followers.setdefault(earlier, []).append(op)
    ready = [(op.rank, op) for op, count in waits.items() if count == 0]
    heapq.heapify(ready)
    order: list[Op] = []
    while ready:
        op = heapq.heappop(ready)[1]
        order.append(op)
        for later in followers.get(op, ()):
            waits[later] -= 1
            if waits[later] == 0:
                heapq.heappush(ready, (later.rank, later))
    if len(order) < len(waits):
        stuck = next(op for op, count in waits.items() if count)
        raise GraphError(f"the graph has a cycle through {stuck}.")
    return order


def _waits_for(op: Op, replaced: Mapping[Var, Var]) -> Iterator[Op]:
    """The ops that come before an op: producers of its inputs, and all that touch what it overwrites."""
    for variables in op.inputs.values():
        for var in variables:
            if var.producer is not None:
                yield var.producer
    for variables in op.outputs.values():
        for var in variables:
            if var in replaced:
                old = replaced[var]
                if old.producer is not None:
                    yield old.producer
                for reader in old.consumers:
                    if reader is not op:
                        yield reader
