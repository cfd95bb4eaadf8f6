"""What Paddle Lite runs: its kernels, read from `lite_kernels.tsv`.

The table holds the registrations of release 2.13 for ARM and x86 CPUs, and those for any CPU ("host"),
which both fall back to: op, precision and layout under which the kernel is filed, its alias, and the
element types of its inputs and outputs. The runtime takes the kernel that a file names without a look at
the tensors: a kernel for another element type returns garbage.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from qcc.targets.lite_arm import arm_table

Arch = Literal["arm", "x86"]
ARCHS: tuple[Arch, ...] = ("arm", "x86")
LITE_TARGETS: Mapping[str, Arch] = {f"lite-{arch}": arch for arch in ARCHS}

# The runtime's own numbers, from `paddle_place.h`.
_TARGETS = {"host": 1, "x86": 2, "arm": 4}
_PRECISIONS = {
    "float": 1,
    "int8": 2,
    "int32": 3,
    "any": 4,
    "fp16": 5,
    "bool": 6,
    "int64": 7,
    "int16": 8,
    "uint8": 9,
    "fp64": 10,
}
_LAYOUTS = {"nchw": 1, "any": 2, "nhwc": 3}

# Which of several kernels that fit is taken, as Paddle Lite's optimizer does.
_PREFERRED = ("int8", "float", "int32", "int64", "any")

PRECISION_OF_DTYPE = {
    "float32": "float",
    "int8": "int8",
    "int32": "int32",
    "float16": "fp16",
    "bool": "bool",
    "int64": "int64",
    "int16": "int16",
    "uint8": "uint8",
    "float64": "fp64",
}
"""The table's names of element types, by qcc's."""

Precisions = Mapping[str, Iterable[str]]
"""Slot of an op -> element types of the variables in it."""


@dataclass(frozen=True)
class Kernel:
    """One kernel: where it runs, how it is filed, and the element types that it takes and gives."""

    target: str
    op: str
    precision: str
    layout: str
    alias: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def identifier(self) -> str:
        """The string by which a file names the kernel, such as `conv2d/def/4/1/1`."""
        place = (_TARGETS[self.target], _PRECISIONS[self.precision], _LAYOUTS[self.layout])
        return "/".join([self.op, self.alias, *map(str, place)])

    def fits(self, inputs: Precisions, outputs: Precisions) -> bool:
        """True when the kernel takes these inputs and gives these outputs."""
        return _fit(self.inputs, inputs) and _fit(self.outputs, outputs)


def _fit(declared: Mapping[str, str], flowing: Precisions) -> bool:
    for slot, precisions in flowing.items():
        accepted = declared.get(slot, "any")
        if accepted != "any" and any(precision != accepted for precision in precisions):
            return False
    return True


@cache
def kernel_table() -> Mapping[str, tuple[Kernel, ...]]:
    """Op type -> its kernels."""
    text = files("qcc.targets").joinpath("lite_kernels.tsv").read_text()
    table: dict[str, list[Kernel]] = {}
    for line in text.splitlines()[1:]:
        target, op, precision, layout, alias, inputs, outputs = line.split("\t")
        kernel = Kernel(target, op, precision, layout, alias, _arguments(inputs), _arguments(outputs))
        table.setdefault(op, []).append(kernel)
    return {op: tuple(kernels) for op, kernels in table.items()}


def _arguments(text: str) -> dict[str, str]:
    return dict(argument.split(":") for argument in text.split())


@cache
def kernels_for(op_type: str, arch: Arch) -> tuple[Kernel, ...]:
    """The kernels of an op that a device runs, the preferred first: its own before those for any CPU."""
    found = [kernel for kernel in kernel_table().get(op_type, ()) if kernel.target in (arch, "host")]

    def rank(kernel: Kernel) -> tuple[bool, int]:
        known = kernel.precision in _PREFERRED
        return kernel.target == "host", _PREFERRED.index(kernel.precision) if known else len(_PREFERRED)

    return tuple(sorted(found, key=rank))


def pick_kernel(op_type: str, arch: Arch, inputs: Precisions, outputs: Precisions) -> Kernel | None:
    """The first kernel that takes and gives these element types; None when there is none."""
    return next((kernel for kernel in kernels_for(op_type, arch) if kernel.fits(inputs, outputs)), None)


def alternatives(op_type: str, arch: Arch) -> str:
    """What there is instead of an op without a kernel, as the end of a sentence."""
    kernels = kernels_for(op_type, arch)
    if kernels:
        kinds = dict.fromkeys(_takes(kernel) for kernel in kernels if kernel.precision != "fp16")
        return f"its kernels take {'; or '.join(kinds)}"
    other: Arch = "x86" if arch == "arm" else "arm"
    if kernels_for(op_type, other) and not (other == "arm" and arm_table().is_useless(op_type)):
        return f"there is one on {other}"
    runnable = [op for op in kernel_table() if kernels_for(op, arch)]
    near = difflib.get_close_matches(op_type, runnable, n=1, cutoff=0.7)
    return f"the nearest op with one is {near[0]}" if near else "no op with a kernel is like it"


def _takes(kernel: Kernel) -> str:
    return ", ".join(f"{slot} {precision}" for slot, precision in kernel.inputs.items())


def find_kernel(identifier: str) -> Kernel | None:
    """The kernel that a file names; None for a name that is not in the table."""
    op = identifier.partition("/")[0]
    found = (kernel for kernel in kernel_table().get(op, ()) if kernel.identifier == identifier)
    return next(found, None)
