"""What makes the processes of a group train one network: collectives inside the training program.

After every step every persistable variable has equal values in all processes: weights and the optimizer's
state, since all apply the same mean gradients; the moving statistics of batch norms, which are averaged;
and what quantizers have measured, of which the largest counts, as if one process had seen the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from qcc._paddle import paddle
from qcc.train.parallel.group import COLLECTIVE

_STATISTICS = ("MeanOut", "VarianceOut")
_MEASUREMENTS = ("OutScale", "OutScales", "OutState", "OutAccum")
_PREFIX = "c_allreduce_"


def mean_gradients(block: Any, gradients: Sequence[Any], processes: int) -> list[Any]:
    """Append to a `paddle.static` block what averages gradients over all processes; returns the means.

    All of them travel in one message, so that there is no order of messages to disagree about.
    """
    return _reduced(block, "sum", gradients, 1 / processes)


def share_state(program: Any, processes: int) -> None:
    """Append to a training program what gives all processes the same statistics and measurements."""
    block = program.global_block()
    with paddle.static.program_guard(program), paddle.utils.unique_name.guard("parallel/"):
        for kind, names, factor in (
            ("sum", _statistics(block), 1 / processes),
            ("max", _measurements(block), 1.0),
        ):
            variables = [block.var(name) for name in names]
            if variables:
                for variable, value in zip(variables, _reduced(block, kind, variables, factor), strict=True):
                    paddle.assign(value, variable)


def _statistics(block: Any) -> list[str]:
    """Moving means and variances of the batch norms that change them."""
    return [
        op.output(slot)[0]
        for op in block.ops
        if op.type == "batch_norm" and not op.attr("use_global_stats") and not op.attr("is_test")
        for slot in _STATISTICS
    ]


def _measurements(block: Any) -> list[str]:
    """State of the quantizers of activations; weights, and so their scales, are equal in all processes."""
    return [
        op.output(slot)[0]
        for op in block.ops
        if op.type.startswith("fake_quantize_") and not block.var(op.input("X")[0]).persistable
        for slot in _MEASUREMENTS
        if slot in op.output_names and op.output(slot) and block.var(op.output(slot)[0]).persistable
    ]


def _reduced(block: Any, kind: str, variables: Sequence[Any], factor: float) -> list[Any]:
    """Variables like `variables`, float32, reduced over all processes and multiplied by `factor`."""
    before = [op.output("Out")[0] for op in block.ops if op.type.startswith(_PREFIX)]
    # An element of the last message goes along, so that this one is sent after it in every process.
    after = [paddle.slice(block.var(name), [0], [0], [1]) for name in before[-1:]]
    flat = paddle.concat([*(paddle.reshape(variable, [-1]) for variable in variables), *after])
    reduced = block.create_var(
        name=paddle.utils.unique_name.generate(f"reduced_{kind}"), dtype=flat.dtype, shape=flat.shape
    )
    block.append_op(
        type=f"{_PREFIX}{kind}", inputs={"X": [flat]}, outputs={"Out": [reduced]}, attrs=COLLECTIVE
    )
    sizes = [prod(variable.shape) for variable in variables]
    scaled = reduced if factor == 1 else paddle.scale(reduced, factor)
    parts = paddle.split(scaled, [*sizes, *(1 for _ in after)])[: len(variables)]
    return [paddle.reshape(part, variable.shape) for part, variable in zip(parts, variables, strict=True)]
