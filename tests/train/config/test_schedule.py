from __future__ import annotations

import pytest

from qcc.train.config.schedule import CosineDecay, LinearWarmup, PiecewiseDecay, Schedule


def test_piecewise_decay_counts_steps_done() -> None:
    schedule = Schedule(1.0, (PiecewiseDecay(0.1, (2, 4)),))
    assert [schedule.rate(step) for step in range(6)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_falls_to_its_least_and_stays_there() -> None:
    schedule = Schedule(2.0, (CosineDecay(4, 0.1),))
    rates = [schedule.rate(step) for step in range(6)]
    assert rates == pytest.approx([2, 0.2 + 1.8 * 0.853553391, 1.1, 0.2 + 1.8 * 0.146446609, 0.2, 0.2])


def test_warm_up_grows_linearly_to_the_decayed_rate() -> None:
    schedule = Schedule(2.0, (PiecewiseDecay(0.5, (6,)), LinearWarmup(4, 0.2)))
    assert [schedule.rate(step) for step in range(7)] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2, 2, 1])


def test_constant() -> None:
    assert Schedule(0.3).rate(10**6) == 0.3
