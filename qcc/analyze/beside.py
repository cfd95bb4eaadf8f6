"""The page that `qcc quantize MODEL` leaves beside its report: what is known without running much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from qcc.analyze.page import write_page
from qcc.analyze.parts import Values
from qcc.analyze.run import Sample, Wanted, analyze
from qcc.analyze.twins import twins
from qcc.calibrate.plan import Plan
from qcc.calibrate.report import told
from qcc.model import Model

PAGE = "report.html"
_BATCHES = 4


def write_beside(
    folder: Path,
    title: str,
    plan: Plan,
    quantized: Model,
    batches: Sequence[Values],
    data: dict[str, Any],
) -> None:
    """Write the page of a model that was just quantized. On a few of the batches each op is measured; what it
    does to the network's output is left to `qcc analyze`. Nothing is written where there is no batch.

    Raises OutputError, and MissingDependencyError where nothing lays the network out.
    """
    if not batches:
        return
    found, journal = analyze(
        Path(title).name,
        twins(quantized, plan.folded),
        Sample([partial(_itself, batch) for batch in batches[:_BATCHES]], ""),
        folder / ".analysis",
        Wanted(0, _silent),
        facts={"model": title, "data": told(data)},
    )
    write_page(found, folder / PAGE)
    journal.remove()


@contextmanager
def _silent(name: str, total: int) -> Iterator[Any]:
    yield lambda done: None


def _itself(batch: Values) -> Values:
    return batch
