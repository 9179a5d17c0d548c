"""AUC: how often a classifier ranks a judged shower above a true one, by cross-validation.

A half is chance, 1 is told apart always. A classifier that finds nothing proves little by itself;
`docs/physics.md` has what each of ours finds of planted damage, at the same number of showers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hasten.data.geometry import Floats
from hasten.errors import BudgetError
from hasten.measure.intervals import two_sided
from hasten.measure.result import Measurement

Indices = NDArray[np.intp]
Scores = Callable[[Indices, Indices], ArrayLike]
"""Fits on some showers and scores others, by number: judged ones first, then true ones."""
FEWEST = 20
"""Showers of either side in a fold."""


def delong(above: ArrayLike, below: ArrayLike) -> tuple[float, float]:
    """AUC of scores, and its variance (DeLong, DeLong and Clarke-Pearson 1988).

    By midranks (Sun and Xu 2014): with V the share of the other side's scores below each score,
    ties counting a half, AUC is the mean of V and its variance ``var(V) / n + var(V') / m``.

    Args:
        above: Scores that should be the higher ones [n].
        below: The others [m].
    """
    from scipy.stats import rankdata

    x, y = np.asarray(above, np.float64), np.asarray(below, np.float64)
    n, m = len(x), len(y)
    ranks = rankdata(np.concatenate([x, y]))
    over = (ranks[:n] - rankdata(x)) / m
    under = 1 - (ranks[n:] - rankdata(y)) / n
    variance = over.var(ddof=1) / n + under.var(ddof=1) / m
    return float(over.mean()), float(variance)


def cross_validated(
    n: int, m: int, scores: Scores, *, folds: int, seed: int, confidence: float, facts: Any
) -> Measurement:
    """Mean AUC over folds of n judged and m true showers.

    Every shower is scored once, by a classifier that has not seen it. The mean is over folds, for
    scores of differently fitted classifiers have no common scale.

    The variance is twice that of independent folds. Folds train on each other: where two of them
    differ from the rest by chance in the same way, each helps to recognise the other. For a linear
    classifier that finds nothing, with chance differences d_k of the folds, the sum over folds is
    ``sum_k <sum_(j != k) d_j, d_k>``, which has every pair twice and so twice the variance of its
    terms' sum. Far from a half the factor is nearer 1 and the interval wider than need be.

    Raises:
        BudgetError: If a fold has fewer than 20 showers of either side.
    """
    if folds < 2 or min(n, m) < FEWEST * folds:
        raise BudgetError(
            f"{n} and {m} showers are too few for {folds} folds",
            where="classifier",
            hint=f"give at least {FEWEST * folds} of either",
        )
    rng = np.random.default_rng(seed)
    parts = [np.array_split(rng.permutation(k), folds) for k in (n, m)]
    found = np.empty((folds, 2))
    for fold in range(folds):
        judged, true = (part[fold] for part in parts)
        held = np.concatenate([judged, n + true])
        seen = np.setdiff1d(np.arange(n + m), held)
        given: Floats = np.asarray(scores(seen, held), dtype=np.float64)
        found[fold] = delong(given[: len(judged)], given[len(judged) :])
    value = float(found[:, 0].mean())
    reach = two_sided(confidence) * float(np.sqrt(2 * found[:, 1].sum())) / folds
    return Measurement(
        value,
        max(value - reach, 0.0),
        min(value + reach, 1.0),
        n,
        confidence=confidence,
        context={"estimator": "AUC, DeLong", "folds": folds, "reference_n": m, **facts},
        raw=tuple(found[:, 0].tolist()),
    )
