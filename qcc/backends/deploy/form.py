"""The form of a frozen model that a target's engine computes rightly."""

from __future__ import annotations

from collections.abc import Sequence

from qcc.backends.deploy.placement import Placement, place
from qcc.backends.layout import is_convolution, refuse_channels_last
from qcc.errors import PassError, TargetError
from qcc.model import Model
from qcc.passes.base import Pass
from qcc.passes.frozen import frozen_ops
from qcc.passes.instruments import Instrument, Verification
from qcc.passes.manager import PassManager
from qcc.passes.observers import drop_observers
from qcc.passes.out_thresholds import forget_scales
from qcc.passes.static_scales import is_dynamic
from qcc.passes.unpack import Unpack
from qcc.passes.unquantize import Unquantize
from qcc.quantization import state
from qcc.targets.table import Target


def for_target(
    model: Model,
    target: Target,
    instruments: Sequence[Instrument] = (Verification(),),
    pipeline: Sequence[Pass] | None = None,
) -> tuple[Model, Placement]:
    """A frozen model as the target's engine is to load it, and what runs there how.

    Ops that the engine does not run in int8 lose their quantization, or compute in float from the integers
    in the file, as the table says; then follows `pipeline`, or that of the table. The numbers stay those that
    were frozen, up to the rounding of activations. Scales that ops note of what they write are gone: what
    an engine rounds between ops the table alone says, and oneDNN would round there as well.

    Raises TargetError when the model is not frozen, has scales that are measured at every run, or ops that
    the target refuses; PassError when a pass refuses.
    """
    model = without_observers(model)
    present = state(model.graph)
    if present not in ("frozen", "int8"):
        raise TargetError(
            f"the form for {target.name} is made of a frozen model, and this one is {present}:"
            f" {_way(present)}."
        )
    if is_dynamic(model.graph):
        raise TargetError(
            f"{target.name} takes fixed activation scales, and the model measures its own at every run"
            " (activation type abs_max): fix them with `qcc freeze --calibrate`."
        )
    refuse_channels_last(model.graph, target.engine, is_convolution)
    placement = place(model.graph, target)
    off = placement.unquantized()
    passes = [Unpack(), *([Unquantize(outputs=off)] if off else ())]
    left = len(list(frozen_ops(model.graph))) > len(off)
    chosen = PassManager.parse(target.pipeline).passes if pipeline is None else pipeline
    steps = [step for step in chosen if left or step.name != "qdq"]
    try:
        formed = PassManager((*passes, *steps)).run(model, instruments)
    except PassError as error:
        raise PassError(f"{target.name}: {error}") from error
    forget_scales(formed.graph)
    return formed, placement


def without_observers(model: Model) -> Model:
    """A copy of the model without the ops that observe only."""
    model = model.copy()
    drop_observers(model.graph)
    return model


def _way(present: str) -> str:
    if present == "float":
        return "quantize it first, by `qcc quantize MODEL --data PHOTOS`, or by training it"
    if present == "transformed":
        return "freeze it first"
    if present == "weight-only":
        return "turn its weights back with `qcc apply -p unpack`, and quantize that float model"
    return "start from the frozen model that it was made of, which qcc writes beside it, in float/"
