"""One solver of many: every step with its own order, prediction and corrector.

Nearly all multistep solvers are this one with the same decision at every step: order 1 is DDIM, x0
without corrector DPM-Solver++ (exact form), noise without corrector DEIS (log rho), with corrector
UniPC with exact weights. Mixing them step by step is the space that USF searches.
"""

# ruff: noqa: N806 (the papers' letters)
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from hasten.errors import PlanError
from hasten.solvers.build import Evaluation, Run, Solver, V
from hasten.solvers.exponential import adams_weights, check_order, latest


@final
@dataclass(frozen=True)
class Decision:
    """How one step is made.

    Attributes:
        order: Evaluations in the polynomial, 1 to 4; fewer where there are not so many.
        noise: Whether the noise is interpolated instead of x0.
        corrected: Whether the step is corrected once the net has been asked at its end.
        relax: Share by which the first derivative is taken larger.
    """

    order: int = 1
    noise: bool = False
    corrected: bool = False
    relax: float = 0.0

    def __post_init__(self) -> None:
        check_order("a step", self.order)


def mixed(decisions: Sequence[Decision]) -> Solver:
    """The solver of some decisions, one a step; the step to 0 is always of first order.

    Liu et al. 2024 (arXiv 2312.07243), section 3: the unified sampling framework, without its
    choice between two estimates of a derivative.

    Raises:
        PlanError: While it runs, if there are more steps than decisions.
    """

    def step(x: V, run: Run[V], i: int) -> V:
        if len(run.sigmas) - 1 != len(decisions):
            raise PlanError(f"{len(decisions)} decisions for {len(run.sigmas) - 1} steps")
        s, t = run.sigmas[i], run.sigmas[i + 1]
        D = run.denoise(x, s)
        if t == 0:
            return D
        now = Evaluation(s, x, D)
        if i > 0 and decisions[i - 1].corrected:
            how = decisions[i - 1]
            known = latest(run.past[-1], run.past[:-1], how.order, None)
            x = x + _change(known, now, how, s) - _change(known, None, how, s)
        how = decisions[i]
        known = latest(now, run.past, how.order, None)
        return (x if how.noise else (t / s) * x) + _change(known, None, how, t)

    return Solver("mixed", step, 1, 1, "Liu et al. 2024, arXiv 2312.07243")


def _change(
    known: Sequence[Evaluation[V]], ahead: Evaluation[V] | None, how: Decision, t: float
) -> V:
    """The integral of the polynomial from ``known[0]`` to ``t``, exact for the linear part.

    Args:
        known: Evaluations at and before the start of the step, newest first.
        ahead: The evaluation at its end, for the corrector.
        how: What is interpolated.
        t: Where the step ends.
    """
    s = known[0].sigma
    h = math.log(s / t)
    used = list(known)
    if ahead is not None:
        used.append(ahead)
    places = [math.log(s / each.sigma) / h for each in used]
    weights = adams_weights(places, h if how.noise else -h, relax=how.relax)
    total: V = 0.0 * known[0].D
    for weight, each in zip(weights.tolist(), used, strict=True):
        total = total + (-t * h * weight * each.slope if how.noise else h * weight * each.D)
    return total
