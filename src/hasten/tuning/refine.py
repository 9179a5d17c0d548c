"""Refine: move the noise levels of a plan to where its samples come nearest to converged ones."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.tuning.newton import Ask, Floats, Found, gauss_newton

GAP = 0.05
"""Neighbouring levels differ at least by this in log sigma."""
REACH = 0.7
"""No level moves further than this in log sigma in one round."""


def refine(
    ask: Ask,
    target: Tensor,
    sigmas: Floats,
    *,
    high: float,
    low: float,
    rounds: int = 6,
    tolerance: float = 0.02,
) -> tuple[Floats, Found]:
    """Gauss and Newton's method over the logarithms of the noise levels.

    Args:
        ask: Plays the plan on noise levels.
        target: Converged samples [n, *shape].
        sigmas: Where to begin, descending.
        high: No level above this.
        low: None below this.
        rounds: At most this many steps.
        tolerance: Stop when a step improves the error by less than this share.

    Returns:
        The noise levels, never worse than the beginning, and how they were found.
    """
    found = gauss_newton(
        lambda place, before: ask(np.exp(place), before),
        target,
        np.log(sigmas),
        nudges=nudges,
        legal=lambda place: np.log(legal(place, high, low)),
        reach=REACH,
        rounds=rounds,
        tolerance=tolerance,
    )
    return np.exp(found.place), found


def distinct(process: Process, sigmas: Floats) -> Floats:
    """The nearest levels the net knows, each lower than the one before.

    Raises:
        PlanError: If there are not so many.
    """
    out = process.snap(np.asarray(sigmas, dtype=np.float64))
    for k in range(1, len(out)):
        out[k] = _beyond(process, out[k], out[k - 1], 0.98)
    for k in range(len(out) - 2, -1, -1):  # what was pushed out below comes back
        out[k + 1] = max(out[k + 1], process.snap(np.array([process.sigma_min]))[0])
        out[k] = _beyond(process, out[k], out[k + 1], 1.02)
    if out[0] > process.sigma_max * (1 + 1e-9):
        raise PlanError("the table of trained noise levels is too short for so many steps")
    return out


def _beyond(process: Process, level: float, other: float, factor: float) -> float:
    """The level, or the next one that is beyond another, up or down by a factor at a time.

    Past the ends of a table, where there is none, any number is.
    """
    wish = level
    while (level - other) * (factor - 1) <= 0:
        wish *= factor
        inside = process.sigma_min <= wish <= process.sigma_max
        level = float(process.snap(np.array([wish]))[0]) if inside else wish
    return level


def nudges(place: Floats) -> Floats:
    """By how much to move every level: up, but for the first, by a tenth of its nearer gap."""
    gaps = np.abs(np.diff(place))
    near = np.minimum(np.append(gaps, np.inf), np.append(np.inf, gaps))
    steps = 0.1 * np.minimum(near, 2.0)
    steps[0] *= -1
    return np.asarray(steps, dtype=np.float64)


def legal(place: Floats, high: float, low: float) -> Floats:
    """The noise levels of a descending grid within bounds and with gaps, nearest to a wish.

    Args:
        place: Logarithms of noise levels.
        high: Highest level.
        low: Lowest one.
    """
    top, bottom = np.log(high), np.log(low)
    out = np.clip(np.sort(place)[::-1], bottom, top)
    gap = min(GAP, (top - bottom) / max(1, len(out)))
    for k in range(1, len(out)):
        out[k] = min(out[k], out[k - 1] - gap)
    out[-1] = max(out[-1], bottom)
    for k in range(len(out) - 2, -1, -1):  # what was pushed out below comes back
        out[k] = max(out[k], out[k + 1] + gap)
    return np.asarray(np.exp(out), dtype=np.float64)
