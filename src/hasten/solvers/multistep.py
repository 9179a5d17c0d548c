"""Solvers that remember earlier evaluations; one evaluation a step.

``s`` is the noise level a step starts from, ``t`` the one it goes to, ``h = log(s / t)`` the step
in half-log-SNR, ``D`` the net's x0.
"""

# ruff: noqa: N806 (the papers' letters)
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hasten.solvers.build import Evaluation, Run, Solver, V


def dpmpp_2m(x: V, run: Run[V], i: int) -> V:
    """DPM-Solver++(2M), midpoint form: Lu et al. 2022 (arXiv 2211.01095), algorithm 2.

    The first step is of first order, and so is the one to sigma = 0, where h is infinite.
    """
    s, t = run.sigmas[i], run.sigmas[i + 1]
    D = run.denoise(x, s)
    if t == 0:
        return D
    h = math.log(s / t)
    if run.past:
        r = math.log(run.past[-1].sigma / s) / h
        D = (1 + 1 / (2 * r)) * D - (1 / (2 * r)) * run.past[-1].D
    return (t / s) * x - math.expm1(-h) * D


def lms(k: int, *, lower_final: bool = False) -> Solver:
    """Adams-Bashforth of order ``k`` in sigma, with variable steps.

    The last k slopes are interpolated by a polynomial, which is integrated exactly. Equal to DEIS
    with polynomials in sigma (Zhang and Chen 2023, arXiv 2204.13902, "rho AB"), and to LMS in
    k-diffusion up to its quadrature.

    Args:
        k: Slopes used, 1 to 4; fewer in the first steps.
        lower_final: Whether the last steps use fewer too, one in the last.
    """

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        now = Evaluation(s, x, run.denoise(x, s))
        known = _latest(now, run.past, k, _ahead(run, i, lower_final))
        levels = [evaluation.sigma for evaluation in known]
        for j, evaluation in enumerate(known):
            x = x + _integral(levels, j, s, t) * evaluation.slope
        return x

    return Solver(f"lms{k}", step, 1, k, "Zhang and Chen 2023, arXiv 2204.13902, rho AB")


def ipndm(k: int, *, lower_final: bool = False) -> Solver:
    """Adams-Bashforth of order ``k`` with the weights of equal steps, on any grid.

    Liu et al. 2022 (arXiv 2202.09778) without its Runge-Kutta start; Zhang and Chen 2023. Of order
    2 at most on unequal steps, but with small errors where steps are few.

    Args:
        k: Slopes used, 1 to 4; fewer in the first steps.
        lower_final: Whether the last steps use fewer too, one in the last.
    """

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        now = Evaluation(s, x, run.denoise(x, s))
        known = _latest(now, run.past, k, _ahead(run, i, lower_final))
        for weight, evaluation in zip(_ADAMS[len(known)], known, strict=True):
            x = x + (t - s) * weight * evaluation.slope
        return x

    return Solver(f"ipndm{k}", step, 1, min(k, 2), "Liu et al. 2022, arXiv 2202.09778")


_ADAMS: dict[int, tuple[float, ...]] = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


def unipc(p: int, *, lower_final: bool = True) -> Solver:
    """UniPC of order ``p``, x0-prediction, B2(h): Zhao et al. 2023 (arXiv 2302.04867), section 3.

    A predictor of order p, whose step is corrected once the net has been asked at its end.
    Corrector and predictor start from the same point, so the correction is the difference of their
    sums, and no earlier x is needed.

    Args:
        p: Order of the predictor, 1 to 3; fewer in the first steps. With the corrector p + 1.
        lower_final: Whether the last steps use fewer too, one in the last.
    """

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        D = run.denoise(x, s)
        if t == 0:
            return D
        now = Evaluation(s, x, D)
        if i > 0:
            known = _latest(run.past[-1], run.past[:-1], p, _ahead(run, i - 1, lower_final))
            x = x + _terms(known, s, now) - _terms(known, s, None)
        known = _latest(now, run.past, p, _ahead(run, i, lower_final))
        return (t / s) * x - math.expm1(-math.log(s / t)) * D + _terms(known, t, None)

    return Solver(f"unipc{p}", step, 1, p + 1, "Zhao et al. 2023, arXiv 2302.04867, B2")


def _terms(known: Sequence[Evaluation[V]], t: float, ahead: Evaluation[V] | None) -> V:
    """What UniPC adds to the first-order step from ``known[0]`` to ``t``.

    Args:
        known: Evaluations at and before the start of the step, newest first.
        t: Where the step ends.
        ahead: The evaluation there, for the corrector; None for the predictor.
    """
    now = known[0]
    h = math.log(now.sigma / t)
    others = list(known[1:])
    if ahead is not None:
        others.append(ahead)
    r = np.array([math.log(now.sigma / other.sigma) / h for other in others])
    rho = _weights(r, -h)
    total: V = 0.0 * now.D
    for weight, r_m, other in zip(rho.tolist(), r.tolist(), others, strict=True):
        total = total - math.expm1(-h) * weight / r_m * (other.D - now.D)
    return total


def _weights(r: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    """Solution rho of eq. 9 there with B(h) = expm1(z); one half where only one is wanted."""
    if len(r) <= 1:
        return np.full(len(r), 0.5)
    orders = range(1, len(r) + 1)
    right = [math.factorial(k) * z * phi(k + 1, z) / math.expm1(z) for k in orders]
    return np.linalg.solve(np.stack([r ** (k - 1) for k in orders]), np.array(right))


def phi(k: int, z: float) -> float:
    """``phi_0 = e^z``, ``phi_{k+1}(z) = (phi_k(z) - 1/k!) / z``."""
    if abs(z) < 1:  # where the differences would cancel
        return math.fsum(z**n / math.factorial(n + k) for n in range(20))
    value = math.exp(z)
    for n in range(k):
        value = (value - 1 / math.factorial(n)) / z
    return value


def _ahead(run: Run[V], i: int, lower_final: bool) -> int | None:
    """How many steps are left including step i, if that limits the order."""
    return len(run.sigmas) - 1 - i if lower_final else None


def _latest(
    now: Evaluation[V], past: Sequence[Evaluation[V]], k: int, ahead: int | None
) -> list[Evaluation[V]]:
    """A step's own evaluation and those before it, newest first: as many as its order is to be."""
    known = [now]
    known.extend(past[::-1])
    return known[: k if ahead is None else min(k, ahead)]


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
