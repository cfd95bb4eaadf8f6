"""The page that `qcc quantize MODEL` leaves beside its report: what is known without running much."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qcc.analyze.findings import Analysis
from qcc.analyze.page import write_page
from qcc.analyze.page.frame import PAGE
from qcc.analyze.run import Phase, Sample, Wanted, analyze
from qcc.analyze.twins import twins
from qcc.calibrate.data.batches import digest_of
from qcc.calibrate.parts import Values
from qcc.calibrate.plan import Plan
from qcc.calibrate.report import told
from qcc.errors import DataError, MissingDependencyError
from qcc.files import waiting
from qcc.model import Model

_JOURNAL = ".analysis"
_BATCHES = 2


def write_beside(
    folder: Path,
    title: str,
    plan: Plan,
    quantized: Model,
    batches: Sequence[Values],
    data: dict[str, Any],
    phase: Phase,
) -> str:
    """Write the page of a model that was just quantized, and say where it is, or why there is none. On a few
    of the batches each op is measured; what it does to the network's output is left to `qcc analyze`.
    `phase`: see `Wanted`.

    Raises OutputError.
    """
    # Inside a change, with the page.
    journal = waiting(folder / _JOURNAL)
    if not batches:
        return f"no {PAGE}: the data can be gone through only once; `qcc analyze` writes one."
    try:
        found = _measured(journal, title, plan, quantized, batches, data, phase)
        write_page(found, folder / PAGE)
    except (DataError, MissingDependencyError) as error:
        return f"no {PAGE}: {error}"
    finally:
        journal.unlink(missing_ok=True)
    return f"{folder / PAGE} has what each op loses; `qcc analyze` tells what that does to the output."


def _measured(
    journal: Path,
    title: str,
    plan: Plan,
    quantized: Model,
    batches: Sequence[Values],
    data: dict[str, Any],
    phase: Phase,
) -> Analysis:
    chosen = batches[:_BATCHES]
    found, _ = analyze(
        Path(title).name,
        twins(quantized, plan.folded),
        Sample([partial(_itself, batch) for batch in chosen], digest_of(chosen)),
        journal,
        Wanted(0, phase),
        facts={"model": title, "data": told(data)},
    )
    return found


def _itself(batch: Values) -> Values:
    return batch
