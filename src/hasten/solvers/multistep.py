"""Solvers that remember earlier evaluations; one evaluation a step.

``s`` is the noise level a step starts from, ``t`` the one it goes to, ``h = log(s / t)`` the step
in half-log-SNR, ``D`` the net's x0.
"""

# ruff: noqa: N806 (the papers' letters)
from __future__ import annotations

import math

from hasten.solvers.build import Run, V


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
