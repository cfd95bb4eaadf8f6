"""The clipping threshold of least Kullback-Leibler divergence."""

from __future__ import annotations

import numpy as np

from qcc.numerics import max_int


def kl_threshold(counts: np.ndarray, width: float, bits: int, most_clipped: float = 1.0) -> float:
    """The magnitude to clip at, for counts of magnitudes in bins of a width: int64 [bins] from 0 on.

    As `cal_kl_threshold` of `paddle/static/quantization`, to the last bit of the threshold: for each number
    of bins from half of them on, the counts that are left (P, with all that is clipped added to the last
    bin) are compared with the same counts at max_int(bits) levels (Q, spread over the bins of a level that
    are not empty), by sum(P * log(P / Q)). The middle of the bin behind the best number is the threshold.

    Thresholds that clip more than the share `most_clipped` of the values do not count.
    """
    start, levels = int((len(counts) - 1) * 0.5), max_int(bits)
    total = int(counts.sum())
    best, best_kept = np.inf, 0
    left = np.cumsum(counts)
    for kept in range(start, len(counts)):
        if counts[kept - 1] and total - left[kept - 1] <= most_clipped * total:
            divergence = _divergence(counts, kept, total, levels)
            if divergence < best:
                best, best_kept = divergence, kept
    if not best_kept:
        best_kept = start
        while best_kept > 0 and not counts[best_kept]:
            best_kept -= 1
    return (best_kept + 0.5) * width


def _divergence(counts: np.ndarray, kept: int, total: int, levels: int) -> float:
    reference = counts[:kept].astype(np.float64)
    filled = reference > 0
    starts = np.arange(levels) * (kept // levels)
    # The last level has the bins that are left over.
    sums = np.add.reduceat(reference, starts)
    level_sizes = np.diff(starts, append=kept)
    filled_bins = np.add.reduceat(filled.astype(np.float64), starts)
    levelled = np.repeat(sums / np.maximum(filled_bins, 1), level_sizes)[filled]
    reference[-1] += total - reference.sum()
    p = reference[filled]
    return float(np.dot(p, np.log(levelled.sum() * p) - np.log(total * levelled)) / total)
