"""`qcc quantize MODEL --no-slower | --max-latency MS`: the search for layers that stay float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qcc.cli.accurate import COMPARED
from qcc.cli.budget import Wanted, by_shape, open_budget
from qcc.cli.export_onnx import takes_onnx
from qcc.cli.time_budget import Found, WantedTime, search_in_time

if TYPE_CHECKING:
    from qcc.calibrate.accurate.steps import Attempt
    from qcc.calibrate.choose import Quantized
    from qcc.calibrate.collect import Numbered
    from qcc.calibrate.report import Section
    from qcc.cli.accurate import Told
    from qcc.measure.tradeoff.clock import Form
    from qcc.measure.tradeoff.models import FromFloat
    from qcc.measure.tradeoff.search import Quality
    from qcc.model import Model


@dataclass(frozen=True)
class InTime:
    """The budgets of a command line, the target, and the engine that measures."""

    time: WantedTime
    quality: Wanted
    target: str
    engine: str

    def meet(
        self, model: Model, attempt: Attempt, held_back: Sequence[Numbered], folder: Path
    ) -> tuple[Quantized, Found, Section, list[str]]:
        """What meets the budgets or comes nearest: quantized, or the float model; what was found, what the
        report says of it, and notices. `folder`: where values are kept for a run that goes on.

        Raises EngineError when the engine does not run the model.
        """
        from qcc.backends.rounded import as_rounded
        from qcc.calibrate.accurate.judge import Judge
        from qcc.calibrate.choose import Quantized
        from qcc.calibrate.data.batches import spread
        from qcc.calibrate.data.one_sample import one_sample, ordinary
        from qcc.calibrate.memo import Memo
        from qcc.measure.tradeoff.models import BudgetQuality, FromFloat

        models = FromFloat(model, attempt)
        judge = Judge(model, spread(held_back, COMPARED))

        def agreement(candidate: Model) -> float:
            return judge.agreement(as_rounded(candidate, attempt.chosen.plan.table))

        def quality(told: Told) -> Quality:
            return BudgetQuality(open_budget(self.quality, model, held_back, Memo(folder), told), models)

        timed = ordinary(held_back, lambda one: one.read())
        found = search_in_time(
            self.time,
            models,
            self._form(models),
            target=self.target,
            engine=self.engine,
            inputs=one_sample(model, timed.read()),
            source=timed.name,
            agreement=agreement,
            quality=quality if self.quality else None,
            also_wanted=self.quality.record(),
        )
        found.tell()
        quantized = Quantized(model, (), attempt.chosen.notices)
        if not found.is_float:
            quantized = models.attempt(found.floats).freeze()
        return quantized, found, found.section(), [*found.notices(), *by_shape(self.quality, judge)]

    def _form(self, models: FromFloat) -> Form:
        from qcc.measure.tradeoff.forms import LITE, lite_form, onnx_form, paddle_form
        from qcc.targets.table import find_target

        if self.target == LITE:
            return lite_form(x86_int8=True)
        table = find_target(self.target)
        if not takes_onnx(self.target):
            return paddle_form(table, self.engine)
        return onnx_form(table, self.engine, models.scales, cut=None)


def budgets_in_time(time: WantedTime, quality: Wanted, target: str | None, effort: str) -> InTime | None:
    """The budgets, where there is one of time.  Raises what `WantedTime.check` raises."""
    return InTime(time, quality, str(target), time.check(target, effort, onnx=False)) if time else None
