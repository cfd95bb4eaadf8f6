"""What an evaluation counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class TopAccuracy:
    """Top-1 and top-5 accuracy, counted over batches; fractions between 0 and 1."""

    def __init__(self) -> None:
        self._counts = {1: 0, 5: 0}
        self._total = 0

    def update(self, scores: NDArray[Any], labels: NDArray[Any]) -> None:
        """`scores`: [N, classes], higher is likelier; `labels`: integers, N in any shape."""
        wanted = scores[np.arange(len(scores)), labels.reshape(-1)]
        # Of equal scores the one of the lower class counts as higher, as in a stable sort.
        earlier = np.arange(scores.shape[1])[None, :] < labels.reshape(-1, 1)
        better = (scores > wanted[:, None]) | ((scores == wanted[:, None]) & earlier)
        rank = better.sum(axis=1)
        for k in self._counts:
            self._counts[k] += int((rank < k).sum())
        self._total += len(scores)

    def result(self) -> dict[str, float]:
        return {f"top{k}": count / self._total for k, count in self._counts.items()}
