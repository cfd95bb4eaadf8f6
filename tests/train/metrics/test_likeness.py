from __future__ import annotations

import numpy as np
import pytest

from qcc.train.metrics.likeness import Likeness, in_decibels, sure

WANTED = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)


def measured(found: np.ndarray) -> Likeness:
    likeness = Likeness(["scores"], ["scores"])
    for part in (slice(0, 13), slice(13, 20)):
        likeness.update([found[part]], [WANTED[part]])
    return likeness


def test_mean_ratio_and_equal_classes() -> None:
    found = WANTED * 1.1
    assert measured(found).result() == pytest.approx({"snr": 20.0, "same_class": 1.0}, rel=1e-4)
    found[3] = -found[3]
    assert measured(found).result()["same_class"] == 0.95
    assert measured(WANTED).result()["snr"] == pytest.approx(120)


def test_no_signal_is_no_division_by_zero() -> None:
    likeness = Likeness(["map"], [])
    likeness.update([np.ones((1, 2), np.float32)], [np.zeros((1, 2), np.float32)])
    assert likeness.result() == {"snr": pytest.approx(in_decibels(2e12))}


def test_what_is_better_by_chance_does_not_beat() -> None:
    noise = np.random.default_rng(1).standard_normal((3, *WANTED.shape)).astype(np.float32)
    before = measured(WANTED + 0.01 * noise[0])
    assert measured(WANTED + 0.005 * noise[1]).beats(before)
    assert not before.beats(before)
    assert not measured(WANTED + 0.0098 * noise[2]).beats(before)
    assert not before.beats(measured(WANTED + 0.005 * noise[1]))


def test_of_one_sample_nothing_is_sure() -> None:
    before, after = Likeness(["map"], []), Likeness(["map"], [])
    before.update([WANTED[:1] * 1.1], [WANTED[:1]])
    after.update([WANTED[:1]], [WANTED[:1]])
    assert not after.beats(before)


def test_few_samples_have_to_gain_more() -> None:
    # Student's distribution, at the level of two standard errors of a normal one.
    for count, wanted in ((3, 4.53), (4, 3.31), (6, 2.65), (21, 2.13), (10_000, 2.0)):
        assert sure(count) == pytest.approx(wanted, rel=0.04)
    noise = [0.1, 0.1, 0.1]
    before, after = Likeness(["map"], []), Likeness(["map"], [])
    for likeness, scales in ((before, noise), (after, [0.03, 0.04, 0.09])):
        for row, scale in enumerate(scales):
            likeness.update([WANTED[row : row + 1] * (1 + scale)], [WANTED[row : row + 1]])
    # Gains of 10.5, 8.0 and 0.9 dB: 2.3 standard errors.
    assert not after.beats(before)


@pytest.mark.parametrize("rows", [1, 3])
def test_several_outputs_or_rows_of_one_sample_are_not_several(rows: int) -> None:
    before, after = Likeness(["logits", "scores"], []), Likeness(["logits", "scores"], [])
    wanted = [WANTED[:1], WANTED[1 : 1 + rows]]
    before.update([array * 1.1 for array in wanted], wanted)
    after.update([array * 1.01 for array in wanted], wanted)
    assert len(after.ratios) == 1 + rows
    assert not after.beats(before)
