"""`qcc export MODEL --no-slower | --max-latency MS`: the search for layers that go back to float."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qcc.cli.accurate import COMPARED
from qcc.cli.calibration import CalibrationData
from qcc.cli.stdout import echo
from qcc.cli.time_budget import CURVE, DRAWING, Found, WantedTime, search_in_time
from qcc.errors import ConfigError

if TYPE_CHECKING:
    from qcc.backends.onnx.export import Cut
    from qcc.backends.samples import Sample
    from qcc.calibrate.accurate.judge import Judge
    from qcc.measure.tradeoff.clock import Form
    from qcc.measure.tradeoff.models import FromFrozen
    from qcc.model import Model
    from qcc.targets.table import Target


@dataclass(frozen=True)
class ExportInTime:
    """The budget of a command line, the engine that measures, and the data, where there is some."""

    wanted: WantedTime
    target: str
    engine: str
    data: CalibrationData | None

    def for_lite(self, model: Model) -> tuple[Model, Found]:
        """What is to be written for Paddle Lite on x86, and what was found."""
        from qcc.measure.tradeoff.forms import lite_form
        from qcc.measure.tradeoff.models import FromFrozen

        models = FromFrozen(model)
        return self._search(models, lite_form(x86_int8=True), lambda candidate: candidate)

    def for_onnx(
        self, model: Model, target: Target, measured: dict[str, float], *, cut: Cut | None
    ) -> tuple[Model, dict[str, float], Found]:
        """What is to be written as ONNX file, the scales that were known of it, and what was found;
        `measured`: scales that the target wants besides."""
        from qcc.backends.rounded import as_rounded
        from qcc.measure.tradeoff.forms import onnx_form
        from qcc.measure.tradeoff.models import FromFrozen

        models = FromFrozen(model)
        scales = {**models.scales, **measured}
        form = onnx_form(target, self.engine, scales, cut)
        chosen, found = self._search(models, form, lambda candidate: as_rounded(candidate, target, scales))
        return chosen, models.scales, found

    def _search(
        self, models: FromFrozen, form: Form, rounded: Callable[[Model], Model]
    ) -> tuple[Model, Found]:
        """`rounded`: a candidate with all that its file rounds."""
        everything = frozenset(models.layers)
        of_float = models.model(everything)
        sample, judge = self._sample(of_float), self._judge(of_float)
        found = search_in_time(
            self.wanted,
            models,
            form,
            target=self.target,
            engine=self.engine,
            inputs=sample.inputs,
            source=sample.source,
            agreement=None if judge is None else lambda one: judge.agreement(rounded(one)),
        )
        found.tell()
        for notice in found.notices():
            echo(f"notice: {notice}")
        return models.model(found.floats), found

    def _sample(self, model: Model) -> Sample:
        """What the model is timed on: a sample of the data, or what is made up."""
        from qcc.backends import save
        from qcc.backends.samples import Sample
        from qcc.measure.inputs import find_inputs
        from qcc.measure.subjects import find_subjects

        if self.data is not None:
            batch = self.data.one_batch(model)
            if batch is not None:
                return Sample(batch, "data")
        with tempfile.TemporaryDirectory(prefix="qcc-inputs-") as folder:
            save(model, Path(folder) / "model", check=False)
            return find_inputs(find_subjects([Path(folder) / "model"], Path(folder)), None, 1)

    def _judge(self, model: Model) -> Judge | None:
        """What compares with the float model on the data."""
        from qcc.calibrate.accurate.judge import Judge
        from qcc.calibrate.collect import numbered
        from qcc.calibrate.data.batches import spread

        if self.data is None:
            return None
        batches = list(numbered(self.data.batches(model)))
        return Judge(model, spread(batches, COMPARED))


def export_in_time(
    wanted: WantedTime,
    target: str,
    data: CalibrationData | None,
    *,
    weight_only: bool = False,
    x86_int8: bool = True,
) -> ExportInTime | None:
    """The budget, where there is one.  Raises ConfigError for options that do not go together, and what
    `WantedTime.check` raises."""
    if not wanted:
        return None
    engine = wanted.check(target, None, onnx=True)
    if weight_only:
        raise ConfigError("with --weight-only no layer runs in int8: there is no choice for a time budget.")
    if not x86_int8:
        raise ConfigError("without --x86-int8 no layer runs in int8: give it, too, for a time budget.")
    return ExportInTime(wanted, target, engine, data)


def curve_files(output: Path) -> tuple[Path, Path]:
    """Where the curve and its drawing go, beside the file."""
    return output.with_name(f"{output.name}.{CURVE}"), output.with_name(f"{output.name}.{DRAWING}")
