"""Incident energies to draw showers at."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hasten.errors import DataError

Floats = NDArray[np.float64]


def incident_energies(
    law: str, count: int, rng: np.random.Generator, low: float = 1e3, high: float = 1e6
) -> Floats:
    """Energies between two others.

    Args:
        law: ``power``, as many in every decade (log-uniform, as in the CaloChallenge's second and
            third sets), or ``uniform``, as many in every MeV, so that nine in ten lie in the last
            decade.
        count: How many.
        rng: Where chance comes from.
        low: MeV; 1 GeV by default.
        high: MeV; 1 TeV by default.

    Returns:
        [count], MeV.

    Raises:
        DataError: If the law is unknown, the count negative or the range none.
    """
    if law not in LAWS:
        raise DataError(f"unknown law of energies {law!r}", hint=f"one of {', '.join(LAWS)}")
    if count < 0:
        raise DataError(f"cannot draw {count} energies")
    if not 0 < low <= high < math.inf:
        raise DataError(
            f"no range of energies from {low / 1000:g} to {high / 1000:g} GeV",
            hint="both must be positive and finite, the lower first; in Python they are in MeV",
        )
    # the ends are met exactly but for roundings, which must not leave the range
    return np.clip(LAWS[law](rng.random(count), low, high), low, high)


def _power(u: Floats, low: float, high: float) -> Floats:
    return low * (high / low) ** u


def _uniform(u: Floats, low: float, high: float) -> Floats:
    return low + (high - low) * u


LAWS: dict[str, Callable[[Floats, float, float], Floats]] = {"power": _power, "uniform": _uniform}
"""From uniform numbers in [0, 1) to energies from low to high."""
