"""Sequential: first the plan, then what is reused in it, as methods are combined by hand.

Plans without held rows are searched as `learned` does, also with more rows than the time allows.
Then rows of these are held until the time is kept, their levels and coefficients as they are. This
is what the joint search is measured against: same space, same trials, one after the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from hasten.core.method import Tactic
from hasten.core.plan import FULL, HOLD, Plan
from hasten.tuning.space import Candidate
from hasten.tuning.strategies.learned import learn_best, refine_best
from hasten.tuning.strategies.trial import Search, Space, Trial, best

MORE = 3
"""Rows more than the time allows, at most, in plans that are searched first."""
COLUMNS = 24
"""Columns that are tried on a plan with a mechanism."""


def propose(space: Space, rng: np.random.Generator) -> Search:
    """The strategy."""
    plans = list[Plan]()
    for steps in range(space.evaluations, space.evaluations + MORE + 1):
        refined = yield from refine_best(space, steps)
        learned = yield from learn_best(refined, 1)
        plans += [each.plan for each in best([*refined, *learned], 1)]
    choices = [
        _some(
            [c for c in (_held(plan, rows, tactic) for rows in _columns(plan)) if space.fits(c)],
            rng,
        )
        for plan in plans
        for tactic in space.options
    ]
    # in turn, so that a budget that ends early is fair to all
    yield [Trial(each) for some in itertools.zip_longest(*choices) for each in some if each]


def _held(plan: Plan, rows: tuple[bool, ...], tactic: Tactic) -> Candidate:
    column = [HOLD if hold else FULL for hold in rows]
    return Candidate.explicit(plan.with_reuse(column), tactic)


def _columns(plan: Plan) -> Iterator[tuple[bool, ...]]:
    """Every choice of rows that may be held, the first never."""
    for rest in itertools.product((False, True), repeat=plan.nfe - 1):
        if any(rest):
            yield (False, *rest)


def _some(candidates: list[Candidate], rng: np.random.Generator) -> list[Candidate]:
    """The ones with the fewest held rows, and by chance among equals."""
    order = rng.permutation(len(candidates))
    return sorted((candidates[k] for k in order), key=lambda candidate: sum(candidate.held))[
        :COLUMNS
    ]
