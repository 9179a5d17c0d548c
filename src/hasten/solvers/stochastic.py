"""Solvers that draw noise on the way.

``s`` is the noise level a step starts from, ``t`` the one it goes to, ``h = log(s / t)``, ``D`` the
net's x0. The noise of a step is the Brownian increment between its two levels, so it hardly depends
on the number of steps.
"""

# ruff: noqa: N806 (the papers' letters)
from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Protocol

from hasten.core.process import SIGMA_CAP
from hasten.errors import PlanError
from hasten.solvers.build import Evaluation, Run, Solver, V
from hasten.solvers.exponential import ahead, check_order, exact, latest, published
from hasten.solvers.one_step import heun_from

LIFT = math.sqrt(2)
"""Churn makes a level at most so many times as noisy: no more noise is added than there is."""

ROUNDING = 1e-9
"""Churn this small comes of a level that is the cap but for rounding."""


class Integral(Protocol):
    """`published` or `exact`: the integral of x0 over a step."""

    def __call__(self, x: V, known: Sequence[Evaluation[V]], t: float, z: float, /) -> V:
        """``x`` and the integral."""
        ...


def ddim(eta: float) -> Solver:
    """DDIM with noise: Song, Meng and Ermon 2021 (arXiv 2010.02502), eqs. 12 and 16.

    At ``eta = 1`` this is DDPM with the small variance, and k-diffusion's ancestral Euler; at 0 it
    is Euler.

    Args:
        eta: Share of the ancestral noise, 0 to 1.

    Raises:
        PlanError: If ``eta`` is outside [0, 1].
    """
    _check_share(eta)

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        D = run.denoise(x, s)
        down, up = _ancestral(s, t, eta)
        return _noisy((down / s) * x + (1 - down / s) * D, run, up, s, t)

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


def dpmpp_sde(eta: float = 1.0) -> Solver:
    """DPM-Solver++ SDE: two ancestral steps from the same point, as k-diffusion has it.

    The first goes halfway in log sigma to ask the net there, the second all the way with that
    answer; without noise this is DPM-Solver++(2S). Both walk along one Brownian path. Its halves
    are equally long, so the whole increment is their sum over the root of 2.

    Args:
        eta: Share of the ancestral noise, as in `ddim`.

    Raises:
        PlanError: If ``eta`` is outside [0, 1].
    """
    _check_share(eta)

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        D = run.denoise(x, s)
        if t == 0:
            return D
        middle = math.sqrt(s * t)
        down, up = _ancestral(s, middle, eta)
        u = _noisy((down / s) * x + (1 - down / s) * D, run, up, s, middle)
        D = run.denoise(u, middle)
        down, up = _ancestral(s, t, eta)
        return _noisy((down / s) * x + (1 - down / s) * D, run, up, s, middle, t)

    return Solver("dpmpp_sde", step, 2, 1, "k-diffusion, after Lu et al. 2022", eta > 0)


def dpmpp_2m_sde(eta: float = 1.0) -> Solver:
    """SDE-DPM-Solver++(2M), midpoint form: Lu et al. 2022 (arXiv 2211.01095), section 5 and B.3.

    `exponential_sde` (2) is its Heun form.

    Args:
        eta: Share of the noise; 0 is DPM-Solver++(2M).

    Raises:
        PlanError: If ``eta`` is negative or infinite.
    """
    return _multistep("dpmpp_2m_sde", 2, eta, published, False)


def dpmpp_3m_sde(eta: float = 1.0, *, lower_final: bool = True) -> Solver:
    """SDE-DPM-Solver++(3M) as k-diffusion has it, with half of the third term.

    There the second step is Heun's; here it is the midpoint's, as in `dpmpp_3m`, which this is
    without noise. `exponential_sde` (3) has the third term in full.

    Args:
        eta: Share of the noise; 0 is DPM-Solver++(3M).
        lower_final: Whether the last steps use fewer evaluations, one in the last.

    Raises:
        PlanError: If ``eta`` is negative or infinite.
    """
    return _multistep("dpmpp_3m_sde", 3, eta, published, lower_final)


def exponential_sde(p: int, eta: float = 1.0, *, lower_final: bool = True) -> Solver:
    """The polynomial through the last ``p`` evaluations, integrated exactly, with noise.

    SDE-DPM-Solver++ of first order (p = 1; `ddim` at eta = 1, but not in between), 2M in its Heun
    form (p = 2), 3M with the whole third term (p = 3). Lu et al. 2022 (arXiv 2211.01095), B.3.

    Args:
        p: Evaluations used, 1 to 4; fewer in the first steps.
        eta: Share of the noise; 0 is `exponential` (p).
        lower_final: Whether the last steps use fewer too, one in the last.

    Raises:
        PlanError: If there is no such order, or ``eta`` is negative or infinite.
    """
    check_order("an SDE solver", p)
    return _multistep(f"dpmpp_{p}m_sde_exact", p, eta, exact, lower_final)


def churn(amount: float, *, low: float = 0.0, high: float = math.inf, scale: float = 1.0) -> Solver:
    """Heun with noise added before every step: Karras et al. 2022 (arXiv 2206.00364), algorithm 2.

    The step to 0 alone gets none: a Brownian increment needs a level to end at. Noise is added to
    the first level too, as published, so the net is asked up to `LIFT` times above the grid; with
    ``high`` at most sigma_max / `LIFT` (the paper's 50 of 80) it never is. No level is lifted above
    `SIGMA_CAP`: there a flow begins, and has no signal that noise could hide.

    Args:
        amount: S_churn, shared among the steps.
        low: S_min: levels below get none.
        high: S_max: levels above get none.
        scale: S_noise; other than 1 the samples keep a bias however many steps there are.

    Raises:
        PlanError: If a number is negative or not finite (``high`` may be infinite), or ``low`` is
            above ``high``.
    """
    for name, value in (("churn", amount), ("low", low), ("scale", scale)):
        if not 0 <= value < math.inf:
            raise PlanError(f"{name} = {value:g}", where=name, hint=f"0 <= {name} < infinity")
    if not low <= high:
        raise PlanError(f"low = {low:g}, high = {high:g}", where="high", hint="low <= high")

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        gamma = min(amount / (len(run.sigmas) - 1), LIFT - 1, SIGMA_CAP / s - 1)
        if gamma > ROUNDING and low <= s <= high and t > 0:
            more = s * (1 + gamma)
            x = x + scale * math.sqrt((more - s) * (more + s)) * run.noise(s, t)
            s = more
        return heun_from(x, run, s, t)

    return Solver(
        "edm", step, 2, 1, "Karras et al. 2022, arXiv 2206.00364, algorithm 2", amount > 0
    )


def _multistep(name: str, p: int, eta: float, integral: Integral, lower_final: bool) -> Solver:
    """SDE-DPM-Solver++ on the last ``p`` evaluations.

    The start decays by ``exp(-eta h)`` beyond ``t / s``, x0 is integrated over h (1 + eta) instead
    of h, and noise fills the variance up.
    """
    if not 0 <= eta < math.inf:
        raise PlanError(f"eta = {eta:g}", hint="0 <= eta < infinity")

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        D = run.denoise(x, s)
        if t == 0:
            return D
        known = latest(Evaluation(s, x, D), run.past, p, ahead(run, i, lower_final))
        h = math.log(s / t)
        x = integral((t / s) * math.exp(-eta * h) * x, known, t, h * (1 + eta))
        return _noisy(x, run, t * math.sqrt(-math.expm1(-2 * eta * h)), s, t)

    return Solver(name, step, 1, 1, "Lu et al. 2022, arXiv 2211.01095", eta > 0)


def _check_share(eta: float) -> None:
    if not 0 <= eta <= 1:
        raise PlanError(f"eta = {eta:g}", hint="0 <= eta <= 1")


def _ancestral(s: float, t: float, eta: float) -> tuple[float, float]:
    """The level an ancestral step goes down to, and the noise that takes it up again to ``t``."""
    up = eta * t * math.sqrt((s - t) * (s + t)) / s
    return (math.sqrt(t * t - up * up) if up else t), up


def _noisy(x: V, run: Run[V], size: float, *levels: float) -> V:
    """``x`` and the Brownian increment along equally long pieces, ``size`` times the whole one."""
    if size:
        size /= math.sqrt(len(levels) - 1)
        for high, low in itertools.pairwise(levels):
            x = x + size * run.noise(high, low)
    return x
