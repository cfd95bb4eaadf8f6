"""What a target will do with a model, before any training is spent on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qcc.backends.assumed import SCHEME, assume_frozen
from qcc.backends.deploy.form import for_target
from qcc.backends.deploy.passes.quantize_outputs import QuantizeOutputs
from qcc.backends.deploy.placement import Placement
from qcc.errors import TargetError
from qcc.model import Model
from qcc.passes.instruments import OpCount
from qcc.passes.manager import PassManager
from qcc.quantization import state
from qcc.targets.table import Target


@dataclass(frozen=True)
class Report:
    """`frozen`, `quantized`, `dynamic`: see `Assumed`; `formed`: the model as the target wants it; `notes`:
    what the passes for the target said."""

    frozen: Model
    formed: Model
    placement: Placement
    quantized: bool
    dynamic: bool
    notes: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """What to tell the user."""
        if not self.quantized:
            yield f"the model is float; what follows is for the scheme {SCHEME}."
        yield from self.placement.lines()
        yield from self.notes
        if self.dynamic:
            yield "its activations' scales are measured at every run: fix them with `qcc freeze --calibrate`."


def check(model: Model, target: Target) -> Report:
    """Bring a model, in any form, into the form for a target, without writing anything.

    What has not happened yet is assumed: see `assume_frozen`. Raises TargetError for a model that has nothing
    to quantize, and what `for_target` raises.
    """
    if state(model.graph) == "qdq":
        model = PassManager.parse("freeze,prune").run(model)
    assumed = assume_frozen(model)
    if state(assumed.model.graph) == "float":
        raise TargetError(f"{target.name}: the model has nothing to quantize: {' '.join(assumed.notes)}")
    counts = OpCount()
    formed, placement = for_target(assumed.model, target, instruments=(counts,))
    # Of a float model nothing is measured yet: what quantizes it for the target measures these scales, too.
    unsaid = () if assumed.quantized else (QuantizeOutputs.name,)
    told = (change.result.notes for change in counts.changes if change.name not in unsaid)
    notes = tuple(note for each in told for note in each)
    return Report(assumed.model, formed, placement, assumed.quantized, assumed.dynamic, notes)
