"""UniPC: a predictor whose step is corrected once the net has been asked at its end."""

# ruff: noqa: N803, N806 (the papers' letters)
from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hasten.errors import PlanError
from hasten.solvers.build import Evaluation, Run, Solver, V
from hasten.solvers.exponential import ahead, check_order, latest, phi

SCALES: dict[str, Callable[[float], float]] = {"bh1": lambda z: z, "bh2": math.expm1}
"""The paper's two choices of B; they matter only where a single weight is set to one half.

That is in every corrector of order 1 and every predictor of order 2, and with order 3 in the first
steps and the last alone.
"""


def unipc(p: int, scale: str = "bh2", *, lower_final: bool = True) -> Solver:
    """UniPC of order ``p``, x0-prediction: Zhao et al. 2023 (arXiv 2302.04867), section 3.

    Corrector and predictor start from the same point, so the correction is the difference of their
    sums, and no earlier x is needed.

    Args:
        p: Order of the predictor, 1 to 3; fewer in the first steps. With the corrector p + 1.
        scale: ``bh1`` or ``bh2``.
        lower_final: Whether the last steps use fewer too, one in the last.

    Raises:
        PlanError: If there is no such order or scale.
    """
    check_order("UniPC", p, 3)
    if scale not in SCALES:
        raise PlanError(
            f"UniPC with scale {scale!r}", where="scale", hint=f"one of {', '.join(SCALES)}"
        )
    B = SCALES[scale]

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        D = run.denoise(x, s)
        if t == 0:
            return D
        now = Evaluation(s, x, D)
        if run.past:
            known = latest(run.past[-1], run.past[:-1], p, ahead(run, i - 1, lower_final))
            x = x + _terms(known, s, now, B) - _terms(known, s, None, B)
        known = latest(now, run.past, p, ahead(run, i, lower_final))
        return (t / s) * x - math.expm1(-math.log(s / t)) * D + _terms(known, t, None, B)

    name = f"unipc{p}" if scale == "bh2" else f"unipc{p}_{scale}"
    return Solver(name, step, 1, p + 1, f"Zhao et al. 2023, arXiv 2302.04867, {scale}")


def _terms(
    known: Sequence[Evaluation[V]],
    t: float,
    ahead: Evaluation[V] | None,
    B: Callable[[float], float],
) -> V:
    """What UniPC adds to the first-order step from ``known[0]`` to ``t``.

    Args:
        known: Evaluations at and before the start of the step, newest first.
        t: Where the step ends.
        ahead: The evaluation there, for the corrector; None for the predictor.
        B: The scale.
    """
    now = known[0]
    h = math.log(now.sigma / t)
    others = list(known[1:])
    if ahead is not None:
        others.append(ahead)
    r = np.array([math.log(now.sigma / other.sigma) / h for other in others])
    rho = _weights(r, -h, B(-h))
    total: V = 0.0 * now.D
    for weight, r_m, other in zip(rho.tolist(), r.tolist(), others, strict=True):
        total = total - B(-h) * weight / r_m * (other.D - now.D)
    return total


def _weights(r: NDArray[np.float64], z: float, B: float) -> NDArray[np.float64]:
    """Solution rho of eq. 9 there; one half where only one is wanted."""
    if len(r) <= 1:
        return np.full(len(r), 0.5)
    orders = range(1, len(r) + 1)
    right = [math.factorial(k) * z * phi(k + 1, z) / B for k in orders]
    return np.linalg.solve(np.stack([r ** (k - 1) for k in orders]), np.array(right))
