"""Separation power of two histograms, with what chance alone makes of it taken off.

``S = 1/2 sum_i (p_i - q_i)^2 / (p_i + q_i)`` for shares p and q of two samples in common bins: 0
for equal histograms, 1 for disjoint ones (arXiv 2410.21611). It is never below 0, so two samples of
one law have some: its expectation is the floor, derived here.

In bin i the two shares differ by chance with variance ``p_i (1 - p_i) (1/n + 1/m)``. To leading
order the sum in the denominator is ``2 p_i``, so

    E[S] = 1/4 sum_i (1 - p_i) (1/n + 1/m) = (k - 1) / 4 (1/n + 1/m)        for k bins,

whatever the bins' contents; the next order is smaller by the number of entries in a bin. (The rule
``k / (2 n)`` is this for n = m.) It also holds where the edges are quantiles of one of the samples:
then its shares are fixed, but those of the law between the edges scatter by just as much. Beyond
the least and the greatest of m values lies ``1 / (m + 1)`` of their law each, on average; all of it
is separation, which adds ``1 / (m + 1)`` to the floor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hasten.data.geometry import Floats
from hasten.errors import BudgetError, DataError
from hasten.measure.intervals import two_sided
from hasten.measure.result import Measurement, Record

BINS = 30
"""Bins of equal content in the reference."""
FULL = 5
"""Entries that a bin should hold at least, on average: below, the floor's next order counts."""


@final
@dataclass(frozen=True)
class Separation(Record):
    """How far one observable's histogram is from the reference's.

    Attributes:
        plain: S as it is published.
        floor: Its expectation for two samples of one law of these sizes.
        corrected: S less the floor, with its interval; about 0 for the same law, and below it half
            of the time.
        bins: Number of bins.
        n: Showers judged.
        m: Showers of the reference.
    """

    plain: float
    floor: float
    corrected: Measurement
    bins: int
    n: int
    m: int


def separation(
    values: ArrayLike, reference: ArrayLike, *, bins: int = BINS, confidence: float = 0.95
) -> Separation:
    """Separation power in bins of equal content of the reference.

    Args:
        values: An observable of the showers judged [n].
        reference: The same of the reference [m].
        bins: How many; fewer where values repeat.
        confidence: Of the interval.

    Raises:
        DataError: If a value is not finite.
        BudgetError: If there are fewer values than 5 a bin on either side.
    """
    x, y = (np.asarray(each, dtype=np.float64).reshape(-1) for each in (values, reference))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("an observable is not finite", where="separation")
    if min(len(x), len(y)) < FULL * bins:
        raise BudgetError(
            f"{len(x)} values against {len(y)} of the reference cannot fill {bins} bins",
            hint=f"give at least {FULL * bins} showers on either side, or ask for fewer bins",
        )
    cuts = equal_bins(y, bins)
    counts = [np.bincount(np.searchsorted(cuts, z), minlength=len(cuts) + 1) for z in (x, y)]
    # where many showers share the least value (nothing at all) no law goes on below it
    ends = sum(int((y == end).sum() == 1) for end in (y.min(), y.max()))
    return from_counts(counts[0], counts[1], open_ends=ends, confidence=confidence)


def from_counts(
    values: ArrayLike, reference: ArrayLike, *, open_ends: int = 0, confidence: float = 0.95
) -> Separation:
    """Separation power of two histograms in common bins, entries independent.

    The interval is normal. Its variance is the infinitesimal jackknife's (Efron 1982): with
    gradients g of S in the shares, ``(sum p g^2 - (sum p g)^2) / n`` and likewise for q. Chance
    differences add ``2 v`` to it on average, ``v = 2 (k - 1) ((1/n + 1/m) / 4)^2`` being the whole
    variance under one law; so v is taken off once, and the rest never falls below v.

    Args:
        values: Entries of the sample judged [k].
        reference: Entries of the reference [k].
        open_ends: Sides on which the bins end with a single value of the reference.
        confidence: Of the interval.
    """
    top, bottom = (np.asarray(each, dtype=np.float64) for each in (values, reference))
    n, m = float(top.sum()), float(bottom.sum())
    used = top + bottom > 0
    p, q = top[used] / n, bottom[used] / m
    # a bin the reference never fills has no share of chance: under one law it stays empty
    k = max(int((bottom > 0).sum()), 1)
    plain = float(0.5 * np.sum((p - q) ** 2 / (p + q)))
    floor = (k - 1) / 4 * (1 / n + 1 / m) + open_ends / 2 / (m + 1)
    chance = 2 * (k - 1) * ((1 / n + 1 / m) / 4) ** 2
    slopes = [0.5 * (a - b) * (a + 3 * b) / (a + b) ** 2 for a, b in ((p, q), (q, p))]
    spread = sum(
        (np.sum(share * slope**2) - np.sum(share * slope) ** 2) / size
        for share, slope, size in zip((p, q), slopes, (n, m), strict=True)
    )
    reach = two_sided(confidence) * float(np.sqrt(max(spread - chance, chance)))
    value = plain - floor
    found = Measurement(value, value - reach, value + reach, int(n), confidence=confidence)
    return Separation(plain, floor, found, k, int(n), int(m))


def equal_bins(reference: Floats, bins: int) -> NDArray[np.float64]:
    """Edges of bins with equal content; bin i holds what is above edge i - 1 up to edge i.

    The first and the last bin hold what lies below and above all of the reference. Edges are values
    of it. A value that takes more than a bin's share (nothing in a layer, a number of hits) makes
    quantiles coincide: it gets a second edge just below itself, and so a bin of its own.
    """
    edges = np.quantile(reference, np.arange(1, bins) / bins, method="inverted_cdf")
    kept, times = np.unique(edges, return_counts=True)
    alone = np.append(kept[times > 1], reference.min())
    return np.unique(np.concatenate([kept, np.nextafter(alone, -np.inf), [reference.max()]]))
