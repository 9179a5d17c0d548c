"""DPM-Solver with error control: a pilot batch finds the grid, and a plan keeps it.

Two solvers of neighbouring orders share their evaluations, and their difference is the error of the
lower one (Lu et al. 2022, arXiv 2206.00927, section 3.4 and appendix C). Steps are as long as a
tolerance lets them be. That takes a look at the samples after every step, which a plan cannot do;
so a pilot batch does, all of its samples at one step size, and the accepted steps are the plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.core.process import Process
from hasten.errors import BudgetError, OutputError, PlanError
from hasten.solvers.build import Evaluation, Run, Solver, Step, build
from hasten.solvers.loop import check_arguments, starting_point
from hasten.solvers.one_step import dpm_2, dpm_3

FIRST, SAFETY = 0.05, 0.81
"""Length in log sigma of the first step tried; how much shorter than wanted is still accepted.
Both, and the tolerances by default, are those of the authors' code and of k-diffusion."""

_STEPS: dict[int, Step] = {2: dpm_2, 3: dpm_3}


@final
@dataclass(frozen=True)
class Pilot:
    """What a run with error control did.

    Attributes:
        sigmas: Noise levels of the accepted steps; the last goes on to 0.
        x0: Its samples before decoding [B, *shape], without gradients.
        evaluations: How often the net was asked, rejected steps included.
        rejected: How many of these were for rejected steps.
    """

    sigmas: tuple[float, ...]
    x0: Tensor
    evaluations: int
    rejected: int


def adaptive_plan(
    model: Model,
    seeds: Sequence[int],
    cond: Tensor | None = None,
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    guidance: float = 1.0,
    most: int = 2000,
    label: str = "",
) -> Plan:
    """The plan of the steps that a pilot batch needs; errors as of `pilot`.

    On the pilot's seeds it gives the pilot's samples.

    Args:
        model: What to sample from.
        seeds: The pilot's, one a sample [B].
        cond: As the user gives it, first axis B; or None.
        order: 2 for DPM-Solver-12, 3 for DPM-Solver-23.
        rtol: Tolerance relative to x.
        atol: Tolerance in units of the data.
        guidance: Weight of classifier-free guidance; rows carry it unless it is 1, for none.
        most: Evaluations after which the pilot gives up.
        label: For people; the solver, the tolerance and the pilot's evaluations if empty.
    """
    found = pilot(
        model, seeds, cond, order=order, rtol=rtol, atol=atol, guidance=guidance, most=most
    )
    waste = f"{found.rejected} of {found.evaluations} evaluations rejected"
    return build(
        Solver(f"dpm_{order}", _STEPS[order], order, order, "Lu et al. 2022, arXiv 2206.00927"),
        found.sigmas,
        guidance=None if guidance == 1.0 else guidance,
        label=label or f"dpm_{order} adaptive, rtol {rtol:g}, {waste}",
    )


def pilot(
    model: Model,
    seeds: Sequence[int],
    cond: Tensor | None = None,
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    guidance: float = 1.0,
    most: int = 2000,
) -> Pilot:
    """One batch by DPM-Solver-12 or -23, from the largest noise level to the smallest, then to 0.

    The error of a step is the root mean square over samples and elements of the difference between
    the two solvers, in units of ``max(atol, rtol |x|)``; the higher one is gone on with.

    Args:
        model: What to sample from.
        seeds: One a sample [B].
        cond: As the user gives it, first axis B; or None.
        order: 2 for DPM-Solver-12, 3 for DPM-Solver-23.
        rtol: Tolerance relative to x.
        atol: Tolerance in units of the data: 0.0078 is one of 256 shades of [-1, 1].
        guidance: Weight of classifier-free guidance.
        most: Evaluations after which to give up.

    Raises:
        PlanError: If the order or a tolerance is impossible, or ``cond`` does not fit the seeds.
        BudgetError: If more than ``most`` evaluations would be needed.
        OutputError: If the net's x0 is not finite.
    """
    _check(order, rtol, atol)
    check_arguments(model, seeds, cond, None)
    asked = rejected = 0

    def ask(x: Tensor, sigma: float) -> Evaluation[Tensor]:
        nonlocal asked
        if asked == most:
            raise BudgetError(
                f"{most} evaluations do not suffice for rtol = {rtol:g}, atol = {atol:g}",
                where=f"{model.name}, at sigma = {sigma:.4g}",
                hint="allow a larger tolerance, or more evaluations (most=)",
            )
        asked += 1
        return Evaluation(sigma, x, model.denoise(x, sigma, encoded, guidance))

    with torch.inference_mode():
        encoded = model.encode(cond, seeds)
        low, high = model.process.snap(np.array([model.process.sigma_min, model.process.sigma_max]))
        now = ask(starting_point(model, seeds, high), float(high))
        sigmas, h, refused = [now.sigma], FIRST, math.nan
        while now.sigma > low:
            t = _next(model.process, now.sigma, h, float(low))
            x, other = _both(order, now, t, ask)
            unit = torch.maximum(now.x.abs(), other.abs()).mul(rtol).clamp(min=atol)
            error = float(((x - other) / unit).square().mean().sqrt())
            if not math.isfinite(error):
                raise OutputError(
                    "the net's estimate of x0 is not finite",
                    where=f"{model.name}, between sigma = {now.sigma:.6g} and {t:.6g}",
                    hint="a lower sigma_max, or float32 weights may help",
                )
            factor = 1 + math.atan(max(error, 1e-9) ** (-1 / order) - 1)
            h = factor * math.log(now.sigma / t)
            # a level tried again is the next one that the net knows: there is no shorter step
            if factor < SAFETY and t != refused:
                rejected, refused = rejected + order - 1, t
                continue
            now = ask(x, t)
            sigmas.append(t)
    return Pilot(tuple(sigmas), now.D.clone(), asked, rejected)


def _both(
    order: int,
    now: Evaluation[Tensor],
    t: float,
    ask: Callable[[Tensor, float], Evaluation[Tensor]],
) -> tuple[Tensor, Tensor]:
    """A step to ``t`` by the solver of an order, and by that of one order less."""
    seen = list[Evaluation[Tensor]]()

    def denoise(x: Tensor, sigma: float) -> Tensor:
        seen.append(ask(x, sigma) if seen else now)  # a step tried again begins where it did
        return seen[-1].D

    higher = Run[Tensor]([now.sigma, t], denoise).steps(_STEPS[order], now.x)
    slope = now.slope if order == 2 else 1.5 * seen[1].slope - 0.5 * now.slope
    return higher, now.x + (t - now.sigma) * slope


def _next(process: Process, s: float, h: float, low: float) -> float:
    """The level ``h`` further down in log sigma, or the nearest to it that the net knows."""
    t = s
    while t >= s:
        t = s * math.exp(-h)
        # what would be left is not worth a step of its own
        t = float(process.snap(np.asarray(t if t > 1.01 * low else low)))
        h *= 2
    return t


def _check(order: int, rtol: float, atol: float) -> None:
    if order not in _STEPS:
        raise PlanError(f"no adaptive solver of order {order}", hint="order = 2 or 3")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not 0 < value < math.inf:
            raise PlanError(f"{name} = {value:g}", hint="a tolerance is positive and finite")
