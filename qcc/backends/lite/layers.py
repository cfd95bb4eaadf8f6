"""A file for x86 cut apart where it quantizes: whether each of its layers computes what Paddle's does.

In a deep network one value on a rounding boundary moves all later layers. Here each layer starts from the
integers that Paddle has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qcc._paddle import VarType
from qcc.backends.agreement import Distance, distances
from qcc.backends.apart import ONE_OP
from qcc.backends.cuts import QUANTIZES
from qcc.backends.lite.file import write_naive_buffer
from qcc.backends.lite.passes.round import ROUNDING_SHIFT
from qcc.backends.lite.runtime import LiteRuntime
from qcc.backends.lite.translate import to_naive_buffer
from qcc.backends.reference import Reference
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var

FAR = Distance(ONE_OP, ONE_OP, ONE_OP)
_FED = ".fed"
# Ops that lowering takes out: what they give is what they are given.
_COPIES = frozenset({"assign", "dropout", "flatten_contiguous_range", "scale"})
# The lowest integer but for quantize_linear, which goes down to -128; and how near to a tie, in steps.
_LOWEST, _NEAR_A_TIE = -127, 1 / 40


@dataclass(frozen=True)
class _Cut:
    """Where a graph quantizes: Paddle's op; and in the lowered graph the floats that are quantized, their
    integers, what these stand for, and the step between two of them."""

    quantize: Op
    source: str
    integers: str
    dequantized: Var
    step: np.float32

    @property
    def theirs(self) -> str:
        """Paddle's integers."""
        return self.quantize.output("Out" if "Out" in self.quantize.outputs else "Y").name


def first_wrong_layer(reference: Reference, lowered: Graph, folder: Path) -> str | None:
    """What is wrong with the first layer of a lowered graph that is wrong on equal inputs; None when there is
    none.

    `lowered` is spent by this. Raises LiteRuntimeError.
    """
    cuts = list(_cuts(reference.graph, lowered))
    made = variables_of_both(reference.graph, lowered)
    integers = reference.values([cut.theirs for cut in cuts])
    feeds = _feed_dequantized(lowered, cuts, integers)
    lowered.fetches = (*made, *(cut.source for cut in cuts), *(cut.integers for cut in cuts))
    fed = {
        feed: np.asarray(values, np.float32) * cut.step
        for feed, values, cut in zip(feeds, integers, cuts, strict=True)
    }
    found = run_lowered(lowered, folder, {**reference.sample.inputs, **fed})
    for (name, op), distance in zip(
        made.items(), distances(found[: len(made)], reference.values(tuple(made))), strict=True
    ):
        if not distance.within(FAR):
            return f"on equal inputs the {op.type} of {name!r} is {distance}"
    quantized = found[len(made) :]
    floats, ours = quantized[: len(cuts)], quantized[len(cuts) :]
    for cut, values, left, right in zip(cuts, floats, integers, ours, strict=True):
        apart = _apart(values / cut.step, np.asarray(left), right)
        if apart:
            return f"{apart} integers of {cut.source!r} differ from Paddle's by more than a tie allows"
    return None


def variables_of_both(model: Graph, lowered: Graph) -> dict[str, Op]:
    """The floats that a model and its lowered graph compute, with the lowered ops that do, in order.

    What nothing reads, such as the XShape of a reshape, need not have a value.
    """
    return {
        var.name: op
        for op in lowered.ops
        for var in op.all_outputs()
        if var.name in model
        and len(model.versions(var.name)) == 1
        and model.var(var.name).producer is not None
        and var.dtype == model.var(var.name).dtype == VarType.FP32
        and (var.consumers or var.name in lowered.fetches)
    }


def run_lowered(lowered: Graph, folder: Path, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Write a lowered graph into a folder, and run it.  Raises LiteRuntimeError."""
    with LiteRuntime(write_lowered(lowered, folder)) as runtime:
        return runtime.run(inputs)


def write_lowered(lowered: Graph, folder: Path) -> Path:
    """Write a lowered graph into a folder; the file."""
    file = folder / "lowered.nb"
    with file.open("wb") as stream:
        write_naive_buffer(to_naive_buffer(lowered), stream)
    return file


def _apart(positions: np.ndarray, theirs: np.ndarray, ours: np.ndarray) -> int:
    """How many integers differ by more than one, or other than at a tie."""
    left, right = (np.maximum(np.ravel(found).astype(np.int64), _LOWEST) for found in (theirs, ours))
    positions = np.abs(positions.ravel())
    tie = np.abs(positions - np.floor(positions) - 0.5) <= _NEAR_A_TIE
    off = np.abs(left - right)
    return int(np.count_nonzero((off > 1) | ((off == 1) & ~tie)))


def _cuts(model: Graph, lowered: Graph) -> Iterator[_Cut]:
    by_source = {found[0]: found for found in _quantizing(lowered)}
    for op in model.ops:
        if op.type in QUANTIZES and not op.input("X").persistable:
            name = _source(op.input("X"), by_source)
            if name is not None:
                yield _Cut(op, *by_source.pop(name))


def _quantizing(graph: Graph) -> Iterator[tuple[str, str, Var, np.float32]]:
    """As in `_Cut`: source, integers, dequantized, step. Lowering quantizes by a calib op, or by several that
    scale, clip and round."""
    for op in graph.ops:
        if op.type == "calib" and op.output("Out").dtype == VarType.INT8:
            integers, source, step = op.output("Out"), op.input("Input"), op.attr("scale")
            readers = [reader for reader in integers.consumers if reader.type == "calib"]
        elif op.type == "scale" and op.attr("bias") == -ROUNDING_SHIFT:
            integers, source = op.output("Out"), _scaled(op)
            readers = list(integers.consumers)
            step = readers[0].attr("scale") if readers else 0.0
        else:
            continue
        if len(readers) == 1:
            yield source.name, integers.name, readers[0].output("Out"), np.float32(step)


def _scaled(op: Op) -> Var:
    """What is quantized: three ops in front of the one that takes the shift back."""
    for _ in range(3):
        before = op.input("X").producer
        assert before is not None
        op = before
    return op.input("X")


def _source(var: Var, known: Mapping[str, object]) -> str | None:
    """The variable's name, or that of what it is a copy of, where lowering has taken the copy out."""
    while var.name not in known:
        if var.producer is None or var.producer.type not in _COPIES:
            return None
        var = var.producer.input("X")
    return var.name


def _feed_dequantized(graph: Graph, cuts: list[_Cut], integers: list[np.ndarray]) -> list[str]:
    """Let what reads a dequantized activation read a feed instead; the feeds, in the order of the cuts. What
    a variable inside of a model is declared as need not be the size that it has."""
    feeds = []
    for cut, values in zip(cuts, integers, strict=True):
        fed = graph.add_var(cut.dequantized.name + _FED, "float32", np.shape(values))
        graph.replace_uses(cut.dequantized, fed)
        feeds.append(fed.name)
    graph.feeds += tuple(feeds)
    return feeds
