"""Solvers without memory. ``s`` is the noise level a step starts from, ``t`` the one it goes to."""

# ruff: noqa: N806 (the papers' letters)
from __future__ import annotations

from hasten.solvers.build import Run, V


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
    s, t = run.sigmas[i], run.sigmas[i + 1]
    D = run.denoise(x, s)
    y = (t / s) * x + (1 - t / s) * D
    if t == 0:
        return y
    d, d_next = (x - D) / s, (y - run.denoise(y, t)) / t
    return x + (t - s) * (0.5 * d + 0.5 * d_next)
