"""Solvers without memory. ``s`` is the noise level a step starts from, ``t`` the one it goes to.

``h = log(s / t)`` is the step in half-log-SNR, ``D`` the net's x0 and ``e = (x - D) / s`` the noise
it sees. A step to sigma = 0, where h is infinite, is of first order in all of them.
"""

# ruff: noqa: N806 (the papers' letters)
from __future__ import annotations

import math

from hasten.solvers.build import Run, Step, V


def euler(x: V, run: Run[V], i: int) -> V:
    """Euler on ``dx / dsigma = (x - D) / sigma``.

    Song, Meng and Ermon 2021 (arXiv 2010.02502), eq. 12 with eta = 0: DDIM, DPM-Solver-1,
    DPM-Solver++-1 and Euler's method for flows are this same formula.
    """
    s, t = run.sigmas[i], run.sigmas[i + 1]
    D = run.denoise(x, s)
    return (t / s) * x + (1 - t / s) * D


def heun(x: V, run: Run[V], i: int) -> V:
    """Heun's second-order method; Karras et al. 2022 (arXiv 2206.00364), algorithm 1."""
    return heun_from(x, run, run.sigmas[i], run.sigmas[i + 1])


def heun_from(x: V, run: Run[V], s: float, t: float) -> V:
    """Heun's step from ``x`` at any level ``s`` to ``t``."""
    D = run.denoise(x, s)
    y = (t / s) * x + (1 - t / s) * D
    if t == 0:
        return y
    d, d_next = (x - D) / s, (y - run.denoise(y, t)) / t
    return x + (t - s) * (0.5 * d + 0.5 * d_next)


def dpm_2(x: V, run: Run[V], i: int) -> V:
    """DPM-Solver-2 with r = 1/2: Lu et al. 2022 (arXiv 2206.00927), algorithm 1.

    Its two terms add up to one slope, that in the middle in log sigma, so k-diffusion's DPM-2 is
    the same formula.
    """
    s, t = run.sigmas[i], run.sigmas[i + 1]
    D = run.denoise(x, s)
    if t == 0:
        return D
    middle, u = _halfway(x, D, s, t)
    return x + (t - s) / middle * (u - run.denoise(u, middle))


def dpm_3(x: V, run: Run[V], i: int) -> V:
    """DPM-Solver-3 with r = 1/3, 2/3: Lu et al. 2022 (arXiv 2206.00927), algorithm 2."""
    s, t = run.sigmas[i], run.sigmas[i + 1]
    D = run.denoise(x, s)
    if t == 0:
        return D
    h, e = math.log(s / t), (x - D) / s
    r1, r2 = 1 / 3, 2 / 3
    s1, s2 = s * math.exp(-r1 * h), s * math.exp(-r2 * h)
    u = x - s1 * math.expm1(r1 * h) * e
    e1 = (u - run.denoise(u, s1)) / s1
    second = math.expm1(r2 * h) / (r2 * h) - 1
    u = x - s2 * math.expm1(r2 * h) * e - s2 * (r2 / r1) * second * (e1 - e)
    e2 = (u - run.denoise(u, s2)) / s2
    return x - t * math.expm1(h) * e - (t / r2) * (math.expm1(h) / h - 1) * (e2 - e)


def dpmpp_2s(x: V, run: Run[V], i: int) -> V:
    """DPM-Solver++(2S) with r = 1/2: Lu et al. 2022 (arXiv 2211.01095), algorithm 1."""
    s, t = run.sigmas[i], run.sigmas[i + 1]
    D = run.denoise(x, s)
    if t == 0:
        return D
    middle, u = _halfway(x, D, s, t)
    return (t / s) * x + (1 - t / s) * run.denoise(u, middle)


def _halfway(x: V, D: V, s: float, t: float) -> tuple[float, V]:  # noqa: N803
    """The level in the middle of a step in log sigma, and Euler's point there."""
    middle = math.sqrt(s * t)
    return middle, (middle / s) * x + (1 - middle / s) * D


def dpmpp_3s(x: V, run: Run[V], i: int) -> V:
    """DPM-Solver++(3S) with r = 1/3, 2/3: the third-order method of the authors' code."""
    s, t = run.sigmas[i], run.sigmas[i + 1]
    D = run.denoise(x, s)
    if t == 0:
        return D
    h = math.log(s / t)
    r1, r2 = 1 / 3, 2 / 3
    s1, s2 = s * math.exp(-r1 * h), s * math.exp(-r2 * h)
    u = (s1 / s) * x - math.expm1(-r1 * h) * D
    D1 = run.denoise(u, s1)
    second = math.expm1(-r2 * h) / (r2 * h) + 1
    u = (s2 / s) * x - math.expm1(-r2 * h) * D + (r2 / r1) * second * (D1 - D)
    D2 = run.denoise(u, s2)
    return (t / s) * x - math.expm1(-h) * D + (1 / r2) * (math.expm1(-h) / h + 1) * (D2 - D)


def fast(third: Step, second: Step) -> Step:
    """DPM-Solver-fast: orders 3, 3, ..., 3, 2, 1. Lu et al. 2022 (arXiv 2206.00927), section 3.4.

    The paper splits a budget of K evaluations into such blocks, and the grid here has one level a
    block: N levels make K = 3 N - 3. Of its other two splits, 3, ..., 3, 1 with K = 3 N - 2 is what
    the third-order method does by itself, as its step to 0 is of first order; 3, ..., 3, 2 would go
    to 0 by a step of second order, which there is not. The error that the last step adds is of
    the order h^2, and so is that of the whole.
    """

    def step(x: V, run: Run[V], i: int) -> V:
        left = len(run.sigmas) - 1 - i
        method = third if left > 2 else second if left == 2 else euler
        return method(x, run, i)

    return step
