from __future__ import annotations

import numpy as np

from qcc.train.metrics.top_accuracy import TopAccuracy


def test_counts_over_batches_of_different_sizes() -> None:
    accuracy = TopAccuracy()
    scores = np.arange(8, dtype=np.float32)[None, :].repeat(3, axis=0)  # class 7 first, then 6, 5, 4, 3
    accuracy.update(scores, np.array([[7], [3], [2]]))
    accuracy.update(scores[:1], np.array([[6]]))
    assert accuracy.result() == {"top1": 0.25, "top5": 0.75}


def test_of_equal_scores_the_lower_class_comes_first() -> None:
    accuracy = TopAccuracy()
    accuracy.update(np.zeros((10, 10)), np.arange(10))
    assert accuracy.result() == {"top1": 0.1, "top5": 0.5}
