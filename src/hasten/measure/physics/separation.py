"""Separation power of two histograms, with what chance alone makes of it taken off.

``S = 1/2 sum_i (p_i - q_i)^2 / (p_i + q_i)`` for shares p and q of two samples in common bins: 0
for equal histograms, 1 for disjoint ones (arXiv 2410.21611). It is never below 0, so two samples of
one law have some: its expectation is the floor, derived here.

Let C be the covariance of p - q by chance. To leading order ``p_i + q_i = 2 p_i``, so S is the
quadratic form ``sum_i (p_i - q_i)^2 / (4 p_i)`` and

    E[S] = sum_i C_ii / (4 p_i),    Var[S] = 2 tr (D C)^2  with  D = diag(1 / (4 p)).

One entry a shower makes ``C = (diag(p) - p p^T) (1/n + 1/m)``, and then, for k bins,

    E[S] = (k - 1) / 4 (1/n + 1/m),

whatever the bins' contents (the rule ``k / (2 n)`` is this for n = m); the next order is smaller by
the number of entries in a bin. It also holds where the edges are quantiles of one of the samples:
then its shares are fixed, but those of the law between the edges scatter by just as much. Beyond
the least and the greatest of m values lies ``1 / (m + 1)`` of their law each, on average; all of it
is separation, which adds ``1 / (m + 1)`` to the floor. Where a shower has many entries, as in the
cell spectrum, they go together, and C is estimated between showers.
"""

from __future__ import annotations

import math
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


@final
@dataclass(frozen=True)
class Separated(Record):
    """Separation power of one observable; of one that layers or rings have, of each.

    Attributes:
        plain: Mean over the parts of S.
        floor: Mean of what chance makes of it.
        corrected: Mean of the difference. Its interval is as wide as those of the parts on average,
            which is right if they rise and fall together and too wide otherwise.
        worst: Part with the greatest corrected separation.
        parts: One each.
    """

    plain: float
    floor: float
    corrected: Measurement
    worst: int
    parts: tuple[Separation, ...]

    @classmethod
    def of(cls, parts: list[Separation]) -> Separated:
        """From the parts."""
        each = [part.corrected for part in parts]
        value, low, high = (
            float(np.mean([getattr(m, end) for m in each])) for end in ("value", "low", "high")
        )
        found = Measurement(value, low, high, each[0].n, confidence=each[0].confidence)
        return cls(
            float(np.mean([part.plain for part in parts])),
            float(np.mean([part.floor for part in parts])),
            found,
            int(np.argmax([m.value for m in each])),
            tuple(parts),
        )


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
    """Separation power of two histograms in common bins, one entry a shower.

    Args:
        values: Entries of the sample judged [k].
        reference: Entries of the reference [k].
        open_ends: Sides on which the bins end with a single value of the reference.
        confidence: Of the interval.
    """
    counts = [np.asarray(each, dtype=np.float64) for each in (values, reference)]
    law = counts[1] / counts[1].sum()
    sides = []
    for each in counts:
        n = float(each.sum())
        # by chance, a bin that the reference never fills stays empty
        cov, chance = ((np.diag(x) - np.outer(x, x)) / n for x in (each / n, law))
        sides.append(_Side(each / n, n, cov, chance))
    return _separation(*sides, beyond=open_ends / 2 / (sides[1].n + 1), confidence=confidence)


def from_spectra(
    values: ArrayLike, reference: ArrayLike, *, confidence: float = 0.95
) -> Separation:
    """Separation power of two histograms in which a shower has many entries, or none.

    Args:
        values: Entries of every shower judged [n, k].
        reference: Entries of every shower of the reference [m, k].
        confidence: Of the interval.

    Raises:
        BudgetError: If there is no entry on either side, or one shower only.
    """
    sides = []
    for each in (values, reference):
        table = np.asarray(each, dtype=np.float64)
        whole = table.sum()
        if len(table) < 2 or not whole:
            raise BudgetError(f"{len(table)} showers with {whole:g} entries", where="separation")
        share = table.sum(axis=0) / whole
        # the share is a ratio of sums over showers; this is what each of them moves it by
        moved = (table - share * table.sum(axis=1, keepdims=True)) / whole
        cov = moved.T @ moved * len(table) / (len(table) - 1)
        sides.append(_Side(share, len(table), cov, cov))
    return _separation(*sides, confidence=confidence)


@final
@dataclass(frozen=True, eq=False)
class _Side:
    """Shares of the bins, from how many showers, and their covariance: as found, and by chance."""

    share: Floats
    n: float
    cov: Floats
    chance: Floats


def _separation(
    judged: _Side, reference: _Side, *, beyond: float = 0.0, confidence: float
) -> Separation:
    """S with floor and interval.

    The interval is normal. Its variance is the infinitesimal jackknife's (Efron 1982), ``g^T C g``
    with the gradient g of S in the shares on each side. Chance differences add twice the variance v
    of S under one law to that, on average; so v is taken off once, and what is left is at least v.
    """
    used = judged.share + reference.share > 0
    p, q = judged.share[used], reference.share[used]
    plain = float(0.5 * np.sum((p - q) ** 2 / (p + q)))
    inner = np.ix_(used, used)
    form = (judged.chance + reference.chance)[inner] / (2 * (p + q))[:, None]
    floor, chance = float(np.trace(form)) + beyond, 2 * float(np.sum(form * form.T))
    slopes = [0.5 * (a - b) * (a + 3 * b) / (a + b) ** 2 for a, b in ((p, q), (q, p))]
    sides = (judged, reference)
    spread = sum(float(g @ s.cov[inner] @ g) for g, s in zip(slopes, sides, strict=True))
    reach = two_sided(confidence) * math.sqrt(max(spread - chance, chance, 0.0))
    value, n = plain - floor, int(judged.n)
    found = Measurement(value, value - reach, value + reach, n, confidence=confidence)
    bins = int((reference.share > 0).sum())
    return Separation(plain, floor, found, bins, n, int(reference.n))


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
