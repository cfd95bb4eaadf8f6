"""transform-outputs: fake quantization of what an engine rounds between quantized ops."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, Pass, PassResult, check_free
from qcc.passes.fake_quant import BETWEEN, QUANTIZE_OPS, Quantizer, insert_pair, pair_names
from qcc.passes.out_thresholds import note_scale
from qcc.passes.rewrite import remove_op
from qcc.passes.round_trip import round_trips
from qcc.passes.scales import observed
from qcc.passes.transform import ActivationType, backward_ops, present_pair

_ENTRY = re.compile(r"(?P<name>.+)=(?P<bits>[2-9]|1[0-6])")


@options(frozen=True, config=OPTIONS)
class TransformOutputs(Pass):
    """Insert fake quantize and dequantize behind variables that a target's engine rounds.

    Before:

        y = elementwise_add(X=a, Y=b)
        z = hard_swish(X=y)

    After, with outputs=["y=8"]:

        y = elementwise_add(X=a, Y=b)
        y.quantized, y@scale = fake_quantize_moving_average_abs_max(X=y, InScale=y@scale) {between_ops=true}
        y.quantized.dequantized = fake_dequantize_max_abs(X=y.quantized, Scale=y@scale)
        z = hard_swish(X=y.quantized.dequantized)

    `outputs` has an entry `variable=bits` for each: 9 for values that cannot be negative, whose half that is
    not negative is that of uint8. Where an earlier `transform` has quantized the variable, as the input of
    an op with a weight, all others that read it read the same rounded values.

    Gradients go straight through, as those of `transform`. `freeze` takes these pairs away again, and notes
    their scales as `out-thresholds` does: a frozen model rounds what all engines round.
    """

    name: ClassVar[str] = "transform-outputs"

    outputs: tuple[str, ...] = ()
    activation_type: ActivationType = "moving_average_abs_max"
    window_size: int = 10000
    moving_rate: float = 0.9

    def apply(self, graph: Graph) -> PassResult:
        wanted = {_var(graph, name): bits for name, bits in map(_entry, self.outputs)}
        order: dict[Op | None, int] = {op: number for number, op in enumerate(graph.ops)}
        backward = backward_ops(graph)
        readers = {var: _readers(var, order) for var in wanted}
        pairs = {var: pair for var in wanted if (pair := present_pair(var)) is not None}
        made = {var: bits for var, bits in wanted.items() if var not in pairs and readers[var]}
        quantizers = {var: self._quantizer(bits) for var, bits in made.items()}
        for var, quantizer in quantizers.items():
            check_free(graph, readers[var][0], pair_names(var, quantizer, for_test=graph.for_test))
        modified = False
        for var, quantizer in quantizers.items():
            pairs[var] = insert_pair(graph, var, quantizer, before=readers[var][0])
        for var, pair in pairs.items():
            if readers[var]:
                graph.set_flag(pair.quantize, BETWEEN, True)
            for reader in readers[var]:
                modified = True
                for op in (reader, *backward.get(reader, ())):
                    graph.replace_input(op, var, pair.dequantized)
        return PassResult(modified)

    def _quantizer(self, bits: int) -> Quantizer:
        return Quantizer(self.activation_type, bits, None, self.window_size, self.moving_rate)


def settle_outputs(graph: Graph) -> None:
    """Undo in a test graph what `TransformOutputs` did, and note the scales that were observed."""
    for quantize in [op for op in graph.ops if op.attr(BETWEEN, False)]:
        graph.remove_attr(quantize, BETWEEN)
        pair = present_pair(quantize.input("X"))
        if pair is None:
            continue
        if "InScale" in quantize.inputs and observed(graph, quantize):
            scale = graph.weights[quantize.input("InScale").name]
            note_scale(graph, pair.source.name, float(scale.reshape(-1)[0]))
        for op in list(pair.dequantized.consumers):
            if round_trips(op) is None:
                graph.replace_input(op, pair.dequantized, pair.source)
        if not pair.dequantized.consumers:
            remove_op(graph, pair.dequantize)
            remove_op(graph, quantize)


def _entry(text: str) -> tuple[str, int]:
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise PassError(f"{text!r} in outputs is not of the form variable=bits, with 2 to 16 bits.")
    return match["name"], int(match["bits"])


def _var(graph: Graph, name: str) -> Var:
    if name not in graph or graph.var(name).producer is None:
        raise PassError(f"outputs has an entry for {name!r}, which no op of the graph writes.")
    return graph.var(name)


def _readers(var: Var, order: Mapping[Op | None, int]) -> list[Op]:
    """The forward ops that read a variable as it is, in order."""
    found = [op for op in var.consumers if not op.type.endswith("_grad") and op.type not in QUANTIZE_OPS]
    return sorted(found, key=lambda op: order[op])
