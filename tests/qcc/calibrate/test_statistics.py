"""Statistics: declared, collected in parts, merged, stored, and used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qcc.calibrate.observers import CALIBRATORS, observe
from qcc.calibrate.statistics import Statistics
from qcc.errors import DataError

RANDOM = np.random.default_rng(0)
# A batch for each number: its range, and the values of two activations.
BATCHES = {
    number: (2.0 + number / 10, {name: RANDOM.standard_normal(500).astype("f") for name in ("x", "y")})
    for number in range(8)
}


def collect(statistics: Statistics, *numbers: int) -> Statistics:
    for number in numbers:
        data_range, values = BATCHES[number]
        peaks = {name: statistics.add(name, data_range, value) for name, value in values.items()}
        statistics.count(number, data_range, peaks)
    return statistics


def scales(statistics: Statistics) -> list[float]:
    return [observe(statistics.seen(name), one) for name in statistics.names for one in CALIBRATORS]


def test_parts_merge_to_the_whole_bit_for_bit(tmp_path: Path) -> None:
    whole = scales(collect(Statistics(["x", "y"]), *BATCHES))
    parts = [collect(Statistics(["x", "y"]), *numbers) for numbers in ([7, 1, 4], [0, 2], [6, 3, 5])]
    # Through files, as from other processes.
    for number, part in enumerate(parts):
        part.save(tmp_path / f"{number}.npz", "same")
    merged = Statistics(["x", "y"])
    for number in (2, 0, 1):
        assert merged.load(tmp_path / f"{number}.npz", "same")
    assert merged.batches == list(range(8))
    assert scales(merged) == whole


def test_declared_twice_is_collected_once() -> None:
    statistics = Statistics(["x"])
    statistics.declare(["y", "x"])
    assert statistics.names == ("x", "y")
    collect(statistics, 0)
    with pytest.raises(DataError, match="'z' are declared after collecting has begun"):
        statistics.declare(["x", "z"])


def test_a_batch_that_does_not_belong_does_not_decide() -> None:
    clean = scales(collect(Statistics(["x", "y"]), *BATCHES))
    statistics = collect(Statistics(["x", "y"]), *BATCHES)
    peaks = {name: statistics.add(name, 255.0, np.full(500, 1e3, np.float32)) for name in ("x", "y")}
    statistics.count(8, 255.0, peaks)
    assert statistics.strangers() == {8: pytest.approx(255 / 2.4)}
    assert scales(statistics) == clean


def test_a_dark_batch_belongs() -> None:
    statistics = collect(Statistics(["x", "y"]), *BATCHES)
    statistics.count(8, 0.01, {})
    statistics.count(9, 0.0, {})
    assert statistics.strangers() == {}


def test_what_was_skipped_is_kept(tmp_path: Path) -> None:
    statistics = collect(Statistics(["x", "y"]), 1)
    statistics.skipped[3] = "3.png is no image."
    statistics.save(tmp_path / "a.npz", "same")
    loaded = Statistics(["x", "y"])
    assert loaded.load(tmp_path / "a.npz", "same")
    assert (loaded.skipped, loaded.done, loaded.batches) == ({3: "3.png is no image."}, {1, 3}, [1])


@pytest.mark.parametrize("damage", ["identity", "cut", "missing", "foreign", "names", "batches"])
def test_files_of_something_else_are_not_used(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    collect(Statistics(["x", "y"]), 1).save(path, "same")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "missing":
        path.unlink()
    elif damage == "foreign":
        np.savez(path, x=np.zeros(3))
    statistics = Statistics(["x"] if damage == "names" else ["x", "y"])
    if damage == "batches":
        collect(statistics, 1)
    before = statistics.batches
    assert not statistics.load(path, "other" if damage == "identity" else "same")
    assert statistics.batches == before


def test_the_same_batch_is_not_counted_twice() -> None:
    statistics = collect(Statistics(["x", "y"]), 1, 2)
    with pytest.raises(DataError, match="or of the same batches"):
        statistics.merge(collect(Statistics(["x", "y"]), 2))
