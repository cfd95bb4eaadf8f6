"""What a backend tells about a model that it has written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qcc.files import waiting
from qcc.targets.table import WITH_VNNI

PADDLE_INFERENCE = "paddle.inference"
"""What the checks of Paddle's own engines begin with."""


@dataclass(frozen=True)
class Check:
    """One thing that was checked about written files, and what came out, as a sentence.

    `good` is False where the files are what they should be, but something that may run them does not
    run them well; whatever is wrong with the files themselves is an error instead.
    """

    what: str
    outcome: str
    good: bool = True

    def __str__(self) -> str:
        return f"{self.what}: {self.outcome}"


@dataclass(frozen=True)
class Saved:
    """The files of a saved model, and what was checked about them."""

    form: str
    files: tuple[Path, ...]
    checks: tuple[Check, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the files, also while they wait for the end of `qcc.files.one_change`; the record beside
        them does not count."""
        return sum(waiting(file).stat().st_size for file in self.files if file.suffix != ".json")

    @property
    def warnings(self) -> tuple[Check, ...]:
        """The checks that a user must hear of."""
        return tuple(check for check in self.checks if not check.good)

    def warnings_for(self, target: str | None) -> tuple[Check, ...]:
        """Those that concern who deploys to a target, None for any: what Paddle Inference computes wrong is
        told where it may run the files."""
        if target is None or target.removesuffix(WITH_VNNI) == "paddle-x86":
            return self.warnings
        return tuple(check for check in self.warnings if not check.what.startswith(PADDLE_INFERENCE))
