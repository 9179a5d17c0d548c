"""Solvers that draw noise on the way."""

# ruff: noqa: N806 (the papers' letters)
from __future__ import annotations

import math

from hasten.errors import PlanError
from hasten.solvers.build import Run, Solver, V


def ddim(eta: float) -> Solver:
    """DDIM with noise: Song, Meng and Ermon 2021 (arXiv 2010.02502), eqs. 12 and 16.

    At ``eta = 1`` this is DDPM with the small variance, and k-diffusion's ancestral Euler; at 0 it
    is Euler.

    Args:
        eta: Share of the ancestral noise, 0 to 1.

    Raises:
        PlanError: If ``eta`` is outside [0, 1].
    """
    if not 0 <= eta <= 1:
        raise PlanError(f"eta = {eta:g}", hint="0 <= eta <= 1")

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        D = run.denoise(x, s)
        up = eta * t * math.sqrt((s - t) * (s + t)) / s
        if up == 0:
            return (t / s) * x + (1 - t / s) * D
        down = math.sqrt(t * t - up * up)
        return (down / s) * x + (1 - down / s) * D + up * run.noise(s, t)

    name = "ancestral" if eta == 1 else f"ddim(eta={eta:g})"
    return Solver(name, step, 1, 1, "Song, Meng and Ermon 2021, arXiv 2010.02502", eta > 0)
