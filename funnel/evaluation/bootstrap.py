"""How sure a difference between two fits of one kind is: test rows and repeats, drawn anew together (Efron, 1979).

What is compared is the mean over the repeats of a score of one variant, less that of another. Both were judged on the same
rows, and trained with the same seeds: a resample takes rows and seeds for both alike, so that what they have in common cancels.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CLUSTERS = 1 << 14  # rows are pooled into at most so many: the interval's width then is off by half a percent or so
RESAMPLES = 4000
BLOCK = 1 << 22  # counts that are in memory at a time


def clusters_of(
    rows: int, groups: NDArray[np.int32] | None = None, *, most: int = CLUSTERS, seed: int = 0
) -> NDArray[np.int32]:
    """What is drawn together: each row alone, or the rows of each group; pooled at random where these are more than `most`.

    Sums over clusters that were pooled at random vary as the sums over rows do, in the mean over the pooling: time and memory
    of the bootstrap need not grow with the rows.

    Args:
        rows: How many.
        groups: Rows that belong together, such as those of a user, numbered from 0: int32 [rows]. Default: none do.
        most: Clusters, at most.
        seed: Of the pooling.

    Returns:
        The cluster of each row, from 0: int32 [rows]. Numbers that no row has do not occur below the greatest.
    """
    own = np.arange(rows) if groups is None else groups
    count = rows if groups is None else int(own.max(initial=-1)) + 1
    pooled = np.random.default_rng([seed, count]).permutation(count) % most if count > most else np.arange(count)
    return pooled.astype(np.int32)[own]


def pooled(influence: Floats, clusters: NDArray[np.int32], count: int | None = None) -> Floats:
    """Influences added up by cluster: float64 [clusters], of which there are `count`, or up to the greatest."""
    sums = np.bincount(clusters, weights=influence, minlength=int(clusters.max(initial=-1)) + 1 if count is None else count)
    return sums.astype(np.float64, copy=False)


def paired_intervals(
    differences: Floats,
    influences: Floats,
    *,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
    block: int = BLOCK,
) -> Floats:
    """Percentile intervals of mean differences, under resampling of clusters and repeats together.

    A resample draws as many clusters, and as many repeats, as there are, with replacement. Repeats are few, and the plain
    bootstrap of the mean of R of them is too narrow: their spread is widened by sqrt(R / (R - 1)), and by as much as Student's
    t is wider than the normal distribution (Hesterberg, 2015). With one repeat the interval is about the rows alone.

    Args:
        differences: Of a score between two variants, for each of K comparisons and R repeats: [K, R].
        influences: Of each cluster on these: [K, R, clusters].
        resamples: How many.
        level: Of confidence.
        seed: Equal ones draw equal clusters and repeats.
        block: Counts in memory at a time; changes no number but by rounding.

    Returns:
        Lower and upper ends: float64 [K, 2]; NaN where a difference is.

    Raises:
        ValueError: Shapes do not fit.
    """
    comparisons, repeats = differences.shape
    if influences.shape[:2] != differences.shape:
        raise ValueError(f"got influences of shape {influences.shape}, expected [{comparisons}, {repeats}, clusters].")
    clusters = influences.shape[2]
    columns = np.ascontiguousarray(influences.reshape(comparisons * repeats, clusters).T)
    more = _more(np.random.default_rng([seed, 1]), resamples, repeats)
    by_repeat = 1 + more * (widening(repeats, level) if repeats > 1 else 0.0)
    random = np.random.default_rng([seed, 0])
    found = np.empty([resamples, comparisons])
    size = max(1, block // max(1, clusters))
    for begin in range(0, resamples, size):
        end = min(begin + size, resamples)
        shifts = _more(random, end - begin, clusters) @ columns
        drawn = differences + shifts.reshape(end - begin, comparisons, repeats)
        found[begin:end] = np.einsum("bkr,br->bk", drawn, by_repeat[begin:end]) / repeats
    outside = (1 - level) / 2
    return np.asarray(np.quantile(found, [outside, 1 - outside], axis=0).T)


def _more(random: np.random.Generator, resamples: int, clusters: int) -> Floats:
    """How many times more than once each cluster is drawn: [resamples, clusters]."""
    drawn = random.integers(0, clusters, (resamples, clusters)) if clusters else np.zeros([resamples, 0], np.int64)
    drawn += np.arange(resamples)[:, None] * clusters
    counts = np.bincount(drawn.reshape(-1), minlength=resamples * clusters).reshape(resamples, clusters)
    return counts.astype(np.float64) - 1


def widening(repeats: int, level: float) -> float:
    """By how much the spread of R repeats, 2 or more, is widened: sqrt(R / (R - 1)) t / z, for R - 1 degrees of freedom."""
    above, freedom = (1 + level) / 2, repeats - 1
    z = NormalDist().inv_cdf(above)
    match freedom:
        case 1:
            t = math.tan(math.pi * (above - 0.5))
        case 2:
            t = (2 * above - 1) / math.sqrt(2 * above * (1 - above))
        case _:  # Cornish and Fisher's expansion: within 1 % from 3 degrees on
            powers = (
                (z**3 + z) / 4,
                (5 * z**5 + 16 * z**3 + 3 * z) / 96,
                (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
            )
            t = z + sum(power / freedom ** (k + 1) for k, power in enumerate(powers))
    return math.sqrt(repeats / freedom) * t / z
