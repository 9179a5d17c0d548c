"""The confidence intervals of this room, each with the paper it comes from and its limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def two_sided(confidence: float) -> float:
    """The z with this probability between -z and z."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def mean_interval(values: Floats, confidence: float) -> tuple[float, float]:
    """Normal interval of a mean, for some dozens of values upwards; one value has no spread."""
    if len(values) < 2:
        return -math.inf, math.inf
    reach = two_sided(confidence) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return float(np.mean(values)) - reach, float(np.mean(values)) + reach


def share_interval(hits: float, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval of a probability (J. Am. Stat. Assoc. 22, 1927), right near 0 and 1 too."""
    if n < 1:
        return 0.0, 1.0
    z, p = two_sided(confidence), hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def median_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Between order statistics, whatever the distribution; at least the confidence asked for.

    The median lies below the r-th smallest of n values with probability P(Binomial(n, 1/2) < r).
    Six values are needed for 95 %; with fewer the interval is the whole line.
    """
    ordered, n = sorted(values), len(values)
    tail, below, rank = (1 - confidence) / 2, 0.0, 0
    while rank < n // 2 and below + math.comb(n, rank) / 2**n <= tail:
        below += math.comb(n, rank) / 2**n
        rank += 1
    return (ordered[rank - 1], ordered[n - rank]) if rank else (-math.inf, math.inf)


def ratio_interval(
    top: float, bottom: float, covariance: Floats, confidence: float
) -> tuple[float, float]:
    """Fieller's interval of ``top / bottom`` (Biometrika 1932), both positive or not.

    Args:
        top: Estimate of the numerator.
        bottom: Estimate of the denominator.
        covariance: Of the two estimates [2, 2].
        confidence: Two-sided level.

    Returns:
        The ends; the whole line where the denominator cannot be told from zero. Close to the delta
        method where its standard error is a small part of it.
    """
    z = two_sided(confidence)
    vtt, vbb, vtb = float(covariance[0, 0]), float(covariance[1, 1]), float(covariance[0, 1])
    if bottom <= 0 or (g := z * z * vbb / bottom**2) >= 1:
        return -math.inf, math.inf
    ratio = top / bottom
    # roots of (top - r bottom)^2 = z^2 (vtt - 2 r vtb + r^2 vbb)
    middle = ratio - z * z * vtb / bottom**2
    inner = middle**2 - (1 - g) * (ratio**2 - z * z * vtt / bottom**2)
    reach = math.sqrt(max(inner, 0.0))
    return (middle - reach) / (1 - g), (middle + reach) / (1 - g)
