"""What this machine's processor is, and what it has for products of 8-bit integers."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcc.targets.table import Target

NO_VNNI = "this processor is not known to have VNNI"

_CPUINFO = Path("/proc/cpuinfo")
# Linux's names of the instructions that int8 kernels are made of, the oldest first; below AVX-VNNI and
# AVX512-VNNI, kernels of x86 sum products of bytes in 16 bits.
_INT8 = {
    "avx2": "AVX2",
    "avx512bw": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni_int8": "AVX-VNNI-INT8",
    "amx_int8": "AMX-INT8",
    "asimd": "NEON",
    "asimddp": "NEON dot products",
    "i8mm": "NEON int8 matrix products",
}


def processor() -> str:
    """The processor's name, as the system tells it."""
    return next(_lines("model name"), "") or platform.processor() or platform.machine()


def cpu_flags() -> frozenset[str]:
    """What this processor can do, by Linux's names; empty where the system does not tell."""
    flags = next(_lines("flags"), "") or next(_lines("Features"), "")
    return frozenset(flags.split())


def has_vnni() -> bool:
    """Whether products of bytes are summed without saturation here."""
    return bool(cpu_flags() & {"avx512_vnni", "avx_vnni"})


def lacks(target: Target) -> str | None:
    """Why this processor does not compute rightly what is written for a target; None where it does."""
    if target.vnni and not has_vnni():
        return f"{NO_VNNI}, for which it is written"
    return None


def int8_instructions() -> list[str]:
    """The instructions of this processor that int8 kernels are made of, the oldest first."""
    flags = cpu_flags()
    return [name for flag, name in _INT8.items() if flag in flags]


def _lines(key: str) -> Iterator[str]:
    """The values of a key, one for each core."""
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                yield value.strip()
