"""Rounds: on from what is best so far, until there is nothing new to try.

Rows can be full or held, and of plans with held rows and of those without the best leads on to
others. A round

    1. tries shapes one change away, with the levels that learning found, and its own shape on
       levels shaken
    2. refines the best new one of each kind
    3. tries the numbers it has with another row held, or one fewer
    4. learns from the best beginning of each kind that was not learned from, and of the shapes that
       were not; and goes on from the best plan of all

Learning ends in the valley where it begins. So which beginning leads furthest is not told by which
was best, and all have their turn, round by round. That is what makes plans good, so little else is
tried in a round.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from hasten.core.method import Tactic
from hasten.core.plan import FULL, HOLD
from hasten.errors import PlanError
from hasten.tuning import moves
from hasten.tuning.space import Candidate, Scored
from hasten.tuning.strategies.learned import SOLVER, learning
from hasten.tuning.strategies.ledger import Ledger
from hasten.tuning.strategies.shapes import Pattern, candidates, full_levels, near, pattern_of
from hasten.tuning.strategies.trial import Care, Search, Space, Trial, best

SHAPES, GRIDS, NUMBERS = 1, 1, 1
"""New ones that are tried around each of the best: shapes, levels, the same numbers held anew."""
SHAKE = 0.25
"""Standard deviation in log sigma of levels that are shaken."""


def rounds(space: Space, ledger: Ledger, rng: np.random.Generator) -> Search:
    """The rounds.

    Args:
        space: What a plan may be.
        ledger: What was tried before, and what these rounds try.
        rng: Draws among proposals that promise alike.
    """
    done = -1
    while done < len(ledger):
        done = len(ledger)
        yield from _round(space, ledger, rng)


def _round(space: Space, ledger: Ledger, rng: np.random.Generator) -> Search:
    def some(proposed: Iterable[Candidate], count: int) -> list[Trial]:
        """New ones, first those that take more of the time: they can do more with it."""
        every = {each.key(): trial for each in proposed if (trial := Trial(each)) not in ledger}
        new = list(every.values())
        drawn = [new[k] for k in rng.permutation(len(new))]
        return sorted(drawn, key=lambda t: -space.bench.seconds(t.candidate))[:count]

    centres = _of_each_kind(ledger.outcomes)
    around = [some(_shapes(space, each), SHAPES) for each in centres]
    around += [some(_grids(space, each, rng), GRIDS) for each in centres]
    scored = yield [*itertools.chain(*around)]
    yield [Trial(each.candidate, Care.REFINE) for each in _of_each_kind(scored)]
    yield [trial for each in centres for trial in some(_numbers(space, each), NUMBERS)]
    begun = {_shape(t.candidate) for t, _ in ledger.entries if t.care is Care.LEARN}
    beginnings = [
        scored
        for trial, scored in ledger.entries
        if trial.care is not Care.LEARN and learning(scored) not in ledger
    ]
    others = [each for each in beginnings if _shape(each.candidate) not in begun]
    chosen = (*_of_each_kind(beginnings), *best(others, 1), *best(ledger.outcomes, 1))
    yield [learning(each) for each in chosen]


def _shape(candidate: Candidate) -> tuple[Pattern, Tactic | None]:
    return pattern_of(candidate), candidate.tactic


def _of_each_kind(scored: Sequence[Scored]) -> list[Scored]:
    """The best without held rows and the best with some, if there are such."""
    kinds = [[s for s in scored if any(s.candidate.held) == holds] for holds in (False, True)]
    return [each for kind in kinds for each in best(kind, 1)]


def _shapes(space: Space, centre: Scored) -> Iterator[Candidate]:
    """Shapes with held rows near its own, on its levels."""
    levels = full_levels(centre)
    for pattern, tactic in near(space, *_shape(centre.candidate)):
        if any(pattern):  # without any, its own numbers lead further
            yield from candidates(space, levels, pattern, tactic)


def _grids(space: Space, centre: Scored, rng: np.random.Generator) -> list[Candidate]:
    """Its shape on levels nearby."""
    process = space.bench.model.process
    levels, candidate = np.array(centre.plan.sigmas), centre.candidate
    own = Candidate.of(SOLVER, levels, held=candidate.held, tactic=candidate.tactic)
    try:
        return moves.around(own, levels, process, rng, count=GRIDS, size=SHAKE)
    except PlanError:  # a table of no more levels than it has
        return []


def _numbers(space: Space, centre: Scored) -> Iterator[Candidate]:
    """Its numbers, but one row is held that was not, or full that was held, or both."""
    held, own = np.array(centre.candidate.held), centre.candidate.tactic
    later = range(1, len(held))  # the first row has nothing to hold on to
    flips = [(k,) for k in later]
    swaps = [(j, k) for j, k in itertools.combinations(later, 2) if held[j] != held[k]]
    label = Candidate.of(SOLVER, centre.plan.sigmas).label  # without words on what is held
    for rows in (*flips, *swaps):
        changed = held.copy()
        changed[list(rows)] ^= True
        column = [HOLD if hold else FULL for hold in changed]
        plan = dataclasses.replace(centre.plan.with_reuse(column), label=label)
        for tactic in space.options if own is None else (own,):
            candidate = Candidate.explicit(plan, tactic)
            if space.fits(candidate):
                yield candidate
