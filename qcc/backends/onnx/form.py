"""A model as it is to stand in an ONNX file: which form, and where its integers are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from qcc.backends.deploy.form import for_target, without_observers
from qcc.backends.deploy.passes.bare_nms import BareNms
from qcc.backends.deploy.passes.fold_priors import FoldPriors
from qcc.backends.deploy.passes.output_padding import OutputPadding
from qcc.backends.deploy.passes.quantize_outputs import BITS, QuantizeOutputs
from qcc.backends.deploy.passes.spell_out import SpellOut
from qcc.backends.deploy.passes.uneven_pools import UnevenPools
from qcc.backends.deploy.passes.unsigned_activations import UnsignedActivations
from qcc.backends.deploy.points import inherited_scales, pair_of, points
from qcc.backends.deploy.signs import non_negative
from qcc.backends.layout import is_convolution, refuse_channels_last
from qcc.errors import TargetError
from qcc.ir.nodes import Var
from qcc.model import Model
from qcc.passes.base import Pass
from qcc.passes.channels_first import ChannelsFirst
from qcc.passes.fold_constants import FoldConstants
from qcc.passes.instruments import OpCount, Verification
from qcc.passes.integer_weights import integer_weights
from qcc.passes.manager import PassManager
from qcc.passes.out_thresholds import thresholds
from qcc.passes.transform_outputs import TransformOutputs
from qcc.passes.unpack import Unpack
from qcc.passes.zero_points import UNSIGNED
from qcc.quantization import state
from qcc.targets.table import OnnxForm, Target

_FIRST = PassManager((ChannelsFirst(), BareNms(), FoldPriors(), OutputPadding(), FoldConstants(), SpellOut()))
# The products that it makes are none that could be quantized.
_LAST = PassManager((UnevenPools(),))
_FLOAT, _INTEGERS = "fold-constants,prune,mul-to-matmul", ",fold-bn,integer-weights"


@dataclass(frozen=True)
class Prepared:
    """`model`: as it is translated, float, in QDQ form or with integer weights alone; `before`: what it was
    made of, as Paddle runs it; `same`: whether both are to give the same, since nothing is rounded; `lines`:
    what a user should hear of what runs how."""

    model: Model
    before: Model
    same: bool
    lines: tuple[str, ...]


def prepare(
    model: Model, target: Target, scales: Mapping[str, float], *, weight_only: bool = False
) -> Prepared:
    """Bring a float, frozen or QDQ model into the form that the target's engine wants.

    `scales`: of variables that `unmeasured` names, in place of those that the model notes.
    Raises TargetError for other models, PassError for channels that come last and when a pass refuses.
    """
    form = onnx_form(target)
    given = _frozen(model)
    model = _FIRST.run(given)
    refuse_channels_last(model.graph, target.engine, is_convolution)
    present = state(model.graph)
    if present in ("float", "weight-only"):
        rounded = weight_only or present == "weight-only"
        pipeline = PassManager.parse(_FLOAT + (_INTEGERS if rounded else ""))
        # Where attributes tell what integers stand for, passes would take these for the values.
        source = _unpacked(model) if any(True for _ in integer_weights(model.graph)) else model
        return Prepared(_LAST.run(pipeline.run(source)), _unpacked(given), not rounded, ())
    if weight_only:
        raise TargetError(
            f"the model is {present}, whose weights are integers already: leave out --weight-only."
        )
    counts = OpCount()
    known = thresholds(model.graph) | dict(scales)
    prepared, placement = for_target(model, target, (Verification(), counts), _passes(form, known))
    notes = [note for change in counts.changes for note in change.result.notes]
    lacks_scales = any(one.name == QuantizeOutputs.name and one.result.notes for one in counts.changes)
    condition = "where the scale behind it is measured, too" if lacks_scales else ""
    return Prepared(_LAST.run(prepared), _unpacked(given), False, (*placement.lines(condition), *notes))


def between(model: Model, target: Target) -> dict[str, int]:
    """The variables of a model, besides the inputs of quantized ops, that its target rounds: what residual
    additions read and convolutions write, say, as the target's table wants it; and to how many bits.

    Those that an engine has quantized anyway, as inputs, are among them. Raises what `prepare` raises.
    """
    return _between(model, target, lambda var, inherited: True)


def unmeasured(model: Model, target: Target) -> dict[str, int]:
    """Those of `between` that have no scale from what reads them: to be measured on data, and given to
    `prepare`, whatever the model notes of them. Raises what `prepare` raises."""
    return _between(model, target, lambda var, inherited: pair_of(var) is None and var not in inherited)


def simulating(model: Model, target: Target) -> TransformOutputs | None:
    """The pass that inserts what the target rounds besides into the transformed model that the frozen `model`
    was made of; None where that is nothing. Raises what `prepare` raises."""
    if target.onnx is None or target.checked_in != "onnx":
        return None
    # What is only moved, and then rounded by the same scale, needs no rounding of its own.
    found = _between(model, target, lambda var, inherited: pair_of(var) is not None or var not in inherited)
    entries = tuple(f"{name}={bits}" for name, bits in found.items())
    return TransformOutputs(outputs=entries) if entries else None


def _between(
    model: Model, target: Target, wanted: Callable[[Var, Mapping[Var, float]], bool]
) -> dict[str, int]:
    model = _FIRST.run(_frozen(model))
    if state(model.graph) in ("float", "weight-only"):
        return {}
    found: dict[str, int] = {}
    passes: list[Pass] = []
    steps = _passes(onnx_form(target), {})
    full = any(isinstance(step, UnsignedActivations) and step.grid == "full" for step in steps)
    for step in steps:
        if isinstance(step, QuantizeOutputs):
            graph = for_target(model, target, pipeline=passes)[0].graph
            inherited = inherited_scales(graph)
            unsigned = non_negative(graph) if full else set()
            for var in points(graph, step.where):
                if wanted(var, inherited):
                    found[var.name] = UNSIGNED if var in unsigned else BITS
        passes.append(step)
    return found


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
    """The frozen model that one in QDQ form was made of, others as they are; all without observers."""
    model = without_observers(model)
    return PassManager.parse("freeze,prune").run(model) if state(model.graph) == "qdq" else model


def _unpacked(model: Model) -> Model:
    return PassManager((Unpack(),)).run(model)
