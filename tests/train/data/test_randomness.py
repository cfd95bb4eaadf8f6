from __future__ import annotations

import itertools

import numpy as np

from qcc.train.data.randomness import epoch_order, sample_generator


def test_draws_depend_on_seed_epoch_and_index_alone() -> None:
    keys = list(itertools.product((0, 1), (0, 1), (0, 1, 7)))
    draws = {key: sample_generator(*key).random(4).tolist() for key in keys}
    assert all(sample_generator(*key).random(4).tolist() == draws[key] for key in reversed(keys))
    assert len({tuple(values) for values in draws.values()}) == len(keys)


def test_values_stay_the_same_between_versions() -> None:
    # Checkpoints of today must go on equally tomorrow.
    assert sample_generator(1, 2, 3).integers(0, 1000, 4).tolist() == [711, 744, 253, 356]
    assert epoch_order(1, 2, 6).tolist() == [3, 5, 0, 4, 2, 1]


def test_order_is_a_permutation_that_changes_with_the_epoch() -> None:
    first, second = epoch_order(5, 0, 1000), epoch_order(5, 1, 1000)
    np.testing.assert_array_equal(np.sort(first), np.arange(1000))
    assert (first != second).mean() > 0.9
