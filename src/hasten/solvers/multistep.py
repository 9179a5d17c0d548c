"""Multistep solvers in sigma itself; one evaluation a step.

``s`` is the noise level a step starts from, ``t`` the one it goes to. On ``dx / dsigma = e``, with
e the noise the net sees, these are the classical methods of Adams and Bashforth.
"""

# ruff: noqa: N806 (the papers' letters)
from __future__ import annotations

import math
from collections.abc import Sequence

from hasten.solvers.build import Evaluation, Run, Solver, V
from hasten.solvers.exponential import ahead, check_order, latest


def lms(k: int, *, lower_final: bool = False) -> Solver:
    """Adams-Bashforth of order ``k`` in sigma, with variable steps.

    The last k slopes are interpolated by a polynomial, which is integrated exactly. Equal to DEIS
    with polynomials in sigma (Zhang and Chen 2023, arXiv 2204.13902, "rho AB"), and to LMS in
    k-diffusion up to its quadrature.

    Args:
        k: Slopes used, 1 to 4; fewer in the first steps.
        lower_final: Whether the last steps use fewer too, one in the last.

    Raises:
        PlanError: If there is no such order.
    """
    check_order("LMS", k)

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        now = Evaluation(s, x, run.denoise(x, s))
        return _adams_bashforth(x, latest(now, run.past, k, ahead(run, i, lower_final)), t)

    return Solver(f"lms{k}", step, 1, k, "Zhang and Chen 2023, arXiv 2204.13902, rho AB")


def ipndm(k: int, *, lower_final: bool = False) -> Solver:
    """Adams-Bashforth of order ``k`` with the weights of equal steps, on any grid.

    Liu et al. 2022 (arXiv 2202.09778) without its Runge-Kutta start; Zhang and Chen 2023. Of order
    2 at most on unequal steps, but with small errors where steps are few.

    Args:
        k: Slopes used, 1 to 4; fewer in the first steps.
        lower_final: Whether the last steps use fewer too, one in the last.

    Raises:
        PlanError: If there is no such order.
    """
    check_order("iPNDM", k, len(_ADAMS))

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        now = Evaluation(s, x, run.denoise(x, s))
        known = latest(now, run.past, k, ahead(run, i, lower_final))
        for weight, evaluation in zip(_ADAMS[len(known)], known, strict=True):
            x = x + (t - s) * weight * evaluation.slope
        return x

    return Solver(f"ipndm{k}", step, 1, min(k, 2), "Liu et al. 2022, arXiv 2202.09778")


def ipndm_v() -> Solver:
    """The third-order method for variable steps as diff-sampler's iPNDM_v has it.

    With h, h1, h2 the steps from the newest on, q = h / (3 (h + h1)) and R = h (h + h1) /
    (h1 (h1 + h2)), a bracket there makes ``(1 - q R) / 2`` of the last coefficient of `lms` (3),
    ``(1 - q) R / 2``. That is (1 - R) / 2 more. Where steps change smoothly R tends to 1 and the
    method stays of third order, often with smaller errors.
    """

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        now = Evaluation(s, x, run.denoise(x, s))
        known = latest(now, run.past, 3, None)
        x = _adams_bashforth(x, known, t)
        if len(known) < 3:
            return x
        once, twice = known[1:]
        h, h1, h2 = s - t, once.sigma - s, twice.sigma - once.sigma
        R = h * (h + h1) / (h1 * (h1 + h2))
        bend = now.slope - (1 + h1 / h2) * once.slope + h1 / h2 * twice.slope
        return x - h * (1 - R) / 2 * bend

    return Solver("ipndm3_v", step, 1, 3, "Zhang and Chen 2023, as diff-sampler has it")


_ADAMS: dict[int, tuple[float, ...]] = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


def _adams_bashforth(x: V, known: Sequence[Evaluation[V]], t: float) -> V:
    """From ``x`` at ``known[0]`` to ``t`` along the polynomial through the slopes."""
    levels = [evaluation.sigma for evaluation in known]
    for j, evaluation in enumerate(known):
        x = x + _integral(levels, j, levels[0], t) * evaluation.slope
    return x


def _integral(levels: Sequence[float], j: int, s: float, t: float) -> float:
    """Integral from s to t of the polynomial that is 1 at ``levels[j]`` and 0 at the others.

    By Gauss-Legendre with two nodes, exact up to degree 3.
    """
    total = 0.0
    for node in (-math.sqrt(1 / 3), math.sqrt(1 / 3)):
        u = (s + t) / 2 + node * (t - s) / 2
        rest = (q for q in range(len(levels)) if q != j)
        total += math.prod((u - levels[q]) / (levels[j] - levels[q]) for q in rest)
    return total * (t - s) / 2
