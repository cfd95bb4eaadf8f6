"""What of a float model is to be quantized, decided before any data is read."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from glob import escape
from types import MappingProxyType

import numpy as np

from qcc.backends.assumed import FOLDS, assume_frozen
from qcc.backends.deploy.placement import place
from qcc.backends.onednn_rounding import is_unsigned
from qcc.backends.onnx.form import between
from qcc.calibrate.floors import floors
from qcc.calibrate.importance import importances, importances_before
from qcc.calibrate.statistics import Statistics
from qcc.errors import ConfigError, ModelFormatError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.model import Model
from qcc.passes.base import Pass
from qcc.passes.equalize import Equalize
from qcc.passes.fake_quant import QUANTIZE_OPS
from qcc.passes.instruments import OpCount, Verification
from qcc.passes.manager import PassManager
from qcc.passes.own_names import own_names
from qcc.passes.quantizable import Operands, layer_of, operands
from qcc.passes.static_scales import ops_to_calibrate
from qcc.passes.transform import Transform
from qcc.quantization import op_name, state
from qcc.targets.lite import LITE_TARGETS
from qcc.targets.table import Target, find_target


@dataclass(frozen=True)
class Plan:
    """`model`: as it was given; `folded`: with its norms folded, so that a quantized op sees what it will
    compute; `activations`: what gets a scale, and `weights`: what is rounded, by name; `skipped`: the
    variables (or globs) whose ops stay float; `notes`: for the user; `rewrites`: passes that run before
    anything is quantized; `table`: of the target, where it has one; `between`: what it rounds besides, as far
    as it may come to that, and to how many bits."""

    model: Model
    folded: Model
    activations: tuple[str, ...]
    weights: frozenset[str]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rewrites: tuple[Pass, ...] = ()
    table: Target | None = None
    between: Mapping[str, int] = MappingProxyType({})

    @property
    def folding(self) -> tuple[Pass, ...]:
        """What makes the folded model of the one that was given."""
        return (*FOLDS, *self.rewrites)

    @property
    def transform(self) -> Pass:
        """What makes the transformed model of the folded one."""
        return _transform(self.skipped)

    @property
    def transformed(self) -> Model:
        """The folded model with that in it, and no scale yet."""
        return PassManager((self.transform,)).run(self.folded)

    @cached_property
    def even(self) -> frozenset[str]:
        """Of the `weights`, those that the target's engine halves: they are rounded to even integers."""
        if self.table is None or not self.table.halves:
            return frozenset()
        halves = self.table.halves
        signed = weights_of(
            self.folded.graph, lambda found: found.op.type in halves and not is_unsigned(found.data)
        )
        return self.weights.intersection(signed)

    def without(self, activations: Iterable[str]) -> Plan:
        """The plan in which the ops that read these activations stay float."""
        left_out = frozenset(activations)
        more = weights_of(self.folded.graph, lambda found: found.data.name in left_out)
        return self.skipping(more)

    def skipping(self, variables: Iterable[str]) -> Plan:
        """The plan in which the ops that touch these variables stay float, too."""
        skipped = (*self.skipped, *map(escape, variables))
        return self._for_target(make_plan(self.model, skipped, rewrites=self.rewrites))

    def rewritten(self, *passes: Pass) -> Plan:
        """The plan that runs further passes before anything is quantized."""
        plan = make_plan(self.model, self.skipped, rewrites=(*self.rewrites, *passes))
        if not self.between:
            return self._for_target(plan)
        # What is rounded besides may stand in front of what they have put in.
        return replace(plan, table=self.table, between=_between(self.table, assume_frozen(plan.folded).model))

    def equalized(self, step: Equalize) -> Plan:
        """The plan that equalizes first. That changes weights alone: what is quantized, and how, stays."""
        folded = PassManager((step,)).run(self.folded)
        return replace(self, folded=folded, rewrites=(*self.rewrites, step))

    def _for_target(self, plan: Plan) -> Plan:
        return replace(plan, table=self.table, between=self.between)

    def statistics(self) -> Statistics:
        """What the scales are chosen by, to be collected."""
        statistics = Statistics(self.activations, importances(self.folded.graph, self.weights))
        graph, between = self.folded.graph, self.between
        statistics.declare(between, importances_before(graph, between), floors(graph, between))
        return statistics

    def identity(self) -> str:
        """A digest of what is run to collect statistics."""
        digest = hashlib.sha256(self.folded.graph.to_proto().SerializeToString(deterministic=True))
        for name, value in sorted(self.folded.weights.items()):
            digest.update(name.encode() + value.tobytes())
        names = (*self.activations, "", *sorted(self.weights), *self.between)
        digest.update("\n".join(names).encode())
        return digest.hexdigest()


def make_plan(
    model: Model,
    skipped: Iterable[str] = (),
    target: str | None = None,
    rewrites: tuple[Pass, ...] = (),
) -> Plan:
    """Per-channel weights and fixed activation scales for all ops with a weight, but for those that touch a
    `skipped` variable (names or globs), and those that the target computes in float. `rewrites` run first.

    Raises ModelFormatError for a model that is quantized already, is a training graph, or has nothing to
    quantize; TargetError for an unknown target; PassError when a pass refuses.
    """
    present = state(model.graph)
    if present != "float":
        way = "`qcc freeze` writes the forms of what is quantized already"
        if present == "weight-only":
            way = "turn its weights back with `qcc apply -p unpack`"
        raise ModelFormatError(
            f"the model is {present}, and what is quantized is a float one: start from the model as it was"
            f" trained, or {way}."
        )
    if not model.graph.for_test:
        raise ModelFormatError("the model is a training graph: quantize the test graph.")
    folded = PassManager((*FOLDS, *rewrites)).run(model)
    table = _table(target)
    skipped = tuple(skipped)
    # Who names a variable that is overwritten means each of its values.
    others = (
        name
        for name, known in own_names(model.graph).items()
        if any(fnmatchcase(known, pattern) for pattern in skipped)
    )
    assumed = None if table is None else assume_frozen(folded).model
    more = (*others, *_float_on(folded, table, assumed))
    kept = tuple(dict.fromkeys((*skipped, *map(escape, more))))
    counts = OpCount()
    transformed = PassManager((_transform(kept),)).run(folded, (Verification(), counts))
    notes = tuple(note for change in counts.changes for note in change.result.notes)
    activations = tuple(dict.fromkeys(op.input("X").name for op in ops_to_calibrate(transformed.graph)))
    if not activations:
        raise ModelFormatError(f"the model has nothing to quantize: {' '.join(notes)}")
    weights = frozenset(
        op.input("X").name
        for op in transformed.graph.ops
        if op.type in QUANTIZE_OPS and op.input("X").persistable
    )
    _refuse_infinite(model.graph, folded.graph, weights)
    rounded = _between(table, assumed)
    return Plan(model, folded, activations, weights, kept, notes, rewrites, table, rounded)


def _refuse_infinite(graph: Graph, folded: Graph, weights: Iterable[str]) -> None:
    """What is rounded is to be finite. Of the rest, minus infinity may be a mask, and NaN is nothing."""
    for name, value in graph.weights.items():
        if value.dtype.kind == "f" and np.isnan(value).any():
            raise ModelFormatError(
                f"the weight {name!r} holds NaN: training may have diverged; save the model of an epoch"
                " before."
            )
    for name in sorted(weights):
        if np.isfinite(folded.weights[name]).all():
            continue
        own = name in graph.weights and not np.isfinite(graph.weights[name]).all()
        where = "" if own else ", once the norm behind it is folded in"
        raise ModelFormatError(
            f"the weight {name!r} holds values that are not finite{where}: training may have diverged; save"
            " the model of an epoch before, or leave what reads it float, by --skip-vars."
        )


def check_skipped(plan: Plan, skip_vars: Iterable[str]) -> None:
    """Raise ConfigError for a name or glob that no variable has, or none that an op to be quantized reads or
    writes: what it means would be quantized."""
    graphs = (plan.model.graph, plan.folded.graph)
    names = dict.fromkeys(name for graph in graphs for op in graph.ops for name in _touched(op))
    own = own_names(plan.model.graph)
    touched = {name for op in plan.folded.graph.ops if operands(op) is not None for name in _touched(op)}
    could_be = {*touched, *(own[name] for name in touched & own.keys())}
    for pattern in skip_vars:
        meant = [name for name in names if fnmatchcase(name, pattern)]
        if not meant:
            near = difflib.get_close_matches(pattern, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ": see `qcc inspect MODEL`."
            raise ConfigError(f"skip_vars: no variable of the model is called {pattern!r}{hint}")
        if could_be.isdisjoint(meant):
            raise ConfigError(
                f"skip_vars: no op that could be quantized reads or writes {meant[0]!r}"
                f"{_behind(plan.folded.graph, meant[0])}."
            )


def _touched(op: Op) -> list[str]:
    return [var.name for var in (*op.all_inputs(), *op.all_outputs())]


def _behind(graph: Graph, name: str) -> str:
    """The op that a variable comes from, if that could be quantized, in words."""
    op = layer_of(graph.var(name)) if name in graph else None
    return (
        "" if op is None or operands(op) is None else f"; the {op.type} that it comes from is {op_name(op)!r}"
    )


def weights_of(graph: Graph, wanted: Callable[[Operands], bool]) -> tuple[str, ...]:
    """The weights of the ops that are wanted, by name."""
    found = (operands(op) for op in graph.ops)
    return tuple(dict.fromkeys(one.weight.name for one in found if one is not None and wanted(one)))


def first_weights(graph: Graph) -> tuple[str, ...]:
    """The weights of the ops that read a feed, with no other op with a weight of its kind in between."""
    behind: set[Var] = set()
    for op in graph.ops:
        if operands(op) is not None or any(var in behind for var in op.all_inputs()):
            behind.update(op.all_outputs())
    return weights_of(graph, lambda found: found.data not in behind)


def check_target(name: str | None) -> None:
    """Raise TargetError, with the nearest known name, for a target that there is not."""
    if name is not None and name not in LITE_TARGETS:
        find_target(name, others=tuple(LITE_TARGETS))


def _transform(skipped: tuple[str, ...]) -> Transform:
    return Transform(
        weight_type="channel_wise_abs_max", activation_type="moving_average_abs_max", skip_vars=skipped
    )


def _table(target: str | None) -> Target | None:
    check_target(target)
    return None if target is None or target in LITE_TARGETS else find_target(target)


def _float_on(folded: Model, table: Target | None, assumed: Model | None) -> tuple[str, ...]:
    """Weights of the ops that the target computes from floats: nothing would be gained by rounding them."""
    if table is None or assumed is None:
        return ()
    outputs = frozenset(place(assumed.graph, table).unquantized())
    return weights_of(folded.graph, lambda found: found.output.name in outputs)


def _between(table: Target | None, assumed: Model | None) -> dict[str, int]:
    """What the target's file rounds besides, where its engine reads ONNX files alone."""
    if table is None or assumed is None or table.checked_in != "onnx":
        return {}
    return between(assumed, table)
