"""A model as it is to stand in an ONNX file: which form, and where its integers are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qcc.backends.deploy.form import for_target
from qcc.backends.deploy.passes.quantize_outputs import QuantizeOutputs
from qcc.backends.deploy.passes.unclipped_sums import UnclippedSums
from qcc.backends.deploy.points import inherited_scales, pair_of, points
from qcc.errors import TargetError
from qcc.model import Model
from qcc.passes.base import Pass
from qcc.passes.instruments import OpCount, Verification
from qcc.passes.manager import PassManager
from qcc.passes.unpack import Unpack
from qcc.quantization import state
from qcc.targets.table import OnnxForm, Target

_FLOAT, _INTEGERS = "fold-constants,prune,mul-to-matmul", ",fold-bn,integer-weights"


@dataclass(frozen=True)
class Prepared:
    """`model`: as it is translated, float, in QDQ form or with integer weights alone; `before`: what it was
    made of, as Paddle runs it; `lines`: what a user should hear of what runs how."""

    model: Model
    before: Model
    lines: tuple[str, ...]


def prepare(
    model: Model, target: Target, scales: Mapping[str, float], *, vnni: bool, weight_only: bool = False
) -> Prepared:
    """Bring a float, frozen or QDQ model into the form that the target's engine wants.

    `scales`: of variables that `unmeasured` names; `vnni`: the processor of the target has VNNI.
    Raises TargetError for other models, PassError when a pass refuses.
    """
    form = onnx_form(target)
    model = _frozen(model)
    present = state(model.graph)
    if present in ("float", "weight-only"):
        pipeline = _FLOAT + (_INTEGERS if weight_only or present == "weight-only" else "")
        return Prepared(PassManager.parse(pipeline).run(model), _unpacked(model), ())
    if weight_only:
        raise TargetError(
            f"the model is {present}, whose weights are integers already: leave out --weight-only."
        )
    counts = OpCount()
    passes = [step for step in _passes(form, scales) if not (vnni and isinstance(step, UnclippedSums))]
    prepared, placement = for_target(model, target, (Verification(), counts), passes)
    notes = [note for change in counts.changes for note in change.result.notes]
    lacks_scales = any(one.name == QuantizeOutputs.name and one.result.notes for one in counts.changes)
    condition = "where the scale behind it is measured, too" if lacks_scales else ""
    return Prepared(prepared, _unpacked(model), (*placement.lines(condition), *notes))


def unmeasured(model: Model, target: Target) -> tuple[str, ...]:
    """The variables of a model whose scales its target wants, and that nobody has measured: to be measured on
    data, and given to `prepare`. Raises what `prepare` raises."""
    model = _frozen(model)
    if state(model.graph) in ("float", "weight-only"):
        return ()
    found: dict[str, None] = {}
    passes: list[Pass] = []
    for step in _passes(onnx_form(target), {}):
        if isinstance(step, QuantizeOutputs):
            graph = for_target(model, target, pipeline=passes)[0].graph
            inherited = inherited_scales(graph)
            wanted = [var for var in points(graph, step.where) if pair_of(var) is None]
            found.update((var.name, None) for var in wanted if var not in inherited)
        passes.append(step)
    return tuple(found)


def onnx_form(target: Target) -> OnnxForm:
    """How a target wants its ONNX files.  Raises TargetError for one that reads none."""
    if target.onnx is None:
        raise TargetError(f"{target.engine} ({target.name}) reads no ONNX files.")
    return target.onnx


def _passes(form: OnnxForm, scales: Mapping[str, float]) -> list[Pass]:
    entries = tuple(f"{name}={scale!r}" for name, scale in scales.items())
    return [
        replace(step, scales=entries) if isinstance(step, QuantizeOutputs) else step
        for step in PassManager.parse(form.pipeline).passes
    ]


def _frozen(model: Model) -> Model:
    """The frozen model that one in QDQ form was made of; others as they are."""
    return PassManager.parse("freeze,prune").run(model) if state(model.graph) == "qdq" else model


def _unpacked(model: Model) -> Model:
    return PassManager((Unpack(),)).run(model)
