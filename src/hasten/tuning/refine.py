"""Refine: move the noise levels of a plan to where its samples come closest to the converged ones.

With common noise the endpoint is a smooth deterministic function of the grid, and it is not one
number but a whole vector of residuals, so Gauss and Newton's method applies: a dozen runs of the
plan tell it as much as hundreds tell a method that only sees the total (Levenberg 1944, Marquardt
1963).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.tuning.play import Played

Floats: TypeAlias = NDArray[np.float64]
Ask: TypeAlias = Callable[[Floats, Played | None], Played]
"""Plays the plan on a grid; the second argument is a run nearby that it may borrow rows from."""

GAP = 0.05
"""Neighbouring levels differ at least by this in log sigma."""
REACH = 0.7
"""No level moves further than this in log sigma in one round."""


@final
@dataclass(frozen=True, eq=False)
class Refined:
    """Where the grid ended.

    Attributes:
        sigmas: The noise levels.
        error: Mean RMSE to the converged samples.
        rounds: How many steps were taken.
        runs: How many times the plan was played.
    """

    sigmas: Floats
    error: float
    rounds: int
    runs: int


def refine(
    ask: Ask,
    target: Tensor,
    sigmas: Floats,
    *,
    high: float,
    low: float,
    rounds: int = 6,
    tolerance: float = 0.02,
) -> Refined:
    """Levenberg-Marquardt over the logarithms of the noise levels.

    Args:
        ask: Plays the plan.
        target: Converged samples [n, *shape].
        sigmas: Where to begin, descending.
        high: No level above this.
        low: None below this.
        rounds: At most this many steps.
        tolerance: Stop when a step improves the error by less than this share.

    Returns:
        Never worse than the beginning.
    """
    place = np.log(legal(np.log(sigmas), high, low))
    played, runs, damping = ask(np.exp(place), None), 1, 1e-2
    error = mean_error(played.end, target)
    for taken in range(rounds):
        weights = _weights(played.end, target)
        residual = ((played.end - target) * weights).flatten()
        columns = []
        for k in range(len(place)):
            moved, step = _nudge(place, k)
            nearby = ask(np.exp(moved), played)
            runs += 1
            columns.append(((nearby.end - played.end) * weights).flatten() / step)
        jacobian = torch.stack(columns)
        normal = (jacobian @ jacobian.T).double().cpu().numpy()
        slope = (jacobian @ residual).double().cpu().numpy()
        better = None
        for _ in range(3):
            matrix = normal + damping * np.diag(np.diag(normal) + 1e-12)
            step_to = np.clip(np.linalg.solve(matrix, -slope), -REACH, REACH)
            there = np.log(legal(place + step_to, high, low))
            trial = ask(np.exp(there), None)
            runs += 1
            if (found := mean_error(trial.end, target)) < error:
                better = there, trial, found
                break
            damping *= 10
        if better is None:
            return Refined(np.exp(place), error, taken, runs)
        gain = 1 - better[2] / error
        place, played, error = better
        damping = max(damping / 10, 1e-4)
        if gain < tolerance:
            return Refined(np.exp(place), error, taken + 1, runs)
    return Refined(np.exp(place), error, rounds, runs)


def sample_errors(end: Tensor, target: Tensor) -> Tensor:
    """Root mean square difference of each sample [n]."""
    return (end - target).square().flatten(1).mean(1).sqrt()


def mean_error(end: Tensor, target: Tensor) -> float:
    """Mean over samples of their RMSE; a few samples that end elsewhere do not dominate it."""
    return float(sample_errors(end, target).mean())


def distinct(process: Process, sigmas: Floats) -> Floats:
    """The nearest levels the net knows, each lower than the one before.

    Raises:
        PlanError: If there are not so many.
    """
    out = process.snap(np.asarray(sigmas, dtype=np.float64))
    for k in range(1, len(out)):
        lower = out[k]
        while out[k] >= out[k - 1]:
            if lower < process.sigma_min:
                raise PlanError("the table of trained noise levels is too short for so many steps")
            lower *= 0.98
            out[k] = process.snap(np.array([lower]))[0]
    return out


def _weights(end: Tensor, target: Tensor) -> Tensor:
    """What makes the sum of squares stand for the mean of roots, near here [n, 1, ...]."""
    errors = sample_errors(end, target)
    return (errors + 0.1 * errors.mean()).rsqrt().reshape(-1, *[1] * (end.ndim - 1))


def _nudge(place: Floats, k: int) -> tuple[Floats, float]:
    """One level moved by a small share of the way to its neighbour."""
    gaps = np.abs(np.diff(place))
    near = min(gaps[k - 1] if k else np.inf, gaps[k] if k < len(gaps) else np.inf, 2.0)
    step = -0.1 * near if k == 0 else 0.1 * near
    moved = place.copy()
    moved[k] += step
    return moved, float(step)


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
