from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from killed import killed_at_each_change

from qcc.errors import CheckpointError, OutputError
from qcc.train.loop.checkpoint import INTERRUPTED, MARKER, CheckpointStore, Position, TrainingState


def state(epoch: int, batch: int = 0) -> TrainingState:
    arrays = {
        "w/a@scale": np.array([0.1, -2], np.float32),
        "count": np.array([7], np.int64),
        "scalar": np.array(0.5, np.float32),
    }
    position = Position(epoch, batch, epoch * 10 + batch)
    return TrainingState(
        arrays, position, True, {"loss": 0.1 + 0.2}, [{"epoch": 0, "top1": 0.5}], {"seed": 1}
    )


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path)


def test_round_trip_is_exact(store: CheckpointStore) -> None:
    written = state(1)
    store.write("0", written.write)
    read = store.newest()
    assert read is not None
    assert (read.position, read.quantized, read.sums) == (written.position, True, {"loss": 0.1 + 0.2})
    assert (read.history, read.settings) == (written.history, written.settings)
    assert read.arrays.keys() == written.arrays.keys()
    for name, array in written.arrays.items():
        assert read.arrays[name].dtype == array.dtype
        assert read.arrays[name].tobytes() == array.tobytes()
        assert read.arrays[name].shape == array.shape


def test_a_folder_without_marker_does_not_count(store: CheckpointStore) -> None:
    store.write("0", state(1).write)
    store.write("1", state(2).write)
    (store.root / "1" / MARKER).unlink()
    assert store.epochs() == [0]
    newest = store.newest()
    assert newest is not None
    assert newest.position.epoch == 1
    with pytest.raises(CheckpointError, match="no whole checkpoint of epoch 1; it has 0"):
        store.epoch(1)


def test_a_failed_write_leaves_the_old_checkpoint(store: CheckpointStore) -> None:
    store.write("0", state(1).write)

    def fail(folder: Path) -> None:
        (folder / "state.npz").write_bytes(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.write("0", fail)
    newest = store.newest()
    assert newest is not None
    assert newest.position == state(1).position
    with store.lock():
        assert [path.name for path in store.root.glob(".*.tmp")] == []


def test_what_a_kill_leaves_behind_is_cleared_away(store: CheckpointStore) -> None:
    (store.root / ".3.tmp").mkdir()
    (store.root / ".3.tmp" / "state.npz").write_bytes(b"half")
    with store.lock():
        assert [path.name for path in store.root.iterdir()] == [".lock"]


def test_what_is_not_a_checkpoint_is_left_alone(store: CheckpointStore) -> None:
    kept = store.write("0", state(1).write)
    for name in ("00", "copy", ".notes.tmp", ".01.tmp"):
        shutil.copytree(kept, store.root / name)
    (store.root / ".cache.tmp").mkdir()
    (store.root / ".list.tmp").write_bytes(b"mine")
    names = sorted(path.name for path in store.root.iterdir())
    with store.lock():
        assert sorted(path.name for path in store.root.iterdir()) == sorted([*names, ".lock"])
        assert store.epochs() == [0]
    shutil.rmtree(kept)
    assert store.newest() is None


def test_writing_again_replaces(store: CheckpointStore) -> None:
    store.write("0", state(1).write)
    store.write("0", state(5).write)
    newest = store.newest()
    assert newest is not None
    assert newest.position.epoch == 5


def test_an_interruption_counts_when_it_lies_further_on(store: CheckpointStore) -> None:
    store.write("9", state(10).write)
    store.write("10", state(11).write)
    store.write(INTERRUPTED, state(11, batch=3).write)
    newest = store.newest()
    assert newest is not None
    assert newest.position == Position(11, 3, 113)
    store.write("11", state(12).write)
    newest = store.newest()
    assert newest is not None
    assert newest.position == Position(12, 0, 120)


@pytest.mark.parametrize("name", ["state.npz", "state.json"])
def test_damage_is_noticed(store: CheckpointStore, name: str) -> None:
    folder = store.write("0", state(1).write)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name} is not what was written there; remove .*0 to go on"):
        store.newest()


def test_the_share_of_an_epoch_that_is_done() -> None:
    stopped = replace(state(2, batch=60), sums={"loss": 120.0}, steps_per_epoch=100)
    assert stopped.among(100) is stopped
    halved = stopped.among(50)  # as with twice as many processes
    assert (halved.position, halved.sums) == (replace(stopped.position, batch=30), {"loss": 60.0})
    assert stopped.among(33).position.batch == 19
    trained = replace(stopped, position=Position(2, 100, 300))
    assert trained.among(33).position.batch == 33
    assert replace(stopped, steps_per_epoch=0).among(50).position.batch == 60


def test_nothing_there(store: CheckpointStore) -> None:
    assert store.newest() is None
    with pytest.raises(CheckpointError, match="it has none"):
        store.epoch(0)


def test_a_damaged_marker(store: CheckpointStore) -> None:
    store.write("0", state(1).write)
    (store.root / "0" / "complete.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"0/complete\.json is damaged: Expecting"):
        store.newest()


def test_a_folder_that_has_gone(store: CheckpointStore) -> None:
    gone = CheckpointStore(store.root / "gone")
    with pytest.raises(OutputError, match=r"gone/0 cannot be written: No such file or directory\."):
        gone.write("0", lambda folder: None)


def test_two_runs_cannot_share_a_folder(store: CheckpointStore) -> None:
    with (
        store.lock(),
        pytest.raises(CheckpointError, match="is in use by another training run"),
        CheckpointStore(store.root).lock(),
    ):
        pass
    with store.lock():
        pass


def test_a_kill_leaves_the_old_interruption_or_the_new(store: CheckpointStore) -> None:
    store.write(INTERRUPTED, state(1, 3).write)

    def again() -> None:
        with store.lock():
            store.write(INTERRUPTED, state(1, 5).write)

    found = []
    for _ in killed_at_each_change(store.root, again):
        newest = store.newest()
        assert newest is not None
        found.append(newest.position.batch)
        with store.lock():
            kept = store.newest()
            assert kept is not None
            assert kept.position == newest.position
            assert {path.name for path in store.root.iterdir()} == {".lock", INTERRUPTED}
            store.write(INTERRUPTED, state(1, 3).write)
    decided = found.index(5)
    assert found == [3] * decided + [5] * (len(found) - decided)
    assert 5 < decided < len(found) - 2


def test_a_kill_leaves_a_checkpoint_or_none(store: CheckpointStore) -> None:
    found = []
    for _ in killed_at_each_change(store.root, lambda: store.write("0", state(1).write)):
        found.append(store.epochs())
        with store.lock():
            assert store.epochs() == found[-1]
            for epoch in store.epochs():
                store.remove(str(epoch))
    assert found[0] == []
    assert found[-1] == [0]
    assert store.epochs() == [0]


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("state.json", "[]", r"state\.json is no state of a training: its top: "),
        ("state.json", "{}", r"state\.json is no state of a training: position: Field required"),
        (
            "state.json",
            '{"position": {"epoch": -1, "batch": 0, "step": 0}}',
            r"position\.epoch: Input should be",
        ),
        ("state.json", '{"position": 5, "more": 1}', r"state\.json is no state of a training: position"),
        ("state.json", "[" * 100_000, r"state\.json is damaged"),
        ("state.json", "\xff", r"state\.json is (damaged|no state)"),
        ("state.npz", "rubbish", r"state\.npz is no whole \.npz file"),
    ],
)
def test_what_fits_its_digest_and_is_no_state(
    store: CheckpointStore, file: str, data: str, message: str
) -> None:
    def fill(folder: Path) -> None:
        state(1).write(folder)
        (folder / file).write_text(data, encoding="latin-1")

    store.write("0", fill)
    with pytest.raises(CheckpointError, match=message):
        store.newest()


@pytest.mark.parametrize("marker", ["[]", '"x"', '{"state.json": 5}', "[" * 100_000, ""])
def test_a_marker_of_another_type(store: CheckpointStore, marker: str) -> None:
    (store.write("0", state(1).write) / MARKER).write_text(marker)
    with pytest.raises(CheckpointError, match=r"complete\.json"):
        store.newest()


def test_folders_with_odd_names_do_not_count(store: CheckpointStore) -> None:
    for name in ("\u00b2", "\u0663", "-1", "1.5", "one"):
        store.write(name, state(1).write)
    assert store.epochs() == []
