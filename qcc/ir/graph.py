"""Graph: block 0 of a Paddle program as a graph of ops and variables, with feeds, fetches and weights.

The nodes and links are those of Paddle's `IrGraph`, and each node holds Paddle's own description, but
the links stand here, in Python: a look-up and an edit cost O(1), where `IrGraph`'s helpers build the
set of all nodes at every call. `Graph.ir` makes the `IrGraph`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from qcc._paddle import IrGraph, VarType, core, paddle, static_mode
from qcc.errors import GraphError
from qcc.ir import program as programs
from qcc.ir.collector import collector_paused
from qcc.ir.dtypes import dtype_name, dtype_number, numpy_dtype
from qcc.ir.linking import KEEPING, LastVersions, Linked, read_ops, share_ops
from qcc.ir.nodes import EMPTY_NAME, Op, Var
from qcc.ir.order import topological
from qcc.ir.weights import Weights

Slots = Mapping[str, "Var | Sequence[Var]"]

# Paddle's own enumerators compare slowly.
_LONG, _LONGS, _VAR = int(core.AttrType.LONG), int(core.AttrType.LONGS), int(core.AttrType.VAR)

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
        self.for_test = for_test
        self.feeds = tuple(feeds)
        self.fetches = tuple(fetches)
        self.weights = weights
        self._ops: dict[Op, None] = {}
        self._versions: dict[str, list[Var]] = {}
        self._order: tuple[Op, ...] | None = None
        self._inserted = 0
        self._last_rank = 0
        self.lowered_by: str | None = None
        """The first pass that made what Paddle's executor does not compute; None for a Paddle program."""
        self.changed: dict[Op, None] = {}
        """Ops that an edit touched since verification last emptied this journal."""
        with collector_paused():
            block = desc.block(0)
            variables = (Var(var.name(), var, var.persistable(), desc) for var in block.all_vars())
            self._link(read_ops(block, desc), {var.name: var for var in variables})

    def _link(self, ops: Iterable[Linked], declared: dict[str, Var]) -> None:
        """Fill the empty graph with ops, given with the names in their slots and attributes, in the program's
        order.

        As in `IrGraph`, an op reads the last version of a variable and writes a new one. So the
        program's order is a topological one. Raises GraphError for an op that writes a variable twice.
        """
        versions, last = self._versions, LastVersions(self._versions, declared)
        for op, read, pointed, written in ops:
            op.inputs = {slot: [last[name] for name in names] for slot, names in sorted(read.items())}
            if pointed:
                op.pointed = {attr: [last[name] for name in names] for attr, names in sorted(pointed.items())}
            for var in op.all_inputs():
                var.consumers[op] = None
            for slot, names in sorted(written.items()):
                op.outputs[slot] = [last.write(name, op) for name in names]
            if op.type in KEEPING:
                self._keep(op)
            self._ops[op] = None
        self._order = tuple(self._ops)
        self._last_rank = len(self._order)
        # What no op of this block touches.
        versions.update((name, [var]) for name, var in declared.items())

    def _keep(self, op: Op) -> None:
        """Let an op that may leave a part of what it overwrites as it was depend on that."""
        before = (self._versions[var.name] for var in op.all_outputs() if var.name != EMPTY_NAME)
        op.kept = tuple(chain[-2] for chain in before if len(chain) > 1 and op not in chain[-2].consumers)
        for var in op.kept:
            var.consumers[op] = None

    # ------------------------------------------------------------------ looking

    @property
    def ops(self) -> tuple[Op, ...]:
        """The operators in their one topological order: the program's own where it is possible.

        An overwrite comes after every reader of the value that it replaces. Raises GraphError on a
        cycle, naming an op on it.
        """
        if self._order is None:
            self._order = tuple(topological(self._ops, self._versions))
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
        """A copy as Paddle's `IrGraph`, for Paddle's own passes and tools.

        Hold it as long as its nodes: Paddle frees them with it.
        """
        desc = core.ProgramDesc(self.to_proto().SerializeToString())
        return IrGraph(core.Graph(desc), for_test=self.for_test)

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
        number = dtype_number(dtype)
        if value is not None and (value.dtype != numpy_dtype(number) or value.shape != tuple(shape)):
            raise GraphError(
                f"variable {name!r} is declared {dtype}{list(shape)} but its value is"
                f" {value.dtype}{list(value.shape)}."
            )
        var = self._declare(name, number, shape, persistable=value is not None)
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
        var = Var(name, desc, persistable, None)
        self._versions[name] = [var]
        return var

    def add_var_like(self, name: str, var: Var) -> Var:
        """A new temporary variable with dtype and shape of another."""
        like = var.desc
        return self._declare(name, like.dtype(), like.shape(), persistable=False)

    def add_weight_like(self, name: str, var: Var, value: np.ndarray) -> Var:
        """A new weight that is marked as another one is (a parameter, trainable), with its own value."""
        # Of bfloat16 numpy knows the bits alone.
        alike = value.dtype == numpy_dtype(var.dtype)
        dtype = dtype_name(var.dtype) if alike else str(value.dtype)
        weight = self.add_var(name, dtype, value.shape, value)
        marked, desc = var.desc, weight.desc
        if marked.has_is_parameter():
            desc.set_is_parameter(marked.is_parameter())
        if marked.has_stop_gradient():
            desc.set_stop_gradient(marked.stop_gradient())
        return weight

    def add_version(self, var: Var) -> Var:
        """A new last version of a variable, for the op that overwrites it."""
        version = var.unlinked()
        self._versions[var.name].append(version)
        self._order = None
        return version

    def remove_var(self, var: Var) -> None:
        """Remove a version that no op reads or writes; with the last one its weight goes too."""
        if var.producer is not None or var.consumers:
            raise GraphError(f"variable {var.name!r} is still in use and cannot be removed.")
        versions = self._versions[var.name]
        versions.remove(var)
        if not versions:
            del self._versions[var.name]
            self.weights.pop(var.name, None)
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
        desc = core.OpDesc()
        desc.copy_from(_blank_op(op_type, attrs))
        for slot, variables in read.items():
            desc.set_input(slot, [var.name for var in variables])
        for slot, variables in written.items():
            desc.set_output(slot, [var.name for var in variables])
        op = Op(op_type, desc, self._rank(before, after), None)
        op.inputs, op.outputs = read, written
        for var in op.all_inputs():
            var.consumers[op] = None
        for var in op.all_outputs():
            var.producer = op
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
        _own_desc(op).set_input(slot, [var.name for var in variables])
        if previous:
            for var in set(previous).difference(op.all_inputs()):
                del var.consumers[op]
        for var in variables:
            var.consumers[op] = None
        self.changed[op] = None
        self._order = None

    def set_output(self, op: Op, slot: str, variables: Sequence[Var]) -> None:
        """Let an output slot write these variables, none of which has a producer yet."""
        previous = op.outputs.get(slot, [])
        _check_unproduced([var for var in variables if var not in previous])
        for var in previous:
            self._unlink_output(var)
        for var in variables:
            var.producer = op
        op.outputs[slot] = list(variables)
        _own_desc(op).set_output(slot, [var.name for var in variables])
        self.changed[op] = None
        self._order = None

    def _unlink_output(self, var: Var) -> None:
        var.producer = None
        self.changed.update(var.consumers)

    def replace_input(self, op: Op, old: Var, new: Var) -> None:
        """Let an op read `new` wherever it read `old`, in slots and attributes."""
        for slot, variables in op.inputs.items():
            if old in variables:
                self.set_input(op, slot, [new if var is old else var for var in variables])
        for name, variables in op.pointed.items():
            if old in variables:
                self._point(op, name, [new if var is old else var for var in variables])

    def _point(self, op: Op, name: str, variables: list[Var]) -> None:
        """Let an attribute that names variables name others, as many."""
        desc, descs = _own_desc(op), [var.desc for var in variables]
        if int(desc.attr_type(name, True)) == _VAR:
            desc.set_var_attr(name, *descs)
        else:
            desc.set_vars_attr(name, descs)
        self._repoint(op, {**op.pointed, name: variables})

    def _repoint(self, op: Op, pointed: Mapping[str, list[Var]]) -> None:
        before = set(op.all_inputs())
        op.pointed = pointed
        after = dict.fromkeys(op.all_inputs())
        for var in before.difference(after):
            del var.consumers[op]
        for var in after:
            var.consumers[op] = None
        self.changed[op] = None
        self._order = None

    def replace_uses(self, old: Var, new: Var) -> None:
        """Let every reader of `old` read `new`."""
        for op in list(old.consumers):
            self.replace_input(op, old, new)

    def set_attr(self, op: Op, name: str, value: Any) -> None:
        """Set an attribute; Python's type chooses Paddle's: an int a 32-bit one, a bool an int.

        An attribute that holds 64-bit integers or a boolean already goes on doing so; one that variables hold
        does not need them any more.
        """
        self._unpoint(op, name)
        desc = _own_desc(op)
        kind = int(desc.attr_type(name)) if desc.has_attr(name) else None
        if kind == _LONG:
            desc._set_int64_attr(name, value)
        elif kind == _LONGS:
            desc._set_int64s_attr(name, value)
        else:
            desc._set_attr(name, value)

    def set_flag(self, op: Op, name: str, value: bool) -> None:
        """Set a boolean attribute, where the reader of the program tells booleans from ints."""
        self._unpoint(op, name)
        _own_desc(op)._set_bool_attr(name, value)

    def set_long(self, op: Op, name: str, value: int) -> None:
        """Set an attribute that holds a 64-bit integer."""
        self._unpoint(op, name)
        _own_desc(op)._set_int64_attr(name, value)

    def remove_attr(self, op: Op, name: str) -> None:
        """Remove an attribute, if the op has it."""
        self._unpoint(op, name)
        _own_desc(op).remove_attr(name)

    def _unpoint(self, op: Op, name: str) -> None:
        if name in op.pointed:
            _own_desc(op).remove_attr(name)
            self._repoint(op, {attr: found for attr, found in op.pointed.items() if attr != name})

    def remove_op(self, op: Op) -> None:
        """Remove an op. Its variables stay, those that it wrote without a producer."""
        if op not in self._ops:
            raise GraphError(f"the graph does not hold {op}.")
        for var in set(op.all_inputs()):
            del var.consumers[op]
        for var in op.all_outputs():
            self._unlink_output(var)
        del self._ops[op]
        self.changed.pop(op, None)
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
        """A graph of its own, as if read from the program anew.

        The weights' arrays and the ops' descriptions are shared until one side sets or edits its own.
        """
        return self._twin(self.ops, sorted(self._versions), self.weights.copy())

    def part(self, ops: Sequence[Op]) -> Graph:
        """As `copy`, of some of the ops alone, given in their order, with the variables that they or further
        blocks name, and without feeds and fetches. It costs what they cost, however large the graph is."""
        read = (name for name in self.shell.names_read_in_blocks() if name in self)
        names = {*read, *(var.name for op in ops for var in (*op.all_inputs(), *op.all_outputs()))}
        weights = Weights()
        for name in names & self.weights.keys():
            weights.adopt(name, self.weights[name])
        found = self._twin(ops, sorted(names), weights)
        found.feeds, found.fetches = (), ()
        return found

    def _twin(self, ops: Sequence[Op], names: Iterable[str], weights: Weights) -> Graph:
        twin = Graph(
            core.ProgramDesc(), self.shell, self.feeds, self.fetches, weights, for_test=self.for_test
        )
        twin.lowered_by = self.lowered_by
        with collector_paused():
            first = (self._versions[name][0] for name in names)
            twin._link(share_ops(ops), {var.name: var.unlinked() for var in first if var.is_declared})
            # What nobody has verified yet is to be verified in the copy.
            if self.changed:
                pairs = zip(ops, twin._ops, strict=True)
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


def _own_desc(op: Op) -> core.OpDesc:
    """An op's description, for an edit: its own, when copies of the graph share the present one."""
    if op.shared:
        desc = core.OpDesc()
        desc.copy_from(op.desc)
        op.desc = desc
        op.shared = False
    return op.desc


def _as_list(variables: Var | Sequence[Var]) -> list[Var]:
    return [variables] if isinstance(variables, Var) else list(variables)
