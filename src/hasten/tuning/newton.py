"""Gauss and Newton's method for the numbers of a plan.

With common noise the endpoint is a smooth deterministic function of a plan's numbers, and it is not
one number but a whole vector of residuals. So a dozen runs of the plan tell as much as hundreds
tell a method that only sees the total (Levenberg 1944, Marquardt 1963). Derivatives are
differences: a number of row k changes nothing before row k, and what is not changed is not run
again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hasten.errors import OutputError, PlanError
from hasten.tuning.play import Played

Floats: TypeAlias = NDArray[np.float64]
Ask: TypeAlias = Callable[[Floats, Played | None], Played]
"""Plays the plan that some numbers make; the second argument is a run to borrow rows from."""

ATTEMPTS = 3
"""Steps tried with growing damping before a place counts as the best."""
GENTLEST = 1e-4
"""Damping is never less: some numbers hardly matter, and must not run away."""


@final
@dataclass(frozen=True, eq=False)
class Found:
    """Where the numbers ended.

    Attributes:
        place: The numbers.
        played: The run they make.
        error: Mean RMSE to the converged samples.
        rounds: How many steps were taken.
        runs: How many times the plan was played.
    """

    place: Floats
    played: Played
    error: float
    rounds: int
    runs: int


def gauss_newton(
    ask: Ask,
    target: Tensor,
    place: Floats,
    *,
    nudges: Callable[[Floats], Floats],
    legal: Callable[[Floats], Floats],
    reach: float,
    rounds: int,
    tolerance: float,
) -> Found:
    """Move numbers to where the samples come closest to the converged ones.

    Args:
        ask: Plays the plan.
        target: Converged samples [n, *shape].
        place: Where to begin.
        nudges: By how much each number is moved for its derivative, with sign; zero leaves it out.
        legal: The allowed numbers nearest to a wish.
        reach: No number moves further in one round.
        rounds: At most this many steps.
        tolerance: Stop when a step improves the error by less than this share.

    Returns:
        Never worse than the beginning.

    Raises:
        PlanError: If the beginning makes no plan.
        OutputError: If the beginning leaves the numbers.
    """
    place = legal(place)
    played, runs, damping = ask(place, None), 1, 1e-2
    error = mean_error(played.end, target)
    for taken in range(rounds):
        steps = nudges(place)
        if error == 0 or not steps.any():
            return Found(place, played, error, taken, runs)
        weights = _weights(played.end, target)
        columns, free = [], []
        for k in np.flatnonzero(steps):
            moved = place.copy()
            moved[k] += steps[k]
            if (nearby := _attempt(ask, moved, played)) is None:
                continue  # where it cannot be moved, it stays
            columns.append(((nearby.end - played.end) * weights).flatten() / float(steps[k]))
            free.append(k)
        runs += len(free)
        if not free:
            return Found(place, played, error, taken, runs)
        jacobian = torch.stack(columns)
        residual = ((played.end - target) * weights).flatten()
        normal = (jacobian @ jacobian.T).double().cpu().numpy()
        slope = (jacobian @ residual).double().cpu().numpy()
        before = error
        for _ in range(ATTEMPTS):
            matrix = normal + damping * np.diag(np.diag(normal) + 1e-12)
            wish = place.copy()
            wish[free] += np.clip(np.linalg.solve(matrix, -slope), -reach, reach)
            there = legal(wish)
            trial = _attempt(ask, there, None)
            runs += 1
            if trial is not None and (found := mean_error(trial.end, target)) < error:
                place, played, error = there, trial, found
                damping = max(damping / 10, GENTLEST)
                break
            damping *= 10
        if error >= before:
            return Found(place, played, error, taken, runs)
        if 1 - error / before < tolerance:
            return Found(place, played, error, taken + 1, runs)
    return Found(place, played, error, rounds, runs)


def _attempt(ask: Ask, place: Floats, before: Played | None) -> Played | None:
    """The run that some numbers make; None if they make no plan or leave the numbers."""
    try:
        return ask(place, before)
    except (OutputError, PlanError):
        return None


def sample_errors(end: Tensor, target: Tensor) -> Tensor:
    """Root mean square difference of each sample [n]."""
    return (end - target).square().flatten(1).mean(1).sqrt()


def mean_error(end: Tensor, target: Tensor) -> float:
    """Mean over samples of their RMSE; a few samples that end elsewhere do not dominate it."""
    return float(sample_errors(end, target).mean())


def _weights(end: Tensor, target: Tensor) -> Tensor:
    """What makes the sum of squares stand for the mean of roots, near here [n, 1, ...]."""
    errors = sample_errors(end, target)
    return (errors + 0.1 * errors.mean()).rsqrt().reshape(-1, *[1] * (end.ndim - 1))
