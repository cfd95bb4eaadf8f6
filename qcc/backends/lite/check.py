"""Whether a model can be deployed with Paddle Lite, and how much of it will run in int8."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qcc.backends.assumed import SCHEME, assume_frozen
from qcc.backends.lite.export import GUARANTEE, export
from qcc.backends.lite.file import read_naive_buffer
from qcc.backends.lite.passes.kernels import KERNEL_ATTR
from qcc.model import Model
from qcc.passes import PassManager
from qcc.passes.instruments import OpCount
from qcc.passes.unpack import Unpack
from qcc.passes.unquantizable import never_quantized
from qcc.quantization import state
from qcc.shown import listed
from qcc.targets.lite import Arch, find_kernel


@dataclass(frozen=True)
class Report:
    """A model on a device: its kernels, and those of them that compute in int8, each with its number.

    `notes` say what a user should know; `quantized` is False when quantization was only assumed.
    """

    arch: Arch
    quantized: bool
    kernels: dict[str, int]
    int8: dict[str, int]
    notes: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """What to tell the user."""
        yield f"every op has a kernel of Paddle Lite on {self.arch}: {listed(self.kernels)}."
        if not self.quantized:
            yield f"the model is float; what follows is for the scheme {SCHEME}."
        yield f"in int8: {listed(self.int8)}."
        yield from self.notes


def check(model: Model, arch: Arch) -> Report:
    """Export a model, in any form, to a file that is thrown away.

    What has not happened yet is assumed: a float model is quantized with a usual scheme, a transformed one
    frozen, and scales that are not known yet are set to 1.

    Raises PassError with all ops that have no kernel, or whatever else stands in the way of `export`.
    """
    notes: list[str] = []
    model = PassManager((Unpack(),)).run(model) if state(model.graph) == "weight-only" else model
    assumed = assume_frozen(model)
    if assumed.dynamic:
        notes.append("its activations' scales are measured at every run: export it with --calibrate DATA.")
    counts = OpCount()
    with tempfile.TemporaryDirectory(prefix="qcc-") as folder:
        file = Path(folder) / "model.nb"
        saved = export(assumed.model, file, arch=arch, check=False, instruments=(counts,))
        written = read_naive_buffer(file)
    notes += [note for change in counts.changes for note in change.result.notes]
    notes += [f"{found.outcome}." for found in saved.checks if found.what == GUARANTEE]
    notes += [f"warning: {found}." for found in saved.warnings]
    never = never_quantized(assumed.model.graph)
    notes += [] if never is None else [never]
    found = [kernel for op in written.ops if (kernel := find_kernel(op.text(KERNEL_ATTR)))]
    kernels = [kernel for kernel in found if kernel.op not in ("feed", "fetch")]
    return Report(
        arch,
        assumed.quantized,
        Counter(kernel.op for kernel in kernels),
        Counter(kernel.op for kernel in kernels if kernel.precision == "int8" and kernel.op != "calib"),
        tuple(notes),
    )
