"""transform: insert fake quantize and dequantize ops for quantization-aware training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.errors import PassError
from qcc.ir.dtypes import dtype_name
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, Pass, PassResult, check_free
from qcc.passes.fake_quant import Pair, Quantizer, insert_pair, pair_behind, pair_names
from qcc.passes.frozen import integer_op
from qcc.passes.quantizable import (
    OP_TYPES,
    QUANTIZATION_TYPE,
    WITH_WEIGHT,
    Operands,
    operands,
)

SKIPPED = "skip_quant"
"""The attribute of ops that stay float for good; runtimes honour it as well."""

WeightType = Literal["abs_max", "channel_wise_abs_max", "range_abs_max", "moving_average_abs_max"]
ActivationType = Literal["abs_max", "range_abs_max", "moving_average_abs_max"]
OpType = Literal["conv2d", "depthwise_conv2d", "conv2d_transpose", "mul", "matmul", "matmul_v2"]
Bits = Annotated[int, Field(ge=2, le=16)]
Count = Annotated[int, Field(ge=0)]


_OTHER_FLOATS = frozenset({VarType.FP64, VarType.FP16, VarType.BF16})


@options(frozen=True, config=OPTIONS)
class Transform(Pass):
    """Insert fake quantize and dequantize before the inputs of ops with a weight.

    Before:

        out = conv2d(Input=x, Filter=w)

    After, with weight_type=channel_wise_abs_max and activation_type=moving_average_abs_max:

        w.quantized, w@scale = fake_channel_wise_quantize_abs_max(X=w)
        w.quantized.dequantized = fake_channel_wise_dequantize_max_abs(X=w.quantized, Scales=[w@scale])
        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)
        x.quantized.dequantized = fake_dequantize_max_abs(X=x.quantized, Scale=x@scale)
        out = conv2d(Input=x.quantized.dequantized, Filter=w.quantized.dequantized)

    In a training graph, which must hold its backward ops already, the gradient op of a quantized op
    reads the dequantized variables as well and writes the gradients of x and w: a straight-through
    estimator (Bengio et al., https://arxiv.org/abs/1308.3432). Backward ops of ops that stay float
    read what they read before.

    A variable gets one pair however many ops read it. The last `keep_last` and the first `keep_first`
    of the candidates stay float, and those whose `name_scope` contains (or matches, with `*`) a
    `skip_pattern` or carry its mark already, or that touch a variable of `skip_vars` (names or globs).
    """

    name: ClassVar[str] = "transform"

    weight_type: WeightType = "abs_max"
    activation_type: ActivationType = "moving_average_abs_max"
    weight_bits: Bits = 8
    activation_bits: Bits = 8
    window_size: Annotated[int, Field(ge=1)] = 10000
    moving_rate: Annotated[float, Field(gt=0, lt=1)] = 0.9
    op_types: tuple[OpType, ...] = OP_TYPES  # type: ignore[assignment]
    skip_pattern: tuple[str, ...] = ("skip_quant",)
    skip_op_types: tuple[OpType, ...] = ()
    skip_vars: tuple[str, ...] = ()
    keep_first: Count = 0
    keep_last: Count = 0

    def apply(self, graph: Graph) -> PassResult:
        candidates = [found for op in graph.ops if (found := self._candidate(op)) is not None]
        plan = _Plan(skipped=[found.op for found in candidates if self._in_skipped_scope(found.op)])
        for found in self._chosen(candidates, frozenset(plan.skipped)):
            self._plan_op(plan, found)
        if not plan.chosen and not plan.notes:
            plan.notes.append(self._why_nothing(graph, len(candidates)))
        plan.check_names(graph)
        if plan.chosen and not graph.for_test and not any(op.type.endswith("_grad") for op in graph.ops):
            raise PassError(
                f"the training graph has no backward op of {plan.chosen[0].op}: call minimize before"
                " transform, otherwise no weight gets a gradient."
            )
        backward = backward_ops(graph)
        for op in plan.skipped:
            _mark_skipped(graph, [op, *backward.get(op, ())])
        _insert(graph, plan, backward)
        return PassResult(bool(plan.chosen or plan.skipped), tuple(plan.notes))

    # ------------------------------------------------------------------ choosing

    def _candidate(self, op: Op) -> Operands | None:
        if op.type not in self.op_types or op.type in self.skip_op_types:
            return None
        if op.attr(SKIPPED, False) or integer_op(op) is not None:
            return None
        return operands(op)

    def _chosen(self, candidates: list[Operands], skipped: frozenset[Op]) -> list[Operands]:
        last = len(candidates) - self.keep_last
        inner = candidates[self.keep_first : max(last, 0)]
        return [
            found for found in inner if found.op not in skipped and not self._touches_skipped_var(found.op)
        ]

    def _in_skipped_scope(self, op: Op) -> bool:
        scope = op.attr("op_namescope", "")
        return any(pattern in scope or fnmatchcase(scope, pattern) for pattern in self.skip_pattern)

    def _touches_skipped_var(self, op: Op) -> bool:
        names = [var.name for var in (*op.all_inputs(), *op.all_outputs())]
        return any(fnmatchcase(name, pattern) for pattern in self.skip_vars for name in names)

    def _why_nothing(self, graph: Graph, candidates: int) -> str:
        if candidates:
            return f"nothing was quantized: the options leave all {candidates} ops that could be float."
        others = _OTHER_FLOATS & {
            var.dtype
            for op in graph.ops
            if op.type in self.op_types
            for var in op.all_inputs()
            if var.persistable
        }
        if others:
            names = " and ".join(sorted(map(dtype_name, others)))
            return f"nothing was quantized: weights are {names}, where float32 is quantized: save such."
        types = ", ".join(type_ for type_ in self.op_types if type_ not in self.skip_op_types) or "none"
        return f"nothing was quantized: no op with a weight is left to quantize (types: {types})."

    # ------------------------------------------------------------------ planning

    def _plan_op(self, plan: _Plan, found: Operands) -> None:
        axis = None
        if self.weight_type == "channel_wise_abs_max":
            reason = found.why_not_per_channel()
            if reason is not None:
                plan.notes.append(f"{found.op} stays float: {reason}.")
                return
            axis = found.channel_axis
        other = None if found.weight in plan.present else plan.quantizers.get(found.weight)
        if other is not None and other.axis != axis:
            plan.notes.append(
                f"{found.op} stays float: another op has its weight {found.weight.name!r} quantized along"
                f" axis {other.axis}, and it would be along axis {axis}."
            )
            return
        plan.want(found.weight, self._quantizer(self.weight_type, self.weight_bits, axis), found.op)
        plan.want(found.data, self._quantizer(self.activation_type, self.activation_bits), found.op)
        plan.chosen.append(found)

    def _quantizer(self, quantization_type: str, bits: int, axis: int | None = None) -> Quantizer:
        return Quantizer(quantization_type, bits, axis, self.window_size, self.moving_rate)


@dataclass
class _Plan:
    """What will be done, complete before the first edit."""

    skipped: list[Op]
    chosen: list[Operands] = field(default_factory=list)
    quantizers: dict[Var, Quantizer] = field(default_factory=dict)
    present: dict[Var, Pair] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def want(self, var: Var, quantizer: Quantizer, op: Op) -> None:
        """Ask for a variable to be quantized; all ops that read it must ask for the same."""
        if var not in self.quantizers:
            pair = present_pair(var)
            if pair is not None:
                self.present[var] = pair
            self.quantizers[var] = quantizer if pair is None else pair.quantizer
        known = self.quantizers[var]
        if _kind(known) != _kind(quantizer):
            raise PassError(
                f"{op} wants {var.name!r} quantized as {_kind(quantizer)}, but another op has it as"
                f" {_kind(known)}; keep one of them float with skip_vars."
            )

    def check_names(self, graph: Graph) -> None:
        """Check that no variable that will be made exists, and that each is made once."""
        made: dict[str, Var] = {}
        for found in self.chosen:
            for var in (found.weight, found.data):
                if var in self.present:
                    continue
                names = pair_names(var, self.quantizers[var], for_test=graph.for_test)
                check_free(graph, found.op, names)
                if made.setdefault(var.name, var) is not var:
                    way_out = (
                        "run own-names before"
                        if graph.for_test
                        else "name the output of one of them in skip_vars"
                    )
                    raise PassError(
                        f"{found.op} reads {var.name!r}, which the program overwrites after another op that"
                        f" is to be quantized read it; {way_out}."
                    )


def _kind(quantizer: Quantizer) -> str:
    axis = "" if quantizer.axis is None else f" along axis {quantizer.axis}"
    return f"{quantizer.bits}-bit {quantizer.type}{axis}"


def present_pair(var: Var) -> Pair | None:
    """The pair that an earlier transform gave to a variable."""
    for reader in var.consumers:
        if reader.type.startswith("fake_") and "Out" in reader.outputs:
            for dequantize in reader.output("Out").consumers:
                pair = pair_behind(dequantize.output("Out")) if "Out" in dequantize.outputs else None
                if pair is not None and pair.source is var:
                    return pair
    return None


# ---------------------------------------------------------------------- editing


def _insert(graph: Graph, plan: _Plan, backward: Mapping[Op, list[Op]]) -> None:
    pairs = dict(plan.present)
    for found in plan.chosen:
        for var in (found.weight, found.data):
            if var not in pairs:
                pairs[var] = insert_pair(graph, var, plan.quantizers[var], before=found.op)
        graph.set_attr(found.op, QUANTIZATION_TYPE, WITH_WEIGHT)
        graph.set_attr(found.op, "with_quant_attr", True)
        for op in (found.op, *backward.get(found.op, ())):
            for var in (found.weight, found.data):
                graph.replace_input(op, var, pairs[var].dequantized)


def _mark_skipped(graph: Graph, ops: Iterable[Op]) -> None:
    for op in ops:
        graph.set_attr(op, SKIPPED, True)
        graph.set_attr(op, "with_quant_attr", True)


def backward_ops(graph: Graph) -> dict[Op, list[Op]]:
    """Forward op -> its gradient ops (several after a second minimize), by the output they share.

    `conv2d_grad` reads `Output@GRAD`, the gradient of what `conv2d` writes as `Output`.
    """
    backward: dict[Op, list[Op]] = {}
    for op in graph.ops:
        if op.type.endswith("_grad"):
            forward = _forward_of(graph, op)
            if forward is not None:
                backward.setdefault(forward, []).append(op)
    return backward


def _forward_of(graph: Graph, gradient: Op) -> Op | None:
    forward_type = gradient.type.removesuffix("_grad")
    for slot, variables in gradient.inputs.items():
        if not slot.endswith("@GRAD"):
            continue
        for var in variables:
            name = var.name.partition("@GRAD")[0]
            for version in graph.versions(name) if name in graph else ():
                if version.producer is not None and version.producer.type == forward_type:
                    return version.producer
    return None
