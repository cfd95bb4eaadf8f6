"""What of a network stays float while it is trained quantized, told before it is trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatchcase

import qcc
from qcc._paddle import VarType, paddle
from qcc.errors import ConfigError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.manager import PassManager
from qcc.passes.quantizable import KINDS, operands
from qcc.passes.transform import SKIPPED
from qcc.quantization import quantized_op
from qcc.shown import counted
from qcc.train.config import QuantizationStrategy
from qcc.train.models.network import Network
from qcc.train.programs.scheme import check_choice, transform_pass
from qcc.train.programs.weights import initialise

# Ops with a weight that are never quantized.
_OTHERS = frozenset(
    {"conv3d", "conv3d_transpose", "deformable_conv", "depthwise_conv2d_transpose", "lstm", "gru", "rnn"}
)
_MOST = 4

FloatWeights = Mapping[str, tuple[str, ...]]
"""By the reason for which they stay float, the names of weights."""


def float_weights(network: Network, strategy: QuantizationStrategy) -> FloatWeights:
    """The weights of a network that its strategy does not quantize, but for those that it is to leave.

    Raises ConfigError where nothing is quantized at all, and for names that `check_choice` refuses;
    PassError for what cannot be quantized as the strategy says.
    """
    check_choice(network.test, strategy)
    scope = paddle.static.Scope()
    initialise(network, scope, seed=0)
    model = qcc.from_program(network.test, scope, network.test_feeds, network.outputs, for_test=True)
    graph = PassManager((transform_pass(strategy),)).run(model).graph
    found = _by_reason(graph, strategy)
    if not any(quantized_op(graph, op) is not None for op in graph.ops):
        told = shown(found) or "there is no layer with a weight but for those that are to stay float"
        raise ConfigError(f"nothing of the network would be quantized: {told}.")
    return found


def shown(weights: FloatWeights) -> str:
    """Names and reasons, in a line; of many names the first ones."""
    parts = []
    for reason, names in weights.items():
        more = len(names) - _MOST
        rest = f" and {counted(more, 'other')}" if more > 0 else ""
        parts.append(f"{', '.join(names[:_MOST])}{rest} ({reason})")
    return "; ".join(parts)


def _touched(op: Op) -> list[Var]:
    return [*op.all_inputs(), *op.all_outputs()]


def _by_reason(graph: Graph, strategy: QuantizationStrategy) -> FloatWeights:
    found = defaultdict[str, dict[str, None]](dict)
    # What is computed of weights alone, with these.
    made: dict[Var, list[Var]] = {}
    for op in graph.ops:
        reads = list(op.all_inputs())
        weights = [[var] if _is_weight(var) else made.get(var) for var in reads]
        of = [one for each in weights if each is not None for one in each]
        if None not in weights:
            made.update(dict.fromkeys(op.all_outputs(), of))
        elif quantized_op(graph, op) is None and not _is_left(op, strategy):
            reason = _why_float(op)
            if reason is not None:
                found[reason].update((var.name, None) for var in of if len(var.shape) > 1)
    return {reason: tuple(names) for reason, names in found.items() if names}


def _is_weight(var: Var) -> bool:
    return var.persistable and var.producer is None


def _is_left(op: Op, strategy: QuantizationStrategy) -> bool:
    """Whether an op is to stay float."""
    of_types = op.type in KINDS and op.type not in strategy.quantize_op_types
    names = [var.name for var in _touched(op)]
    named = any(fnmatchcase(name, pattern) for pattern in strategy.skip_vars for name in names)
    return bool(of_types or named or op.attr(SKIPPED, False))


def _why_float(op: Op) -> str | None:
    """Why an op is not quantized that reads a weight and something else; None for those of other kinds."""
    if op.has_block:
        return "read in a loop or a branch that depends on data"
    if op.type in _OTHERS:
        return f"{op.type} is not quantized"
    if op.type not in KINDS:
        return None
    found = operands(op)
    if found is not None:
        return found.why_not_per_channel()
    if any(var.dtype != VarType.FP32 for var in op.all_inputs()):
        return f"{op.type} of other numbers than float32"
    return f"the weight of {op.type} is computed in every run"
