"""What an application must keep to with a file: what is to be the same in all runs of a predictor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qcc.backends.lite.file import NaiveBuffer
from qcc.backends.lite.file_op import FileOp, Program
from qcc.backends.lite.rules.arm import findings
from qcc.backends.lite.rules.view import Rows
from qcc.backends.lite.rules.x86 import keeps_first_size
from qcc.record import record_beside
from qcc.targets.lite import LITE_TARGETS, Arch

_OF_SIZES = frozenset({"winograd-hard-swish"})


@dataclass(frozen=True)
class Guarantees:
    """What may change between the runs of one predictor ("open"), and what may not ("fixed").

    `rows`: the number of rows that products see, that is the batch or the length of a sequence; `sizes`: the
    sizes of feature maps.
    """

    rows: Literal["fixed", "open"]
    sizes: Literal["fixed", "open"]

    def sentences(self) -> Iterator[str]:
        """What an application must know."""
        if self.rows == "fixed":
            yield "all runs of one predictor must have the same batch, and sequences of the same length"
        if self.sizes == "fixed":
            yield "all runs of one predictor must have images of the same size"

    def content(self) -> dict[str, Any]:
        """What the record holds."""
        return {"rows": self.rows, "sizes": self.sizes}


def relied_on(buffer: NaiveBuffer, arch: Arch) -> Guarantees:
    """What a file that is right would be wrong without."""
    program = Program(buffer.program.blocks[0], buffer.params)
    views = [FileOp(op, program) for op in buffer.ops]
    if arch == "x86":
        return Guarantees("open", "fixed" if any(map(keeps_first_size, views)) else "open")
    met = {finding.fault.when for view in views for finding in findings(view, "open", "refused")}
    return Guarantees("fixed" if met else "open", "fixed" if met & _OF_SIZES else "open")


def promised_rows(file: Path) -> Rows:
    """Whether a file was written for a fixed number of rows, as the record beside it says.

    Without a record of this file, what its declared shapes say.
    """
    record = record_beside(file)
    lite = None if record is None else record.lite
    return "fixed" if lite is not None and lite.get("rows") == "fixed" else "declared"


def recorded_arch(file: Path) -> Arch | None:
    """The processor that a file was written for, as the record beside it says; None without a record."""
    record = record_beside(file)
    return None if record is None else LITE_TARGETS.get(record.form)
