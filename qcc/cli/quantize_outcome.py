"""What `qcc quantize MODEL` writes: forms, the file of a target, report and page, as one change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from qcc.cli.accurate import COMPARED, held_back
from qcc.cli.export_onnx import takes_onnx
from qcc.cli.freeze import lines_about
from qcc.cli.own_files import NB, ONNX, OwnFiles, is_page, is_record, is_report
from qcc.cli.progress import progress
from qcc.cli.stdout import echo
from qcc.cli.time_budget import CURVE, DRAWING, Found
from qcc.cli.trained import is_trained

if TYPE_CHECKING:
    import numpy as np

    from qcc.backends.report import Saved
    from qcc.calibrate.choose import Quantized
    from qcc.calibrate.collect import Numbered
    from qcc.calibrate.compare import Agreement
    from qcc.calibrate.data.batches import Batch
    from qcc.calibrate.data.sources import Source
    from qcc.calibrate.plan import Plan
    from qcc.calibrate.report import Section
    from qcc.calibrate.statistics import Statistics


def own_files(timed: bool) -> OwnFiles:
    """The files beside the forms, and what tells those of an earlier run; `timed`: with a budget of time."""
    from qcc.analyze.page.frame import PAGE
    from qcc.calibrate.report import REPORT
    from qcc.record import FILE_NAME

    found = {FILE_NAME: is_record, REPORT: is_report, PAGE: is_page}
    # The drawing is known by what it draws.
    curve = {CURVE: is_record, DRAWING: lambda path: is_record(path.with_name(CURVE))}
    return {**found, **curve} if timed else found


@dataclass
class Outcome:
    """What has come out, as it is written. `found`: what met a budget of time, if there was one; Paddle
    Lite's file for x86 then runs convolutions in int8 where that is exact, as it was timed;
    `params_filename`: of the float model's parameters, where it was given; `told`: the lines to tell when it
    is there, on standard error where the second is True."""

    plan: Plan
    source: Source
    statistics: Statistics
    quantized: Quantized
    output: Path
    sections: Sequence[Section]
    notices: Sequence[str]
    found: Found | None
    params_filename: str | None = None
    told: list[tuple[str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._warnings: list[str] = []
        # Scales alone are chosen of what is quantized.
        self.is_float = not self.quantized.choices

    def write(
        self, target: str | None, model: str, effort: str, calibrator: str, began: float, *, check: bool
    ) -> None:
        """Write all as one change, and tell of it; `began`: when the command did, on the monotonic clock.

        Raises OutputError.
        """
        from qcc.files import one_change

        with one_change(self.output):
            with progress("writing and checking the forms", 1, Console(stderr=True)):
                self._write_forms(target, check=check)
            self._write_story(model, effort, calibrator, target, time.monotonic() - began)
            if self.found is not None:
                self.found.write(self.output / CURVE, self.output / DRAWING)
            self.told += [(line, True) for line in self._left()]
        for line, err in self.told:
            echo(line, err=err)

    def _write_forms(self, target: str | None, *, check: bool) -> None:
        """Write the forms, and the target's file; those for an engine come first, since it may refuse."""
        from qcc.backends.deploy.options import told
        from qcc.targets.lite import LITE_TARGETS
        from qcc.targets.table import find_target

        lite, onnx = target in LITE_TARGETS, takes_onnx(target)
        wanted = self._sample() if check else False
        engine = None if lite or onnx else target
        if self.is_float:
            self._write_float(target, engine, wanted)
        else:
            self._write_quantized(target, engine, wanted)
        if lite and target is not None:
            self._write_lite(target, wanted)
        elif onnx and target is not None:
            self._write_onnx(target, wanted)
        elif target is not None and not self.is_float:
            program = self.output / "qdq" / "model.pdmodel"
            self.told += [(line, False) for line in told(find_target(target), program)]

    def _write_quantized(
        self, target: str | None, engine: str | None, check: bool | Mapping[str, np.ndarray]
    ) -> None:
        from qcc.train.freeze import freeze_to

        for saved in freeze_to(self.quantized.model, self.output, target=engine, check=check):
            self.told += lines_about(saved, target)
            self._note(saved, target)

    def _write_float(
        self, target: str | None, engine: str | None, check: bool | Mapping[str, np.ndarray]
    ) -> None:
        """The float model; also where the engine loads its form from, as that reads it."""
        import qcc
        from qcc.backends.deploy.floats import float_for
        from qcc.targets.table import find_target

        models = {"float": self.quantized.model}
        if engine is not None:
            models["qdq"] = float_for(self.quantized.model, find_target(engine))
        for folder, model in models.items():
            saved = qcc.save(model, self.output / folder, check=check)
            self.told.append((f"saved the float model in {self.output / folder}.", False))
            self._note(saved, target)

    def _left(self) -> Iterator[str]:
        """What of an earlier run stays in the folder, since this one writes nothing in its place."""
        from qcc.analyze.page.frame import PAGE
        from qcc.backends.fluid import FORMS
        from qcc.files import waiting

        ours = [self.output / name for name in (*FORMS, PAGE, CURVE, DRAWING)]
        ours += [file for name in (NB, ONNX) for file in sorted(self.output.glob(f"*/{name}"))]
        for path in ours:
            if path.exists() and not waiting(path).exists():
                yield f"notice: {path} is what an earlier run has left."

    def _write_lite(self, target: str, check: bool | Mapping[str, np.ndarray]) -> None:
        from qcc.backends.lite.export import GUARANTEE, export
        from qcc.targets.lite import LITE_TARGETS

        path = self.output / target / NB
        x86_int8 = self.found is not None and not self.is_float
        saved = export(self.quantized.model, path, arch=LITE_TARGETS[target], x86_int8=x86_int8, check=check)
        self._note(saved, target)
        self.told.append((f"wrote {path}, {self._sizes[target]} bytes.", False))
        # What may not change between runs is wrong there without a word.
        guaranteed = [one.outcome for one in saved.checks if one.what == GUARANTEE]
        self.told += [(f"  {one}.", False) for one in guaranteed]
        self.told += [(f"  warning: {warning}", True) for warning in saved.warnings]
        if guaranteed and (several := self._several_sizes()) is not None:
            self._warnings.append(f"{target}: {guaranteed[0]}, and {several}")
            self.told.append((f"  warning: {several}", True))

    def _several_sizes(self) -> str | None:
        """Inputs of the data that are not of one size, but for the batch, and what to do; None without."""
        sizes: dict[str, set[tuple[int, ...]]] = {}
        for batch in self._some():
            for name, values in batch.items():
                sizes.setdefault(name, set()).add(values.shape[1:])
        for name, found in sizes.items():
            if len(found) > 1:
                first, *_, last = (" x ".join(map(str, size)) for size in sorted(found))
                return (
                    f"the data has {name!r} in several sizes, from {first} to {last}: use a predictor for"
                    " each size, or bring all to one."
                )
        return None

    def _write_onnx(self, target: str, check: bool | Mapping[str, np.ndarray]) -> None:
        """Write the target's file."""
        from qcc.backends.deploy.options import told
        from qcc.backends.onnx.export import export
        from qcc.targets.table import find_target

        model, table = self.quantized.model, find_target(target)
        path = self.output / target / ONNX
        saved = export(model, path, table, check=check)
        self._note(saved, target)
        self.told.append((f"wrote {path}, {self._sizes[target]} bytes.", False))
        self.told += [(f"  {one}" if one.good else f"  warning: {one}", not one.good) for one in saved.checks]
        self.told += [(line, False) for line in told(table, path, onnx=True)]

    def _note(self, saved: Saved, target: str | None) -> None:
        """Keep the size, and what is to be heard of, for the report."""
        self._warnings += [f"{saved.form}: {warning}" for warning in saved.warnings_for(target)]
        self._sizes[saved.files[0].parent.name] = saved.size

    def _sample(self) -> Mapping[str, np.ndarray] | bool:
        """One sample of the data, where it can be read again, to run what is written on."""
        from qcc.calibrate.data.one_sample import one_sample, ordinary

        found = self._used()
        if not found:
            return True
        return one_sample(self.plan.model, ordinary(found, lambda one: one.read()).read())

    def _some(self) -> Iterator[Mapping[str, np.ndarray]]:
        """Batches to compare on, evenly spread."""
        from qcc.calibrate.data.batches import spread

        for batch in spread(self._used(), COMPARED):
            yield batch.read()

    def _used(self) -> list[Numbered]:
        """The batches that were used; none of data that can be gone through only once."""
        from qcc.calibrate.accurate.steps import usable
        from qcc.calibrate.data.batches import Batches

        if not isinstance(self.source.batches, Batches | list):
            return []
        return usable(self.plan.model, self.source.batches, self.statistics)

    def _write_story(
        self, model: str, effort: str, calibrator: str, target: str | None, seconds: float
    ) -> None:
        """Compare with the float model, and tell of all, in the folder and in `told`."""
        from qcc.analyze.beside import write_beside
        from qcc.backends.rounded import as_rounded
        from qcc.calibrate.choose import losing
        from qcc.calibrate.compare import compare_each, noisy
        from qcc.calibrate.quantize import strangers
        from qcc.calibrate.report import REPORT, Story

        compared, seen = self._compared(effort)
        # What the target's engine rounds besides, or more finely, counts in its agreement.
        models = [self.quantized.model]
        if self.plan.table is not None and not self.is_float:
            models.append(as_rounded(self.quantized.model, self.plan.table))
        agreement, *in_target = compare_each(self.plan.model, models, compared)
        of_file = in_target[0] if in_target else []
        sections = [*self.sections, *_in_target(target, of_file)]
        remedy = _remedy(effort, target)
        data = {**self.source.record, "used": self.source.used(len(self.statistics.batches))}
        page = None  # of a float model, which is equal to itself
        if not self.is_float:
            rounded = self.quantized.model
            page = write_beside(self.output, model, self.plan, rounded, compared, data, _phase)
        story = Story(
            model=model,
            quantized=self.quantized,
            effort=effort,
            calibrator=calibrator,
            target=target,
            data=data,
            skipped=list(self.statistics.skipped.values()),
            agreement=agreement,
            compared_on=len(compared),
            compared_seen=seen,
            seconds=seconds,
            sizes=self._sizes,
            warnings=self._warnings,
            notices=[
                *self.notices,
                *losing(self.quantized.choices, remedy),
                *noisy(of_file or agreement, remedy),
                *(() if page is None else page.notices),
                *self.quantized.notices,
                *strangers(self.statistics, self.source.items),
            ],
            sections=sections,
            params_filename=self.params_filename,
        )
        story.write(self.output)
        lines = [*_lines(story.notices, story.skipped)]
        if page is not None:
            lines += [f"against float, on {len(compared)} of the batches{seen}: {one}" for one in agreement]
            lines += [f"{one.title}: {line}" for one in sections[len(self.sections) :] for line in one.lines]
        lines.append(f"{self.output / REPORT} has the rest.")
        if page is not None:
            lines.append(page.line)
        self.told += [(line, False) for line in lines]

    def _compared(self, effort: str) -> tuple[list[Batch], str]:
        """What is compared on, and what weights have seen of it: nothing, where enough was held back."""
        from qcc.calibrate.data.batches import spread

        if effort != "accurate":
            seen = ", most of which weights were trained on" if any(map(is_trained, self.sections)) else ""
            return list(self._some()), seen
        unseen = held_back(self.plan.model, self.source, self.statistics, effort)
        strangers = self.statistics.strangers()
        few = len(unseen) == len([one for one in self.statistics.batches if one not in strangers])
        seen = "which weights were learned from" if few else "none of which was learned from"
        return [batch.read() for batch in spread(unseen, COMPARED)], f", {seen}"


def _in_target(target: str | None, agreement: Sequence[Agreement]) -> Iterator[Section]:
    from qcc.calibrate.report import Section

    if agreement:
        title = f"as {target} rounds it, against float"
        yield Section(title, [str(one) for one in agreement], "in_target", [vars(one) for one in agreement])


def _remedy(effort: str, target: str | None) -> str:
    """What may help where a network loses much."""
    if effort != "calibrated":
        return "Keep what reads it float with --skip-vars, or give a budget."
    tried = "Try --effort accurate, which brings channels to like ranges"
    if target is not None:
        return f"{tried}."
    from qcc.targets.table import known_targets

    free = sorted(name for name, one in known_targets().items() if one.fuses_factors)
    return f"{tried}, or --target {' or '.join(free)} if it runs there, where that costs next to nothing."


def _phase(name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    return progress(f"measuring {name} for the page", total, Console(stderr=True))


def _lines(notices: Sequence[str], skipped: Sequence[str]) -> Iterator[str]:
    yield from (f"notice: {notice}" for notice in notices)
    if skipped:
        yield f"left out {len(skipped)} of the data that could not be read:"
        yield from (f"  {reason}" for reason in skipped)
