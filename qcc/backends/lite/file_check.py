"""Whether a file, of qcc or of Paddle Lite's own optimizer, computes on a device what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qcc.backends.lite.describe import describe
from qcc.backends.lite.file import GARBAGE, parse_naive_buffer
from qcc.backends.lite.guarantees import promised_rows, recorded_arch, relied_on
from qcc.backends.lite.verifier import arch_of, complaints_about, faults_of
from qcc.shown import listed
from qcc.targets.lite import Arch


@dataclass(frozen=True)
class FileReport:
    """A file on a device.

    Its processor, its ops that compute in int8, each with its number, what goes wrong there, what may, and
    what an application must keep to.
    """

    arch: Arch
    int8: dict[str, int]
    wrong: tuple[str, ...]
    warnings: tuple[str, ...]
    guarantees: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """What to tell the user."""
        yield f"a file for {self.arch}."
        yield f"in int8: {listed(self.int8)}."
        yield from (f"{sentence}." for sentence in self.guarantees)
        yield from (f"warning: {sentence}." for sentence in self.warnings)
        yield from (f"wrong: {sentence}." for sentence in self.wrong)


def check_file(file: Path) -> FileReport:
    """Read a file and hold it against what is known of the kernels that it names.

    Raises ModelFormatError when it is no naive buffer, or is damaged.
    """
    parsed = parse_naive_buffer(file)
    rows, arch = promised_rows(file), recorded_arch(file) or arch_of(parsed.buffer)
    wrong = [complaint for complaint in parsed.complaints if complaint != GARBAGE]
    wrong += complaints_about(parsed.buffer, rows, arch, strict=False)
    return FileReport(
        arch,
        Counter(op.kernel.partition("/")[0] for op in describe(parsed.buffer).int8_ops),
        tuple(wrong),
        () if wrong else tuple(faults_of(parsed.buffer, rows, arch, "warned")),
        () if wrong else tuple(relied_on(parsed.buffer, arch).sentences()),
    )
