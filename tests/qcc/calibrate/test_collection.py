"""Collecting in parts: what is found again, and what is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nets
import numpy as np
import pytest
from killed import killed_at_each_change

from qcc.calibrate import collection
from qcc.calibrate.collect import Collector
from qcc.calibrate.collection import Part, State, check_skipped, collect
from qcc.calibrate.data.batches import Batch, Batches
from qcc.calibrate.data.sources import Source, array_source
from qcc.calibrate.plan import Plan, make_plan
from qcc.calibrate.statistics import Statistics
from qcc.errors import DataError
from qcc.interrupts import Stopped


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(nets.build(nets.residual_net)["test"])


@pytest.fixture
def source(plan: Plan, tmp_path: Path) -> Source:
    (tmp_path / "data").mkdir()
    for number in range(5):
        image = np.random.default_rng(number).standard_normal((1, 3, 12, 12))
        np.save(tmp_path / f"data/{number}.npy", image.astype(np.float32))
    return array_source(plan.model, tmp_path / "data", 256)


def collected(plan: Plan, source: Source, folder: Path) -> Statistics:
    state = State(folder, plan, source)
    state.gather()
    collect(plan, source, state)
    return state.gather()


def counts(statistics: Statistics) -> list[bytes]:
    return [statistics.seen(name).histogram.counts.tobytes() for name in statistics.names]


def test_parts_are_gathered(plan: Plan, source: Source, tmp_path: Path) -> None:
    whole = collected(plan, source, tmp_path / "whole")
    state = State(tmp_path / "parts", plan, source)
    for rank in (2, 0, 1):
        collect(plan, source, state, Part(rank, 3))
    found = state.gather()
    assert (found.batches, counts(found)) == (whole.batches, counts(whole))
    state.remove()
    assert not (tmp_path / "parts").exists()


def test_it_stops_and_goes_on(plan: Plan, source: Source, tmp_path: Path) -> None:
    state, reports = State(tmp_path / "state", plan, source), list[int]()
    with pytest.raises(Stopped):
        collect(plan, source, state, stop=lambda: len(reports) > 2, report=reports.append)
    assert reports == [0, 1, 2]
    again = State(tmp_path / "state", plan, source)
    assert again.gather().batches == [0, 1]
    batches, read = source.batches, list[Path]()
    assert isinstance(batches, Batches)

    def reading(item: Path) -> Batch:
        read.append(item)
        return batches.read(item)

    collect(plan, replace(source, batches=Batches(batches.items, reading)), again)
    assert [path.name for path in read] == ["2.npy", "3.npy", "4.npy"]
    assert counts(again.gather()) == counts(collected(plan, source, tmp_path / "whole"))


def test_what_a_killed_process_has_collected_is_counted_once(
    plan: Plan, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: Collector, batch: Any, inputs: Batch) -> None:
        """Without Paddle's executor, which a forked process must not run."""
        (values,) = inputs.values()
        for name in self._statistics.names:
            self._statistics.add(name, 1.0, values)
        self._statistics.count(batch.number, 1.0, {})

    monkeypatch.setattr(Collector, "run", run)
    monkeypatch.setattr(collection, "_SECONDS_BETWEEN_SAVES", -1.0)
    assert isinstance(source.batches, Batches)
    few = replace(source, batches=Batches(source.batches.items[:2], source.batches.read))
    whole = collected(plan, few, tmp_path / "whole")
    folder = tmp_path / "state"
    kills = []
    for made in killed_at_each_change(folder, lambda: counts(collected(plan, few, folder))):
        kills.append(made)
        found = collected(plan, few, folder)
        assert (found.batches, counts(found)) == (whole.batches, counts(whole))
        shutil.rmtree(folder)
    assert len(kills) > 10


@pytest.mark.parametrize("change", ["data", "preparing", "network"])
def test_what_was_collected_of_something_else_is_forgotten(
    change: str, plan: Plan, source: Source, tmp_path: Path
) -> None:
    collected(plan, source, tmp_path / "state")
    if change == "data":
        np.save(tmp_path / "data/2.npy", np.zeros((1, 3, 12, 12), np.float32))
    elif change == "preparing":
        source.record["preprocess"] = {"scale": 1.0}
    else:
        plan = make_plan(plan.model, ["conv2d_0*"])
    assert State(tmp_path / "state", plan, source).gather().batches == []


def test_what_cannot_be_read_is_left_out_when_asked_to(plan: Plan, source: Source, tmp_path: Path) -> None:
    (tmp_path / "data/1.npy").write_bytes(b"nothing")
    state = State(tmp_path / "state", plan, source)
    with pytest.raises(DataError, match=r"1.npy cannot be read"):
        collect(plan, source, state)
    collect(plan, source, state, skip_bad=True)
    found = state.gather()
    assert found.batches == [0, 2, 3, 4]
    assert "1.npy cannot be read" in found.skipped[1]
    check_skipped(found)
    only_bad = Statistics(["x"])
    only_bad.skipped[0] = "0.png is no image."
    with pytest.raises(DataError, match=r"none of the data could be read; the first: 0.png is no image"):
        check_skipped(only_bad)


def images(seed: int, count: int = 5) -> Iterator[Batch]:
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield {"image": random.standard_normal((1, 3, 12, 12)).astype(np.float32)}


def test_data_of_code_that_has_changed_is_not_gone_on_with(plan: Plan, tmp_path: Path) -> None:
    state, reports = State(tmp_path / "state", plan, Source(images(0))), list[int]()
    with pytest.raises(Stopped):
        collect(plan, Source(images(0)), state, stop=lambda: len(reports) > 2, report=reports.append)
    assert state.gather().batches == [0, 1]
    told = rf"batch 1 of the data is not the one that an earlier run has measured: remove {state.folder} "
    with pytest.raises(DataError, match=told):
        collect(plan, Source(images(1)), state)
    with pytest.raises(
        DataError, match=r"the data ends behind 1 batch, fewer than an earlier run has measured"
    ):
        collect(plan, Source(images(0, 1)), state)
    collect(plan, Source(images(0)), state)
    whole = State(tmp_path / "whole", plan, Source(images(0)))
    collect(plan, Source(images(0)), whole)
    assert counts(state.gather()) == counts(whole.gather())
