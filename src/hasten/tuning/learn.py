"""Learn: all free numbers of a plan at once, by what they do to the endpoint.

A plan of n evaluations that integrates constants exactly is

    x_k = a_k start + (1 - a_k) sum_j w_kj D_j,   sum_j w_kj = 1,   a_k = sigma_k / sigma_0 e^{u_k},

with the noise level sigma_k at which the net is asked, and u_k by how much the noise in x_k really
is another than the net is told. A solver off the shelf has u = 0 and weights from a formula. Here
they are n levels, n - 1 shifts and the weights, and all are moved by Gauss and Newton's method so
that the samples come nearest to the converged ones. The sum of the weights stays 1, so what is
learned can extrapolate better but cannot shrink samples towards their mean.

Source: learned non-stationary solvers (Shaul et al. 2024, arXiv 2403.01329; there by gradients, for
flows, with free sums), and in a smaller family Zheng et al. 2023 (arXiv 2310.13268).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import final

import numpy as np
from torch import Tensor

from hasten.core.plan import Combination, Plan
from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.tuning.newton import Floats, Found, gauss_newton
from hasten.tuning.play import Played
from hasten.tuning.refine import distinct, legal, nudges

MEMORY = 4
"""Outputs that a combination may weigh anew; older ones keep their weights. More are fitted to the
trajectories at hand rather than to the model."""
SHIFT, WEIGHT = 0.02, 0.02
"""Moves of a shift and of a weight that tell their derivatives."""
REACH = 0.5
"""No number moves further in one round."""


@final
class Numbers:
    """The free numbers of a plan, as a vector and back.

    Args:
        plan: Deterministic, with one evaluation a step, and exact for constants.
        process: Bounds of the noise levels.

    Attributes:
        start: The numbers the plan has.

    Raises:
        PlanError: If it is another.
    """

    def __init__(self, plan: Plan, process: Process) -> None:
        if plan.stochastic:
            raise PlanError("a plan that draws noise has no endpoint to learn from")
        if any(row.slot for row in plan.rows):
            raise PlanError(
                "only plans with one evaluation a step can be learned", hint="a multistep solver"
            )
        self._plan, self._process = plan, process
        self._weights = [self._unit(k, c) for k, c in enumerate(self._parts(), 1)]
        levels = np.log([row.sigma for row in plan.rows])
        noise = np.log([row.input.start for row in plan.rows[1:]]) + levels[0]
        # (which combination, which of its outputs): the newest output takes what the others give
        self._free = [
            (k, j) for k in range(len(self._weights)) for j in range(max(0, k - MEMORY + 1), k)
        ]
        weights = [self._weights[k][j] for k, j in self._free]
        self.start = np.concatenate([levels, noise - levels[1:], weights])

    def _parts(self) -> list[Combination]:
        return [*(row.input for row in self._plan.rows[1:]), self._plan.result]

    def _unit(self, count: int, part: Combination) -> Floats:
        """The weights of the outputs in a combination, as shares of their sum."""
        weights = np.zeros(count)
        for index, weight in part.outputs:
            weights[index] = weight
        ends = count == len(self._plan.rows)
        if (
            not (0 < part.start < 1 or (ends and part.start == 0))
            or abs(weights.sum() - (1 - part.start)) > 1e-6
        ):
            raise PlanError("this plan does not integrate constants exactly", where=f"row {count}")
        return np.asarray(weights / (1 - part.start), dtype=np.float64)

    def plan(self, place: Floats) -> Plan:
        """The plan that some numbers make."""
        levels, shifts, free = self._split(place)
        levels = distinct(self._process, np.exp(levels))
        weights = [each.copy() for each in self._weights]
        for (k, j), weight in zip(self._free, free, strict=True):
            weights[k][-1] -= weight - weights[k][j]
            weights[k][j] = weight
        shares = [*np.minimum(levels[1:] / levels[0] * np.exp(shifts), 0.999), 0.0]
        parts = [
            Combination(
                float(share), tuple((j, float((1 - share) * w)) for j, w in enumerate(each) if w)
            )
            for share, each in zip(shares, weights, strict=True)
        ]
        inputs = [self._plan.rows[0].input, *parts[:-1]]
        rows = tuple(
            dataclasses.replace(row, sigma=float(sigma), input=part)
            for row, sigma, part in zip(self._plan.rows, levels, inputs, strict=True)
        )
        return dataclasses.replace(self._plan, rows=rows, result=parts[-1])

    def nudges(self, place: Floats) -> Floats:
        """By how much each number is moved for its derivative."""
        levels, shifts, free = self._split(place)
        wish = self._process.snap(np.exp(levels + nudges(levels)))  # in a table, to another row
        steps = np.log(wish / self._process.snap(np.exp(levels)))
        return np.concatenate([steps, np.full(len(shifts), SHIFT), np.full(len(free), WEIGHT)])

    def legal(self, place: Floats) -> Floats:
        """The allowed numbers nearest to a wish: levels in order and within bounds."""
        wish, shifts, free = self._split(place)
        levels = legal(wish, self._process.sigma_max, self._process.sigma_min)
        return np.concatenate([np.log(distinct(self._process, levels)), shifts, free])

    def _split(self, place: Floats) -> tuple[Floats, Floats, Floats]:
        """Logarithms of the levels, shifts, and weights that are free."""
        count = len(self._plan.rows)
        return place[:count], place[count : 2 * count - 1], place[2 * count - 1 :]


def learn(
    play: Callable[[Plan, Played | None], Played],
    target: Tensor,
    plan: Plan,
    process: Process,
    *,
    rounds: int = 8,
    tolerance: float = 0.01,
) -> tuple[Plan, Found]:
    """The plan with its numbers where the samples come nearest to the converged ones.

    Args:
        play: Carries out a plan; the second argument is a run nearby to borrow rows from.
        target: Converged samples [n, *shape].
        plan: Where to begin.
        process: Bounds of the noise levels.
        rounds: At most this many steps.
        tolerance: Stop when a step improves the error by less than this share.

    Returns:
        The plan, never worse than the beginning, and how it was found.

    Raises:
        PlanError: As `Numbers`.
    """
    numbers = Numbers(plan, process)
    found = gauss_newton(
        lambda place, before: play(numbers.plan(place), before),
        target,
        numbers.start,
        nudges=numbers.nudges,
        legal=numbers.legal,
        reach=REACH,
        rounds=rounds,
        tolerance=tolerance,
    )
    return found.played.plan, found
