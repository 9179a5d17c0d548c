"""DEIS with polynomials in a time of one's choice; one evaluation a step.

On ``dx / dsigma = e``, with e the noise the net sees, a step from ``s`` to ``t`` is the integral of
e over sigma. DEIS (Zhang and Chen 2023, arXiv 2204.13902) puts a polynomial through earlier
evaluations for e. What its forms differ in is the variable of the polynomial: in sigma it is `lms`
(rho AB), in log sigma `exponential` with the noise, and in the time of a process "t AB".
"""

# ruff: noqa: N806 (the papers' letters)
from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from hasten.core.process import VP, Law
from hasten.solvers.build import Evaluation, Run, Solver, V
from hasten.solvers.exponential import ahead, check_order, latest

_NODES, _WEIGHTS = (each.tolist() for each in np.polynomial.legendre.leggauss(16))
"""Sixteen points an octave or less: the integrand is smooth in log sigma, and this is exact for it
to double precision."""


def vp_time(sigma: float) -> float:
    """The time of the linear variance-preserving process, beta from 0.1 to 20.

    Solvers do not see the process they are used on, so the stock forms take the one the paper's
    experiments are about; to others it is a reparametrization like any.
    """
    return float(_LINEAR.t_of_sigma(np.asarray(sigma)))


_LINEAR = VP(Law.LINEAR)


def deis_t(k: int, time: Callable[[float], float] = vp_time, *, lower_final: bool = True) -> Solver:
    """DEIS "t AB": the polynomial through the last ``k`` evaluations is one in ``time(sigma)``.

    Args:
        k: Evaluations used, 1 to 4; fewer in the first steps.
        time: Strictly increasing and smooth in log sigma.
        lower_final: Whether the last steps use fewer too, one in the last.

    Raises:
        PlanError: If there is no such order.
    """
    check_order("DEIS", k)

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        D = run.denoise(x, s)
        if t == 0:
            return D
        known = latest(Evaluation(s, x, D), run.past, k, ahead(run, i, lower_final))
        times = [time(each.sigma) for each in known]
        for weight, each in zip(_integrals(times, time, s, t), known, strict=True):
            x = x + weight * each.slope
        return x

    return Solver(f"deis{k}_t", step, 1, k, "Zhang and Chen 2023, arXiv 2204.13902, t AB")


def _integrals(
    times: Sequence[float], time: Callable[[float], float], s: float, t: float
) -> list[float]:
    """Integrals over sigma from ``s`` to ``t`` of the Lagrange polynomials on ``times``."""
    totals = [0.0 for _ in times]
    panels = max(1, math.ceil(math.log2(s / t)))
    half = math.log(t / s) / panels / 2
    for panel in range(panels):
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            sigma = s * math.exp(half * (2 * panel + 1 + node))
            now = time(sigma)
            for j, own in enumerate(times):
                others = (other for q, other in enumerate(times) if q != j)
                value = math.prod((now - other) / (own - other) for other in others)
                totals[j] += half * weight * sigma * value
    return totals
