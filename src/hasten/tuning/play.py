"""Play: a plan row by row, with its coefficients open to revision on the way.

`hasten.solvers.loop` is the executor of finished plans. Here the plan is not finished: the search
fits the coefficients of a row from what the net has just said, and asks what changes if a single
noise level moves, for which the rows before it need not be evaluated again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from hasten.core.model import Model
from hasten.core.plan import Combination, Plan, Reuse, Row
from hasten.errors import OutputError, PlanError

Revise = Callable[[int, float, Combination, Tensor, Sequence[Tensor]], Combination]
"""(row, its noise level or 0 for the result, combination, start, outputs so far) -> better one."""


@final
@dataclass(frozen=True, eq=False)
class Played:
    """A plan that was carried out.

    Attributes:
        asked: The plan as it was given.
        plan: With the coefficients that were used.
        end: What it made [n, *shape].
        outputs: The net's x0 at every row.
        evaluated: How many rows were put to the net.
    """

    asked: Plan
    plan: Plan
    end: Tensor
    outputs: tuple[Tensor, ...]
    evaluated: int


def combine(combination: Combination, start: Tensor, outputs: Sequence[Tensor]) -> Tensor:
    """The affine combination as a tensor.

    Raises:
        PlanError: If it needs noise.
    """
    if combination.noise:
        raise PlanError("a stochastic plan has no trajectory to follow")
    total = start * combination.start
    for index, weight in combination.outputs:
        total = total.add_(outputs[index], alpha=weight)
    return total


def play(
    model: Model,
    plan: Plan,
    noise: Tensor,
    cond: Tensor | None,
    *,
    guidance: float = 1.0,
    revise: Revise | None = None,
    before: Played | None = None,
) -> Played:
    """Carry out a deterministic plan on one batch.

    Args:
        model: What to ask.
        plan: What to ask it.
        noise: Standard normal starting points [n, *shape].
        cond: Conditions as `Model.encode` gives them.
        guidance: Weight where a row states none.
        revise: Told of every row's combination before it is used, and of the result's (as the row
            after the last); returns the one to use.
        before: A run of another plan from the same noise; rows that agree with its first rows are
            not evaluated again.

    Raises:
        OutputError: If the result is not finite.
    """
    rows, outputs = list(plan.rows), list[Tensor]()
    shared = _shared(plan, before)
    if before is not None:
        rows[:shared] = before.plan.rows[:shared]
        outputs += before.outputs[:shared]
    clock = model.clock
    clock.start()
    try:
        with torch.inference_mode():
            start = noise * plan.rows[0].sigma
            for index in range(shared, len(rows)):
                row = rows[index]
                if revise is not None:
                    better = revise(index, row.sigma, row.input, start, outputs)
                    row = rows[index] = dataclasses.replace(row, input=better)
                clock.tick(index, row)
                weight = guidance if row.guidance is None else row.guidance
                x = combine(row.input, start, outputs)
                outputs.append(model.denoise(x, row.sigma, cond, weight))
            result = plan.result
            if revise is not None:
                result = revise(len(rows), 0.0, result, start, outputs)
            end = combine(result, start, outputs)
            if not torch.isfinite(end.sum()):
                raise OutputError(
                    "the net's estimate of x0 is not finite", where=f"{model.name}: {plan.label}"
                )
    finally:
        clock.stop()
    done = dataclasses.replace(plan, rows=tuple(rows), result=result)
    return Played(plan, done, end, tuple(outputs), len(rows) - shared)


def _shared(plan: Plan, before: Played | None) -> int:
    """How many leading rows need not be evaluated again.

    Those that ask the same question; but features are not kept between runs, so a run that goes on
    at a held row goes back to the full row that it holds on to.
    """
    if before is None or any(row.slot or row.reuse.order for row in plan.rows):
        return 0

    def asks(row: Row) -> tuple[float, Combination, float | None, Reuse]:
        return row.sigma, row.input, row.guidance, row.reuse

    pairs = zip(plan.rows, before.asked.rows, strict=False)
    same = [asks(a) == asks(b) for a, b in pairs]
    count = same.index(False) if False in same else len(same)
    while 0 < count < len(plan.rows) and not plan.rows[count].reuse.full:
        count -= 1
    return count
