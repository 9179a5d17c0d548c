"""Solvers that draw noise on the way.

``s`` is the noise level a step starts from, ``t`` the one it goes to, ``h = log(s / t)``, ``D`` the
net's x0. The noise of a step is the Brownian increment between its two levels, so it hardly depends
on the number of steps.
"""

# ruff: noqa: N806 (the papers' letters)
from __future__ import annotations

import math

from hasten.errors import PlanError
from hasten.solvers.build import Run, Solver, V
from hasten.solvers.one_step import heun_from


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


def ddpm_large(x: V, run: Run[V], i: int) -> V:
    """DDPM with the large variance: Ho, Jain and Abbeel 2020 (arXiv 2006.11239), section 3.2.

    The mean is that of the small variance; ``beta_t = 1 - abar_s / abar_t`` is the noise's variance
    in the coordinates of the process, (s^2 - t^2) (1 + t^2) / (1 + s^2) in ours.
    """
    s, t = run.sigmas[i], run.sigmas[i + 1]
    D = run.denoise(x, s)
    if t == 0:
        return D
    wide = math.sqrt((s - t) * (s + t) * (1 + t * t) / (1 + s * s))
    share = (t / s) ** 2
    return share * x + (1 - share) * D + wide * run.noise(s, t)


def dpmpp_2m_sde(eta: float = 1.0) -> Solver:
    """SDE-DPM-Solver++(2M), midpoint form: Lu et al. 2022 (arXiv 2211.01095), section 5 and B.3.

    Args:
        eta: Share of the noise; 0 is DPM-Solver++(2M).
    """

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        D = run.denoise(x, s)
        if t == 0:
            return D
        h = math.log(s / t)
        both = h * (1 + eta)
        total = (t / s) * math.exp(-eta * h) * x - math.expm1(-both) * D
        if run.past:
            r = math.log(run.past[-1].sigma / s) / h
            total = total - 0.5 * math.expm1(-both) / r * (D - run.past[-1].D)
        spread = t * math.sqrt(-math.expm1(-2 * eta * h))
        return total + spread * run.noise(s, t) if spread else total

    return Solver("dpmpp_2m_sde", step, 1, 1, "Lu et al. 2022, arXiv 2211.01095", eta > 0)


def churn(amount: float, *, low: float = 0.0, high: float = math.inf, scale: float = 1.0) -> Solver:
    """Heun with noise added before every step: Karras et al. 2022 (arXiv 2206.00364), algorithm 2.

    The step to 0 alone gets none: a Brownian increment needs a level to end at.

    Args:
        amount: S_churn, shared among the steps.
        low: S_min: levels below get none.
        high: S_max: levels above get none.
        scale: S_noise; other than 1 the samples keep a bias however many steps there are.
    """

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        if amount and low <= s <= high and t > 0:
            gamma = min(amount / (len(run.sigmas) - 1), math.sqrt(2) - 1)
            more = s * (1 + gamma)
            x = x + scale * math.sqrt((more - s) * (more + s)) * run.noise(s, t)
            s = more
        return heun_from(x, run, s, t)

    return Solver(
        "edm", step, 2, 1, "Karras et al. 2022, arXiv 2206.00364, algorithm 2", amount > 0
    )
