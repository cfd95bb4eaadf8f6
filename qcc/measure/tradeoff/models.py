"""The candidates: a quantized model in which some layers have gone back to float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from qcc.calibrate.accurate.budget import Budget
from qcc.calibrate.accurate.steps import Attempt
from qcc.errors import ModelFormatError
from qcc.ir.graph import Graph
from qcc.measure.tradeoff.groups import Floats, layers_of
from qcc.model import Model
from qcc.passes.frozen import frozen_ops
from qcc.passes.manager import PassManager
from qcc.passes.prune import Prune
from qcc.passes.unpack import Unpack
from qcc.passes.unquantize import Unquantize
from qcc.quantization import state


class Models(Protocol):
    """`graph`: the float network; `layers`: what is quantized, by weights, in its order; `scales`: of the
    activations that are."""

    graph: Graph
    layers: list[str]
    scales: dict[str, float]

    def model(self, floats: Floats) -> Model:
        """The model in which these layers are float: frozen, or float where they are all."""
        ...


class FromFloat:
    """Made of a float model: what goes back to float has the weights that it had."""

    def __init__(self, model: Model, attempt: Attempt) -> None:
        plan = attempt.chosen.plan
        self._float, self._attempt = model, attempt
        self.graph = plan.folded.graph
        self.layers = layers_of(self.graph, plan.weights)
        self.scales = {one.name: one.scale for one in attempt.chosen.choices}

    def attempt(self, floats: Floats) -> Attempt:
        """The attempt in which these layers, and not all, stay float."""
        return self._attempt.leaving(self._in_order(floats)) if floats else self._attempt

    def model(self, floats: Floats) -> Model:
        """See `Models`."""
        if len(floats) == len(self.layers):
            return self._float
        return self.attempt(floats).freeze().model

    def _in_order(self, floats: Floats) -> list[str]:
        return [layer for layer in self.layers if layer in floats]


class FromFrozen:
    """Made of a quantized model, frozen or in QDQ form: what goes back to float keeps the weights that were
    trained and rounded.

    Raises ModelFormatError for a model that is neither.
    """

    def __init__(self, model: Model) -> None:
        present = state(model.graph)
        if present == "qdq":
            model = PassManager.parse("freeze,prune").run(model)
        elif present not in ("frozen", "int8"):
            raise ModelFormatError(
                f"the model is {present}, and time budgets are about quantized ones: quantize it first, by"
                " `qcc quantize MODEL --data PHOTOS`, which takes them, too."
            )
        self._frozen = PassManager((Unpack(),)).run(model)
        graph = self._frozen.graph
        found = list(frozen_ops(graph))
        self._outputs = [(one.weight.name, one.dequantize.output("Out").name) for one in found]
        self.layers = list(dict.fromkeys(weight for weight, _ in self._outputs))
        starts = [(one.operands.data.name, one.quantize.inputs.get("InScale", ())) for one in found]
        self.scales = {
            name: float(graph.weights[scales[0].name].reshape(-1)[0])
            for name, scales in starts
            if scales and scales[0].name in graph.weights
        }
        self.graph = self.model(frozenset(self.layers)).graph

    def model(self, floats: Floats) -> Model:
        """See `Models`."""
        if not floats:
            return self._frozen
        outputs = tuple(output for weight, output in self._outputs if weight in floats)
        return PassManager((Unquantize(outputs=outputs), Prune())).run(self._frozen)


@dataclass(frozen=True)
class BudgetQuality:
    """How good candidates are, by a budget."""

    budget: Budget
    models: FromFloat

    @property
    def wanted(self) -> float:
        """What the metric has to reach."""
        return self.budget.wanted

    @property
    def of_float(self) -> float:
        """The metric of the float model."""
        return self.budget.of_float

    def value(self, floats: Floats) -> float:
        """See `Quality`."""
        return self.budget.value(self.models.attempt(floats), ())

    def errors(self) -> dict[str, float]:
        """See `Quality`."""
        attempt = self.models.attempt(frozenset())
        return {one.weight: one.error for one in self.budget.ranked(attempt, self.models.layers)}
