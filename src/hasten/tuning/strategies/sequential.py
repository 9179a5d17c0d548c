"""Sequential: first the plan, then what is reused in it, as methods are combined by hand.

Plans without held rows are searched as `learned` does, also with more rows than the time allows.
Then rows of these are held until the time is kept, their levels and coefficients as they are. With
trials left, the same is done from the next best beginnings. This is what the joint search is
measured against: same space, same trials, one after the other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection

import numpy as np

from hasten.core.method import Tactic
from hasten.core.plan import FULL, HOLD, Plan
from hasten.tuning.space import Candidate, Scored
from hasten.tuning.strategies.learned import LEARNED, REFINED, learn_best, refine_best
from hasten.tuning.strategies.trial import Search, Space, Trial, best

MORE = 3
"""Rows more than the time allows, at most, in plans that are searched first."""
COLUMNS = 24
"""Columns that are tried on a plan with a mechanism."""
LISTED = 1000
"""Choices of rows that are listed to draw from; of more, some are drawn one by one."""


def propose(space: Space, rng: np.random.Generator) -> Search:
    """The strategy."""
    fields = list[list[Scored]]()
    for first in range(0, REFINED, LEARNED):
        plans = list[Plan]()
        for extra in range(MORE + 1):
            if first == 0:
                fields.append((yield from refine_best(space, space.evaluations + extra)))
            left = fields[extra][first:]
            learned = yield from learn_best(left, LEARNED)
            plans += [each.plan for each in best([*left, *learned], 1)]
        choices = [_columns(space, plan, tactic, rng) for plan in plans for tactic in space.options]
        # in turn, so that a budget that ends early is fair to all
        yield [Trial(each) for some in itertools.zip_longest(*choices) for each in some if each]


def _columns(space: Space, plan: Plan, tactic: Tactic, rng: np.random.Generator) -> list[Candidate]:
    """The plan with the fewest held rows that keep the time, and by chance among equals."""
    found = list[Candidate]()
    for count in range(1, plan.nfe):
        # which rows are held makes no difference to the time
        if space.fits(_held(plan, range(1, count + 1), tactic)):
            some = _draw_rows(plan.nfe, count, COLUMNS - len(found), rng)
            found += [_held(plan, rows, tactic) for rows in some]
    return found


def _held(plan: Plan, rows: Collection[int], tactic: Tactic) -> Candidate:
    column = [HOLD if k in rows else FULL for k in range(plan.nfe)]
    return Candidate.explicit(plan.with_reuse(column), tactic)


def _draw_rows(
    nfe: int, count: int, wanted: int, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Different choices of so many rows to hold, the first never among them.

    Args:
        nfe: Rows of the plan.
        count: Held ones.
        wanted: Choices, fewer if there are not so many; less than `LISTED`.
        rng: Which.
    """
    if math.comb(nfe - 1, count) <= LISTED:
        every = list(itertools.combinations(range(1, nfe), count))
        return [every[k] for k in rng.permutation(len(every))[:wanted]]
    found = dict[tuple[int, ...], None]()
    while len(found) < wanted:
        rows = 1 + rng.choice(nfe - 1, count, replace=False)
        found[tuple(sorted(rows.tolist()))] = None
    return list(found)
