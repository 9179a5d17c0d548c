"""Multistep solvers exact for the linear part; one evaluation a step.

``s`` is the noise level a step starts from, ``t`` the one it goes to, ``h = log(s / t)`` the step
in half-log-SNR. With D the net's x0 and e = (x - D) / s the noise it sees, the ordinary
differential equation has the exact solutions (Lu et al. 2022, arXiv 2211.01095, eq. 8, and
2206.00927, eq. 4)

    x_t = (t / s) x + h int_0^1 exp(-(1 - u) h) D(u) du
    x_t = x - t h int_0^1 exp((1 - u) h) e(u) du                with u from 0 at s to 1 at t,

and the methods here put a polynomial through earlier evaluations under the integral.
"""

# ruff: noqa: N806 (the papers' letters)
from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hasten.errors import PlanError
from hasten.solvers.build import Evaluation, Run, Solver, V

MOST = 4
"""Most evaluations that a multistep formula here looks at."""


def dpmpp_2m(x: V, run: Run[V], i: int) -> V:
    """DPM-Solver++(2M), midpoint form: Lu et al. 2022 (arXiv 2211.01095), algorithm 2.

    The first step is of first order, and so is the one to sigma = 0, where h is infinite.
    """
    s, t = run.sigmas[i], run.sigmas[i + 1]
    D = run.denoise(x, s)
    if t == 0:
        return D
    return _midpoint(x, latest(Evaluation(s, x, D), run.past, 2, None), t)


def dpmpp_3m(*, lower_final: bool = True) -> Solver:
    """DPM-Solver++(3M) as the authors' code, diffusers and others have it.

    The last term there is half of what the exact integral gives, which makes the method of second
    order; `exponential` (3) has it in full. With few steps neither is the better one everywhere.

    Args:
        lower_final: Whether the last steps use fewer evaluations, one in the last.
    """

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        D = run.denoise(x, s)
        if t == 0:
            return D
        known = latest(Evaluation(s, x, D), run.past, 3, ahead(run, i, lower_final))
        if len(known) < 3:
            return _midpoint(x, known, t)
        return published((t / s) * x, known, t, math.log(s / t))

    return Solver("dpmpp_3m", step, 1, 2, "Lu et al. 2022, arXiv 2211.01095, as published")


def published(x: V, known: Sequence[Evaluation[V]], t: float, z: float) -> V:
    """What the authors' code puts for the integral of x0, added to ``x``.

    Args:
        x: What is left of the step's start.
        known: One to three evaluations, newest first, from where the step starts.
        t: Where it ends.
        z: Its length h; with noise h (1 + eta).
    """
    now, h = known[0], math.log(known[0].sigma / t)
    r = [math.log(b.sigma / a.sigma) / h for a, b in itertools.pairwise(known)]
    p1 = math.expm1(-z)
    x = x - p1 * now.D
    if len(known) == 1:
        return x
    if len(known) == 2:
        return x - 0.5 * p1 / r[0] * (now.D - known[1].D)
    first = (1 / r[0]) * (now.D - known[1].D)
    change = first - (1 / r[1]) * (known[1].D - known[2].D)
    p2 = p1 / z + 1
    p3 = p2 / z - 0.5
    slope = first + (r[0] / (r[0] + r[1])) * change
    return x + p2 * slope - (p3 / (r[0] + r[1])) * change


def dpm_2m(x: V, run: Run[V], i: int) -> V:
    """DPM-Solver(2M), midpoint form: Lu et al. 2022 (arXiv 2206.00927) in the authors' code.

    DPM-Solver++(2M) with the noise in the place of x0. Integrated exactly, the same two evaluations
    make `exponential` (2, noise=True), and three of them DPM-Solver(3M).
    """
    s, t = run.sigmas[i], run.sigmas[i + 1]
    D = run.denoise(x, s)
    if t == 0:
        return D
    known = latest(Evaluation(s, x, D), run.past, 2, None)
    return x + (t - s) * _middle([each.slope for each in known], known, t)


def _midpoint(x: V, known: Sequence[Evaluation[V]], t: float) -> V:
    """The midpoint step from the newest evaluation, or the first-order one if it is alone."""
    s = known[0].sigma
    D = _middle([each.D for each in known], known, t)
    return (t / s) * x - math.expm1(-math.log(s / t)) * D


def _middle(values: Sequence[V], known: Sequence[Evaluation[V]], t: float) -> V:
    """One or two values, newest first, drawn out to the middle of the step in log sigma."""
    if len(values) == 1:
        return values[0]
    s = known[0].sigma
    r = math.log(known[1].sigma / s) / math.log(s / t)
    return (1 + 1 / (2 * r)) * values[0] - (1 / (2 * r)) * values[1]


def exponential(p: int, *, noise: bool = False, lower_final: bool = True) -> Solver:
    """The exact integral of the polynomial through the last ``p`` evaluations in log sigma.

    With x0 this is DPM-Solver++ in its Heun form (p = 2) and with the whole third term (p = 3);
    with the noise it is DEIS with polynomials in log sigma (Zhang and Chen 2023, arXiv 2204.13902),
    as diffusers has it.

    Args:
        p: Evaluations used, 1 to 4; fewer in the first steps.
        noise: Whether the noise is interpolated instead of x0.
        lower_final: Whether the last steps use fewer too, one in the last.

    Raises:
        PlanError: If there is no such order.
    """
    check_order("an exponential solver", p)

    def step(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        D = run.denoise(x, s)
        if t == 0:
            return D
        known = latest(Evaluation(s, x, D), run.past, p, ahead(run, i, lower_final))
        h = math.log(s / t)
        if not noise:
            return exact((t / s) * x, known, t, h)
        for weight, each in zip(_adams(known, t, h), known, strict=True):
            x = x + -t * h * weight * each.slope
        return x

    if noise:
        return Solver(f"deis{p}", step, 1, p, "Zhang and Chen 2023, arXiv 2204.13902, log rho")
    return Solver(f"dpmpp_{p}m_exact", step, 1, p, "Lu et al. 2022, arXiv 2211.01095, eq. 8")


def exact(x: V, known: Sequence[Evaluation[V]], t: float, z: float) -> V:
    """The integral of the polynomial through evaluations of x0; arguments as of `published`."""
    for weight, each in zip(_adams(known, t, -z), known, strict=True):
        x = x + z * weight * each.D
    return x


def _adams(known: Sequence[Evaluation[V]], t: float, z: float) -> list[float]:
    """`adams_weights` of a step from ``known[0]`` to ``t``."""
    s = known[0].sigma
    h = math.log(s / t)
    weights: list[float] = adams_weights(
        [math.log(s / each.sigma) / h for each in known], z
    ).tolist()
    return weights


def adams_weights(places: Sequence[float], z: float, *, relax: float = 0.0) -> NDArray[np.float64]:
    """Weights of evaluations under ``int_0^1 exp((1 - u) z) f(u) du``, exact for polynomials.

    The integral of u^k is ``k! phi_{k+1}(z)``, so the weights solve a Vandermonde system.

    Args:
        places: Where f is known, 0 at the start of the step and 1 at its end; all different.
        z: Signed step.
        relax: Share by which the polynomial's slope is taken larger.
    """
    orders = range(len(places))
    powers = np.stack([np.asarray(places, dtype=np.float64) ** k for k in orders])
    moments = np.array([math.factorial(k) * phi(k + 1, z) for k in orders])
    moments[1:2] *= 1 + relax
    return np.linalg.solve(powers, moments)


def phi(k: int, z: float) -> float:
    """``phi_0 = e^z``, ``phi_{k+1}(z) = (phi_k(z) - 1/k!) / z``."""
    if abs(z) < 1:  # where the differences would cancel
        return math.fsum(z**n / math.factorial(n + k) for n in range(20))
    value = math.exp(z)
    for n in range(k):
        value = (value - 1 / math.factorial(n)) / z
    return value


def check_order(what: str, order: int, most: int = MOST) -> None:
    """Refuse an order that a formula does not have, before a step far into a run finds out.

    Args:
        what: Has the order, for people.
        order: How many evaluations are looked at.
        most: How many there may be.

    Raises:
        PlanError: If it is not a whole number from 1 to ``most``.
    """
    if not (isinstance(order, int | np.integer) and 1 <= order <= most):
        raise PlanError(f"{what} of order {order}", where="order", hint=f"1 to {most}")


def ahead(run: Run[V], i: int, lower_final: bool) -> int | None:
    """How many steps are left including step i, if that limits the order."""
    return len(run.sigmas) - 1 - i if lower_final else None


def latest(
    now: Evaluation[V], past: Sequence[Evaluation[V]], k: int, left: int | None
) -> list[Evaluation[V]]:
    """A step's own evaluation and those before it, newest first: as many as its order is to be."""
    known = [now]
    known.extend(past[::-1])
    return known[: k if left is None else min(k, left)]
