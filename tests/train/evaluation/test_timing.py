from __future__ import annotations

from qcc.train.evaluation.timing import COUNTED_RUNS, WARM_UP_RUNS, clocked, milliseconds


def test_runs_take_turns() -> None:
    calls: list[str] = []

    def run(name: str, seconds: float) -> float:
        calls.append(name)
        # What warms up does not count.
        return seconds if len(calls) > 2 * WARM_UP_RUNS else 9.0

    times = milliseconds({"a": lambda: run("a", 0.25), "b": lambda: run("b", 0.5)})
    assert calls == ["a", "b"] * (WARM_UP_RUNS + COUNTED_RUNS)
    assert times == {"a": 250, "b": 500}


def test_a_clocked_run_tells_its_seconds() -> None:
    calls: list[str] = []
    assert clocked(lambda: calls.append("a"))() > 0
    assert calls == ["a"]
