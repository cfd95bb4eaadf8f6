"""Whether Paddle Lite's x86 runtime computes from a file what the model says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from qcc.backends import fluid
from qcc.backends.agreement import Distance, distances, furthest
from qcc.backends.apart import wider
from qcc.backends.judge import all_within, see_movements
from qcc.backends.lite.layers import FAR, first_wrong_layer, run_lowered, variables_of_both
from qcc.backends.lite.runtime import LiteRuntime
from qcc.backends.reference import Reference, reference
from qcc.ir.graph import Graph
from qcc.model import Model
from qcc.numerics import abs_max, dequantize_weight, quantize_weight
from qcc.passes.quantizable import KINDS
from qcc.passes.unpack import Unpack
from qcc.quantization import state, stored_form


@dataclass(frozen=True)
class Outcome:
    """Whether the file is right, in words, with what it was run on."""

    right: bool
    words: str


def run_and_compare(
    model: Model,
    file: Path,
    data: Mapping[str, np.ndarray] | None,
    lower: Callable[[Model], Model],
    weight_only: Literal[8, 16] | None,
) -> Outcome:
    """Run a file for x86 and the model that it is of, on data or on made-up inputs.

    `lower` makes of a model what was written to the file. Raises GraphError when the model does not run on
    the inputs, PaddleError when Paddle does not run it at all, LiteRuntimeError when Paddle Lite does not.
    """
    with tempfile.TemporaryDirectory(prefix="qcc-") as name:
        folder = Path(name)
        return _Comparison(reference_of(model, data, folder), file, lower, folder).outcome(weight_only)


def reference_of(model: Model, data: Mapping[str, np.ndarray] | None, folder: Path) -> Reference:
    graph = model.graph.copy()
    Unpack().apply(graph)
    runnable = Model(graph)
    saved = fluid.save(runnable, folder, stored_form(graph), None, None, False)
    params = saved.files[1] if len(saved.files) > 2 else None
    return reference(runnable, saved.files[0], params, data)


@dataclass(frozen=True)
class _Comparison:
    reference: Reference
    file: Path
    lower: Callable[[Model], Model]
    folder: Path

    def outcome(self, weight_only: Literal[8, 16] | None) -> Outcome:
        found = self.reference.distances(self._outputs())
        worst, on = furthest(*found), f"on {self.reference.sample.source}"
        if not any(output.size for output in self.reference.outputs):
            return Outcome(True, f"the model gives nothing {on}, so that nothing is compared")
        rough = [] if weight_only is None else self._without_bits(weight_only)
        if all_within(found, wider(self.reference.limits(), rough, self.reference.outputs)):
            return Outcome(True, f"{worst} {on}")
        see_movements(self.reference)
        if all_within(found, wider(self.reference.limits(), rough, self.reference.outputs)):
            return Outcome(True, f"{worst} {on}, as the model is in Paddle's own kernels")
        where = self._first_wrong()
        if where is None and state(self.reference.graph) != "float":
            return Outcome(True, f"{worst} {on}, from ties alone: on equal inputs each layer is right")
        return Outcome(False, f"{worst} {on}" + ("" if where is None else f"; {where}"))

    def _outputs(self) -> list[np.ndarray]:
        """What the reference has, from the file, or, where that fetches other variables, from its twin."""
        with LiteRuntime(self.file) as runtime:
            outputs = runtime.run(self.reference.sample.inputs)
        if self.reference.names == self.reference.graph.fetches:
            return outputs
        return run_lowered(self._lowered(), self.folder, self.reference.sample.inputs)

    def _lowered(self) -> Graph:
        graph = self.reference.graph.copy()
        graph.fetches = self.reference.names
        return self.lower(Model(graph)).graph

    def _first_wrong(self) -> str | None:
        lowered = self._lowered()
        if state(self.reference.graph) != "float":
            return first_wrong_layer(self.reference, lowered, self.folder)
        made = variables_of_both(self.reference.graph, lowered)
        lowered.fetches = tuple(made)
        found = run_lowered(lowered, self.folder, self.reference.sample.inputs)
        for (name, op), distance in zip(
            made.items(), distances(found, self.reference.values(tuple(made))), strict=True
        ):
            if not distance.within(FAR):
                return f"the first op that differs is the {op.type} of {name!r}, {distance}"
        return None

    def _without_bits(self, bits: int) -> list[Distance]:
        """How far the model moves when its weights are rounded as they are stored, or nearly so: lowering
        folds other ops into them first."""
        graph = self.reference.graph.copy()
        for op in graph.ops:
            kind = KINDS.get(op.type)
            if kind is None or not op.input(kind.weight).persistable:
                continue
            name = op.input(kind.weight).name
            value = graph.weights[name]
            scale = abs_max(value, kind.axis)
            rounded = quantize_weight(value, scale, bits, kind.axis)
            graph.weights[name] = dequantize_weight(rounded, scale, bits, kind.axis)
        folder = self.folder / "rounded"
        folder.mkdir()
        rounded_model = reference_of(Model(graph), self.reference.sample.inputs, folder)
        return self.reference.distances(rounded_model.outputs)
