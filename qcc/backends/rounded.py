"""What a target's engine rounds of a model, as a model that Paddle computes."""

from __future__ import annotations

from collections.abc import Mapping

from qcc.backends.deploy.form import for_target
from qcc.backends.onednn_rounding import as_onednn_rounds
from qcc.backends.onnx.form import prepare
from qcc.model import Model
from qcc.quantization import state
from qcc.targets.table import Target


def as_rounded(model: Model, target: Target | None, scales: Mapping[str, float] | None = None) -> Model:
    """A frozen model that rounds where, and as finely as, the target's engine does by its file; a float model
    is itself, and so is one for no target. `scales`: as in `qcc.backends.onnx.form.prepare`.

    Raises what that and `qcc.backends.deploy.form.for_target` raise.
    """
    if target is None or state(model.graph) == "float":
        return model
    if target.checked_in == "onnx":
        return prepare(model, target, scales or {}).model
    formed, _ = for_target(model, target)
    if target.checked_in == "openvino":
        return formed
    return Model(as_onednn_rounds(formed.graph, target.int8_ops), formed.provenance)
