"""Reading mutants in processes with limits: a crash or an endless loop is seen, and costs one mutant."""

from __future__ import annotations

import os
import random
import resource
import signal
import struct
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from readers import Reader

from qcc.errors import QccError

_ROOT = Path(__file__).parents[2]
_SECONDS, _MEMORY = 20, 3 << 30
_NUMBER = struct.Struct("<I")
_SHM = Path("/dev/shm")
SCRATCH = _SHM if os.access(_SHM, os.W_OK) else None
"""Where mutants lie: in memory, where there is room, since nothing there waits for a disk."""


@dataclass(frozen=True)
class Failure:
    """A mutant that was not read, or refused in a sentence: its number, and what happened."""

    reader: str
    number: int
    what: str


def mutant(reader: Reader, seed: int, number: int) -> tuple[int, bytes]:
    """Which of a reader's files is damaged, and how: always the same."""
    source = random.Random(f"{reader.name} {seed} {number}")
    file = source.randrange(len(reader.files))
    return file, source.choice(reader.mutations)(reader.files[file].read_bytes(), source)


def failures(reader: Reader, seed: int, end: int, begin: int = 0) -> Iterator[Failure]:
    """Read the mutants from `begin` to before `end`, in as few processes as crash."""
    while begin < end:
        last, found = _run(reader, seed, begin, end)
        yield from found
        begin = last + 1


def _run(reader: Reader, seed: int, begin: int, end: int) -> tuple[int, list[Failure]]:
    """The last mutant that a process came to, and what went wrong."""
    with tempfile.TemporaryFile() as progress, tempfile.TemporaryFile("w+") as told:
        child = os.fork()
        if not child:
            # Whatever happens, this process must not go on with what its parent was doing.
            try:
                _child(reader, seed, begin, end, progress.fileno(), told.fileno())
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        progress.seek(0)
        last = _NUMBER.unpack(progress.read(_NUMBER.size) or _NUMBER.pack(begin))[0]
        told.seek(0)
        found = [
            Failure(reader.name, int(number), what.replace("\\n", "\n"))
            for number, _, what in (line.rstrip("\n").partition(" ") for line in told)
        ]
        code = os.waitstatus_to_exitcode(status)
        if code:
            name = signal.Signals(-code).name if code < 0 else f"code {code}"
            found.append(Failure(reader.name, last, f"the process ended with {name}"))
        return last, found


def _child(reader: Reader, seed: int, begin: int, end: int, progress: int, told: int) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, used + _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as name:
        for number in range(begin, end):
            os.pwrite(progress, _NUMBER.pack(number), 0)
            # Processor time of this mutant alone: SIGXCPU ends the process.
            spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
            resource.setrlimit(resource.RLIMIT_CPU, (int(spent) + _SECONDS, resource.RLIM_INFINITY))
            file, data = mutant(reader, seed, number)
            if what := _read(reader, Path(name), file, data):
                os.write(told, f"{number} {what}\n".encode("utf-8", "backslashreplace"))
    os._exit(0)


def _read(reader: Reader, scratch: Path, file: int, data: bytes) -> str | None:
    """What went wrong, in one line; None when the mutant was read or refused in a sentence."""
    try:
        reader.read(reader.laid_out(scratch, file, data))
    except QccError as error:
        lines = str(error).strip().splitlines()
        return None if lines and str(error).strip() else f"an empty message of {type(error).__name__}"
    except Exception:
        told = (
            traceback.format_exc(limit=-4).strip().replace(f"{_ROOT}/", "").replace(f"{sys.base_prefix}/", "")
        )
        return told.replace("\n", "\\n")
    return None
