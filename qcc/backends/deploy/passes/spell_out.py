"""spell-out: ops that paddle2onnx lacks, or takes for something else, in ops that it knows."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.deploy.spellings import FOR_ONEDNN, OF_FILTERS, SPELLINGS
from qcc.backends.deploy.spellings.step import Steps, output_slot
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import free_prefix, remove_op, set_attrs


@options(frozen=True, config=OPTIONS)
class SpellOut(EnginePass):
    """Write ops that paddle2onnx does not translate, or translates wrongly, in others that give the same.

    Before, with x of [-1, 8, 12, 12]:

        a = channel_shuffle(X=x) {groups=2}
        b = softplus(X=x) {beta=2.0, threshold=20.0}

    After:

        a.split = reshape2(X=x) {shape=[0, 2, 4, 12, 12]}
        a.turned = transpose2(X=a.split) {axis=[0, 2, 1, 3, 4]}
        a = reshape2(X=a.turned) {shape=[0, 8, 12, 12]}
        b.scaled = scale(X=x) {scale=2.0}
        b.soft = softplus(X=b.scaled) {beta=1.0, threshold=20.0}
        b = scale(X=b.soft) {scale=0.5}

    `qcc.backends.deploy.spellings` has them all, and how each is written: deformable convolutions, say, as
    maps that are sampled where the kernel looks. Of the sizes of a map that is shuffled one may be open;
    those of a map that is sampled may not, which raises PassError.

    With reader=onednn, for Paddle's oneDNN kernels: dropout that is a factor in test runs, and nearest pixels
    of maps that do not grow by a whole factor.
    """

    name: ClassVar[str] = "spell-out"

    reader: Literal["paddle2onnx", "onednn"] = "paddle2onnx"

    def apply(self, graph: Graph) -> PassResult:
        spell = _for_paddle2onnx if self.reader == "paddle2onnx" else _for_onednn
        found = {op: steps for op in graph.ops if (steps := spell(graph, op)) is not None}
        for op, steps in found.items():
            _write(graph, op, steps)
        return PassResult(bool(found))


def _for_paddle2onnx(graph: Graph, op: Op) -> Steps | None:
    if op.type in OF_FILTERS and _is_alone(graph, op):
        filters = graph.weights.get(op.input("Filter").name)
        return None if filters is None else OF_FILTERS[op.type](op, filters)
    if op.type not in SPELLINGS or not _is_alone(graph, op):
        return None
    steps = SPELLINGS[op.type](op)
    own = set(op.all_inputs())
    others = [
        read
        for step in steps or ()
        for read in step.reads.values()
        if isinstance(read, Var) and read not in own
    ]
    # What was read before the op may have been written over since.
    return steps if all(graph.var(var.name) is var for var in others) else None


def _for_onednn(graph: Graph, op: Op) -> Steps | None:
    return FOR_ONEDNN[op.type](op) if op.type in FOR_ONEDNN and _is_alone(graph, op) else None


def _is_alone(graph: Graph, op: Op) -> bool:
    """Whether of an op one output alone is read, of a type that is known."""
    out = op.output(output_slot(op))
    beside = (var for var in op.all_outputs() if var is not out)
    if out.dtype not in (VarType.FP32, VarType.BOOL):
        return False
    return not any(var.consumers or var.name in graph.fetches for var in beside)


def _write(graph: Graph, op: Op, steps: Steps) -> None:
    slot = output_slot(op)
    out, known = op.output(slot), dict[str, Var]()
    prefix = free_prefix(graph, out.name, [f".{step.name}" for step in steps[:-1]])
    for step in steps[:-1]:
        shape = out.shape if step.shape is None else step.shape
        known[step.name] = graph.add_var(f"{prefix}.{step.name}", step.dtype, shape, step.value)
    known[steps[-1].name] = out
    graph.set_output(op, slot, [])
    for step in steps:
        if step.value is None:
            inputs = {
                slot: known[read] if isinstance(read, str) else read for slot, read in step.reads.items()
            }
            outputs = {step.slot: known[step.name]}
            made = graph.add_op(step.type, inputs, outputs, {"op_role": 0}, before=op)
            set_attrs(graph, made, step.attrs)
    remove_op(graph, op, keep=out)
