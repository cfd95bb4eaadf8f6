from __future__ import annotations

from qcc.train.evaluation.timing import COUNTED_RUNS, WARM_UP_RUNS, milliseconds


def test_runs_take_turns() -> None:
    calls: list[str] = []
    times = milliseconds({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")})
    assert calls == ["a", "b"] * (WARM_UP_RUNS + COUNTED_RUNS)
    assert times.keys() == {"a", "b"}
