"""Predictor: which proposals promise most, told from what earlier ones came to.

Kernel ridge regression of the logarithm of the error on a few numbers that describe a proposal:
dozens of trials teach it, where the nets that searches on thousands of scores train would learn
them by heart. It is asked for an order only, and costs no evaluation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from hasten.tuning.newton import Floats

RIDGES = 1.0, 0.1, 0.01, 1e-3
"""How much of a trial's own error may be taken for chance, beside a kernel of height 1; the trials
themselves tell which fits."""
REACH = 1e-3, 10.0
"""Errors count from and to so many times their median: one that is hopeless, or next to none, must
not bend the whole surface."""


def ranked(tried: Floats, errors: Floats, asked: Floats) -> NDArray[np.int64]:
    """The order in which proposals are worth trying, the one of least predicted error first.

    Args:
        tried: Features of what was tried [m, d].
        errors: What it came to [m].
        asked: Features of the proposals [k, d].
    """
    spread = tried.std(axis=0)
    alike = spread == 0  # tells nothing, and of what was not tried nobody knows
    known, new = (
        (x[:, ~alike] - tried.mean(axis=0)[~alike]) / spread[~alike] for x in (tried, asked)
    )
    # the mean square of the distance between two that were tried is 2 a feature
    width = 4.0 * max(1, known.shape[1])
    kernel, across = (np.exp(-cdist(x, known, "sqeuclidean") / width) for x in (known, new))
    # 0 at the median, which is what is expected of proposals unlike all that was tried
    middle = max(float(np.median(errors)), np.finfo(np.float64).tiny)
    target = np.log(np.clip(errors / middle, *REACH))
    fits = [_fit(kernel, target, ridge) for ridge in RIDGES]
    _, weights = min(fits, key=lambda fit: fit[0])
    return np.argsort(across @ weights, kind="stable")


def _fit(kernel: Floats, target: Floats, ridge: float) -> tuple[float, Floats]:
    """How far each trial is from what all others tell of it, squared; and the weights of all [m].

    Both follow from one inverse: Rasmussen and Williams 2006, eq. 5.12.
    """
    inverse = np.linalg.inv(kernel + ridge * np.eye(len(kernel)))
    weights = inverse @ target
    return float(np.square(weights / inverse.diagonal()).mean()), weights
