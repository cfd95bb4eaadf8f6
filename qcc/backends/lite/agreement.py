"""Whether Paddle Lite's x86 runtime computes from a file what the model says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from qcc.backends import fluid
from qcc.backends.again import Outcome, run_both, with_other_size
from qcc.backends.agreement import Distance, distances, furthest
from qcc.backends.apart import wider
from qcc.backends.judge import all_within, is_far, see_movements
from qcc.backends.lite.layers import FAR, first_wrong_layer, run_lowered, variables_of_both, write_lowered
from qcc.backends.lite.runtime import LiteRuntime
from qcc.backends.reference import Reference, reference
from qcc.backends.report import Check
from qcc.backends.samples import Feed, feeds_of
from qcc.ir.graph import Graph
from qcc.model import Model
from qcc.numerics import abs_max, dequantize_weight, quantize_weight
from qcc.passes.quantizable import KINDS
from qcc.passes.unpack import Unpack
from qcc.quantization import state, stored_form

X86_RUNTIME = "Paddle Lite's x86 runtime"


def run_and_compare(
    model: Model,
    file: Path,
    data: Mapping[str, np.ndarray] | None,
    lower: Callable[[Model], Model],
    weight_only: Literal[8, 16] | None,
) -> list[Check]:
    """Run a file for x86 and the model that it is of, on data or on made-up inputs; the first check is of
    these.

    `lower` makes of a model what was written to the file. Raises GraphError when the model does not run on
    the inputs, PaddleError when Paddle does not run it at all, LiteRuntimeError when Paddle Lite does not.
    """
    with tempfile.TemporaryDirectory(prefix="qcc-") as name:
        folder = Path(name)
        found = reference_of(model, data, folder, feeds=feeds_of(model))

        def judged(reference: Reference, outputs: list[np.ndarray]) -> Outcome:
            return _Comparison(reference, lower, folder).outcome(outputs, weight_only)

        with LiteRuntime(_with_heads(found, file, lower, folder)) as runtime:
            both = run_both(found, runtime.run)
        outcome = judged(found, both.outputs)
        check = Check(X86_RUNTIME, outcome.words, outcome.right)
        return with_other_size(check, found, both, judged) if outcome.right else [check]


def _with_heads(found: Reference, file: Path, lower: Callable[[Model], Model], folder: Path) -> Path:
    """The file, or, where a reference compares other variables than it fetches, its twin that fetches
    those."""
    if found.names == found.graph.fetches:
        return file
    with LiteRuntime(file) as runtime:
        runtime.run(found.sample.inputs)
    return write_lowered(_lowered(found, lower), folder)


def _lowered(found: Reference, lower: Callable[[Model], Model]) -> Graph:
    graph = found.graph.copy()
    graph.fetches = found.names
    return lower(Model(graph)).graph


def reference_of(
    model: Model, data: Mapping[str, np.ndarray] | None, folder: Path, *, feeds: Sequence[Feed] = ()
) -> Reference:
    """See `qcc.backends.reference`; the files lie in a folder."""
    graph = model.graph.copy()
    Unpack().apply(graph)
    runnable = Model(graph)
    saved = fluid.save(runnable, folder, stored_form(graph), None, None, False)
    params = saved.files[1] if len(saved.files) > 2 else None
    return reference(runnable, saved.files[0], params, data, feeds=feeds)


@dataclass(frozen=True)
class _Comparison:
    reference: Reference
    lower: Callable[[Model], Model]
    folder: Path

    def outcome(self, outputs: list[np.ndarray], weight_only: Literal[8, 16] | None) -> Outcome:
        found = self.reference.distances(outputs)
        worst, on = furthest(*found), f"on {self.reference.sample.source}"
        if not any(output.size for output in self.reference.outputs):
            return Outcome(True, f"the model gives nothing {on}, so that nothing is compared")
        rough = [] if weight_only is None else self._without_bits(weight_only)
        words = f"{worst} {on}"
        right = self._within(found, rough)
        if not right:
            see_movements(self.reference)
            right = self._within(found, rough)
            words += ", as the model is in Paddle's own kernels" if right else ""
        if right and not (self._rounds and is_far(found)):
            return Outcome(True, words)
        where = self._first_wrong()
        if where is None and self._rounds:
            return Outcome(True, f"{worst} {on}, from ties alone: on equal inputs each layer is right")
        return Outcome(False, f"{worst} {on}" + ("" if where is None else f"; {where}"))

    @property
    def _rounds(self) -> bool:
        """Whether activations are rounded, so that ties may move what is right."""
        return state(self.reference.graph) != "float"

    def _within(self, found: Sequence[Distance], rough: Sequence[Distance]) -> bool:
        return all_within(found, wider(self.reference.limits(), rough, self.reference.outputs))

    def _first_wrong(self) -> str | None:
        lowered = _lowered(self.reference, self.lower)
        if self._rounds:
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
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            found = reference_of(Model(graph), self.reference.sample.inputs, Path(folder))
        return self.reference.distances(found.outputs)
