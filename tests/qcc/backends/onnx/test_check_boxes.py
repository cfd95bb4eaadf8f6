"""Which rows of a suppression count as Paddle's."""

from __future__ import annotations

import numpy as np
import pytest

from qcc.backends.onnx.check_boxes import _same_rows

# Class, score, a box; the last two scores are equal up to rounding.
ROWS = np.array(
    [[0, 0.9, 1, 1, 2, 2], [1, 0.8, 3, 3, 4, 4], [1, 0.7, 5, 5, 6, 6], [2, 0.7000001, 7, 7, 8, 8]], np.float32
)


@pytest.mark.parametrize(
    ("order", "same"),
    [([0, 1, 2, 3], True), ([0, 1, 3, 2], True), ([1, 0, 2, 3], False), ([0, 2, 1, 3], False)],
)
def test_only_equal_scores_may_change_places(order: list[int], same: bool) -> None:
    assert _same_rows(ROWS[order], ROWS) is same


@pytest.mark.parametrize(("row", "same"), [(3, True), (1, False)])
def test_of_equal_scores_another_may_be_the_last(row: int, same: bool) -> None:
    rows = ROWS.copy()
    rows[row, 2:] = 40
    assert _same_rows(rows, ROWS) is same


def test_a_row_counts_once() -> None:
    assert not _same_rows(ROWS[[0, 1, 1, 3]], ROWS)


def test_no_rows() -> None:
    assert _same_rows(ROWS[:0], ROWS[:0])
