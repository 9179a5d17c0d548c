"""Joint: levels, coefficients and held rows at once, in measured time.

The time of n full evaluations may as well be spent on fewer full ones and some held ones between
them. How many of each, where, at which levels and with which coefficients depend on one another: a
held row repeats features of the row before, so its level wants to be near, and its output is
off in a way that other coefficients than a solver's make up for. So all of it is chosen together:

    1. plans without held rows: the levels of the best are the first guess for all others
    2. shapes: full rows given up for as many held ones as their time allows, in a few patterns,
       each with coefficients fitted to what its rows really answer
    3. the best with refined levels; then the same with one held row elsewhere
    4. the best of all learned as a whole, among them one without held rows
    5. rounds around what is best by then, as long as there is anything new to try

Only the mechanisms are given; which of them, and whether any, is part of the choice.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from hasten.tuning.newton import Floats
from hasten.tuning.space import Scored
from hasten.tuning.strategies.learned import learn_best, refine_best
from hasten.tuning.strategies.ledger import Ledger
from hasten.tuning.strategies.rounds import rounds
from hasten.tuning.strategies.shapes import candidates, full_levels, moved, pattern_of, patterns
from hasten.tuning.strategies.trial import Care, Search, Space, Trial, best

SHAPES, NEIGHBOURS, LEARNED = 4, 2, 3
"""Shapes that are refined, that are looked around, and plans that are learned."""


def propose(space: Space, rng: np.random.Generator) -> Search:
    """The strategy."""
    ledger = Ledger()
    yield from ledger.once(_first_pass(space))
    yield from ledger.once(rounds(space, ledger, rng))


def _first_pass(space: Space) -> Search:
    """What is known beforehand to be worth trying."""
    whole = yield from refine_best(space, space.evaluations)
    if not whole:
        return
    base = np.array(whole[0].plan.sigmas)
    mixed = yield from _shapes(space, base)
    yield from learn_best([*whole[:1], *best(mixed, LEARNED - 1)], LEARNED)


def _shapes(space: Space, base: Floats) -> Generator[Sequence[Trial], list[Scored], list[Scored]]:
    """The best plans with held rows, levels refined."""
    first = [
        each
        for tactic in space.options
        for pattern in patterns(space, tactic)
        for each in candidates(space, base, pattern, tactic)
    ]
    fitted = yield [Trial(each) for each in first]
    refined = yield [Trial(each.candidate, Care.REFINE) for each in best(fitted, SHAPES)]
    near = [
        each
        for scored in best(refined, NEIGHBOURS)
        for pattern in moved(pattern_of(scored.candidate))
        for each in candidates(space, full_levels(scored), pattern, scored.candidate.tactic)
    ]
    again = yield [Trial(each) for each in near]
    better = yield [Trial(each.candidate, Care.REFINE) for each in best(again, NEIGHBOURS)]
    return best([*fitted, *refined, *again, *better], SHAPES)
