"""Checkpoints: folders that are whole or do not count.

`ROOT/NAME/` is written as `ROOT/.NAME.tmp/`, brought onto the disk, and marked by the file `complete.json`,
which holds the digest of every file: from then on it counts, and not what stood under NAME before, which is
removed to let it take that place. Readers ignore a folder without a marker.
Training state is plain tensors (.npz) and JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from qcc.array_files import write_arrays
from qcc.errors import CheckpointError, OutputError
from qcc.files import atomic_file, clear, sha256, sync, sync_tree, write_json, writing
from qcc.inputs import read_input
from qcc.train.programs.scope import Arrays
from qcc.train.programs.weights import read_arrays

MARKER = "complete.json"
METRICS = "metrics.json"
INTERRUPTED = "interrupted"
_TENSORS, _STATE = "state.npz", "state.json"
_WRITTEN = ".tmp"
# What checkpoints are called; everything else in their folder is somebody else's.
_NAMES = re.compile(rf"0|[1-9][0-9]*|{INTERRUPTED}", re.ASCII)
_LARGEST = 1 << 30


@dataclass(frozen=True)
class Position:
    """What comes next: batch number `batch` of `epoch`; `step` batches have been trained on in all."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


@dataclass
class TrainingState:
    """Everything that a run needs to go on as if it had never stopped.

    `arrays`: every persistable variable of the training program. `sums`: of the running epoch's scores.
    `history`: one record per finished epoch. `settings`: the configuration, to tell what has changed.
    `quantized`: whether quantization has been inserted. `distiller_optimizer`: whether the optimizer's state
    is that of DistillerOptimizer. `steps_per_epoch`: of how many batches `position.batch` are done; 0: not
    told, by an earlier version.
    """

    arrays: Arrays
    position: Position
    quantized: bool = False
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    distiller_optimizer: bool = False
    steps_per_epoch: int = 0

    def write(self, folder: Path) -> None:
        with atomic_file(folder / _TENSORS) as stream:
            write_arrays(stream, self.arrays)
        write_json(folder / _STATE, self.facts())

    @classmethod
    def read(cls, folder: Path) -> TrainingState:
        """Raises CheckpointError when the files are not those that were written, or hold something else."""
        check_digests(folder, (_TENSORS, _STATE))
        facts = read_json(folder / _STATE)
        try:
            facts = _Facts.model_validate(facts).model_dump()
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "its top"
            raise CheckpointError(
                f"{folder / _STATE} is no state of a training: {where}: {first['msg']}."
            ) from error
        return cls.of(facts, read_arrays(folder / _TENSORS))

    def facts(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON data."""
        facts = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "arrays"}
        return facts | {"position": asdict(self.position)}

    def among(self, steps_per_epoch: int) -> TrainingState:
        """The same share of the epoch done where an epoch has so many batches, as with other batch sizes or
        numbers of processes; rather a few samples twice than left out."""
        done, steps = self.position.batch, self.steps_per_epoch
        if steps in (0, steps_per_epoch) or done == 0:
            return self
        batch = done * steps_per_epoch // steps
        sums = {name: total * batch / done for name, total in self.sums.items()}
        position = replace(self.position, batch=batch)
        return replace(self, position=position, sums=sums, steps_per_epoch=steps_per_epoch)

    @classmethod
    def of(cls, facts: dict[str, Any], arrays: Arrays) -> TrainingState:
        """The state that `facts` came from."""
        return cls(arrays=arrays, **facts | {"position": Position(**facts["position"])})


class _Facts(BaseModel):
    """What `TrainingState.facts` holds; files of earlier versions lack what has a default."""

    model_config = ConfigDict(extra="forbid", strict=True)

    class _Position(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

        epoch: NonNegativeInt
        batch: NonNegativeInt
        step: NonNegativeInt

    position: _Position
    quantized: bool = False
    sums: dict[str, float] = {}
    history: list[dict[str, Any]] = []
    settings: dict[str, Any] = {}
    distiller_optimizer: bool = False
    steps_per_epoch: NonNegativeInt = 0


class CheckpointStore:
    """The checkpoints under one folder. A training run opens it with `lock()`.

    Raises CheckpointError for the folder of a single one.
    """

    def __init__(self, root: Path) -> None:
        if (root / MARKER).exists():
            raise CheckpointError(
                f"{root} is one checkpoint, and not the folder of a run's checkpoints: give {root.parent}."
            )
        self.root = root

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second run out of this folder, and clear away what an interrupted write left behind."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            stream = open(self.root / ".lock", "w")  # noqa: SIM115
        except OSError as error:
            raise OutputError(f"{self.root} cannot be written: {error}.") from error
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CheckpointError(f"{self.root} is in use by another training run.") from error
            with writing(self.root):
                self._clear()
            yield

    def _clear(self) -> None:
        for leftover in self.root.glob(f".*{_WRITTEN}/"):
            if not _NAMES.fullmatch(_name_of(leftover)):
                continue
            if (leftover / MARKER).exists():
                self._settle(_name_of(leftover))
            else:
                shutil.rmtree(leftover)
        clear(self.root)

    def write(self, name: str, fill: Callable[[Path], None]) -> Path:
        """Make checkpoint `name` of what `fill` writes into the folder it is given; replaces an old one.

        Raises OutputError when it cannot be written, and what `fill` raises.
        """
        final, temporary = self.root / name, self._written(name)
        with writing(final):
            temporary.mkdir()
            fill(temporary)
            digests = {str(path.relative_to(temporary)): sha256(path) for path in _files(temporary)}
            sync_tree(temporary)
            write_json(temporary / MARKER, digests)
            self._settle(name)
        return final

    def _written(self, name: str) -> Path:
        return self.root / f".{name}{_WRITTEN}"

    def _settle(self, name: str) -> None:
        """Let what has been written take its place."""
        self.remove(name)
        os.rename(self._written(name), self.root / name)
        sync(self.root)

    def remove(self, name: str) -> None:
        """Remove a checkpoint; its marker goes first, so that no part of it counts.  Raises OutputError."""
        folder = self.root / name
        if folder.exists():
            with writing(folder):
                (folder / MARKER).unlink(missing_ok=True)
                sync(folder)
                shutil.rmtree(folder)

    def epochs(self) -> list[int]:
        """The epochs that have a whole checkpoint, in order."""
        return sorted(int(name) for name in self._whole() if name != INTERRUPTED)

    def last_good(self) -> str:
        """Which checkpoint is the last good one, in words."""
        epochs = self.epochs()
        good = self.root / str(epochs[-1]) if epochs else "none: this was the first epoch"
        return f"the last good checkpoint is {good}"

    def epoch(self, epoch: int) -> Path:
        """The folder of one epoch. Raises CheckpointError when it is not there or not whole."""
        if epoch not in self.epochs():
            known = ", ".join(map(str, self.epochs())) or "none"
            raise CheckpointError(f"{self.root} has no whole checkpoint of epoch {epoch}; it has {known}.")
        return self._whole()[str(epoch)]

    def started(self) -> bool:
        """Whether there is a state to go on from."""
        return bool(self.epochs()) or INTERRUPTED in self._whole()

    def newest(self) -> TrainingState | None:
        """The state that lies furthest on, of an epoch's end or of an interruption, if there is any."""
        whole = self._whole()
        names = [*map(str, self.epochs()[-1:]), *([INTERRUPTED] if INTERRUPTED in whole else [])]
        states = [TrainingState.read(whole[name]) for name in names]
        return max(states, key=lambda state: state.position.step, default=None)

    def _whole(self) -> dict[str, Path]:
        """Name -> folder of what is whole, in place or, written later, about to take it."""
        settled = {marker.parent.name: marker.parent for marker in self.root.glob(f"[!.]*/{MARKER}")}
        written = [marker.parent for marker in self.root.glob(f".*{_WRITTEN}/{MARKER}")]
        found = settled | {_name_of(folder): folder for folder in written}
        return {name: folder for name, folder in found.items() if _NAMES.fullmatch(name)}


def read_json(path: Path) -> Any:
    """What a file of a checkpoint says. Raises CheckpointError when that is no JSON."""
    try:
        return json.loads(read_input(path, _LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from error


def _name_of(written: Path) -> str:
    return written.name[1:].removesuffix(_WRITTEN)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def files_of(folder: Path, part: str) -> list[str]:
    """The files that a whole checkpoint was written with in its folder `part`."""
    return [name for name in digests_of(folder) if name.startswith(f"{part}/")]


def digests_of(folder: Path) -> dict[str, str]:
    """The digests of a whole checkpoint's files as they were written, by their names in its folder."""
    found = read_json(folder / MARKER)
    if not isinstance(found, dict) or not all(isinstance(digest, str) for digest in found.values()):
        raise CheckpointError(f"{folder / MARKER} does not hold the digests of the checkpoint's files.")
    return found


def check_digests(folder: Path, names: Iterable[str]) -> None:
    """Raise CheckpointError when one of a whole checkpoint's files is not what was written."""
    digests = digests_of(folder)
    for name in names:
        path = folder / name
        if not path.is_file() or sha256(path) != digests.get(name):
            raise CheckpointError(
                f"{path} is not what was written there; remove {folder} to go on from an older checkpoint."
            )
