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

Only the mechanisms are given; which of them, and whether any, is part of the choice.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence

import numpy as np

from hasten.core.method import Tactic
from hasten.errors import PlanError
from hasten.solvers.grids import resample
from hasten.tuning.newton import Floats
from hasten.tuning.refine import distinct
from hasten.tuning.space import Candidate, Scored
from hasten.tuning.strategies.learned import SOLVER, learn_best, refine_best
from hasten.tuning.strategies.trial import Care, Search, Space, Trial, best

GIVEN_UP = 4
"""Most full rows given up."""
STALEST = 3
"""Most held rows after a full one."""
ROWS = 16
"""Most rows."""
SHAPES, NEIGHBOURS, LEARNED = 4, 2, 3
"""Shapes that are refined, that are looked around, and plans that are learned."""

Pattern = tuple[int, ...]
"""Held rows after each full one."""


def propose(space: Space, rng: np.random.Generator) -> Search:  # noqa: ARG001
    """The strategy."""
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


def patterns(space: Space, tactic: Tactic) -> Iterator[Pattern]:
    """A few ways to spend the time: evenly, more at the noisy end, more at the clean one."""
    speeds, seen = space.bench.speeds, set[Pattern]()
    for given_up in range(1, min(GIVEN_UP, space.evaluations - 2) + 1):
        full = space.evaluations - given_up
        held = math.floor(given_up * speeds.full / max(speeds.row(tactic), 1e-12) * (1 + 1e-9))
        held = min(held, STALEST * full, ROWS - full)
        for lean in (0.0, -2.0, 2.0):
            pattern = spread(held, full, lean)
            if held > 0 and pattern not in seen:
                seen.add(pattern)
                yield pattern


def spread(held: int, full: int, lean: float) -> Pattern:
    """So many held rows over so many full ones, none with more than `STALEST`.

    Args:
        held: Held rows.
        full: Full rows.
        lean: 0 evenly; positive more after the later full rows, negative after the earlier.
    """
    wish = np.exp(lean * np.linspace(-1, 1, full))
    counts = np.zeros(full, dtype=int)
    for _ in range(held):
        room = counts < STALEST
        counts[int(np.argmax(np.where(room, wish / (counts + 1), -1.0)))] += 1
    return tuple(counts.tolist())


def moved(pattern: Pattern) -> Iterator[Pattern]:
    """All patterns with one held row after another full one."""
    for source, count in enumerate(pattern):
        for target, there in enumerate(pattern):
            if source != target and count and there < STALEST:
                changed = list(pattern)
                changed[source] -= 1
                changed[target] += 1
                yield tuple(changed)


def candidates(
    space: Space, base: Floats, pattern: Pattern, tactic: Tactic | None
) -> Iterator[Candidate]:
    """The plan of a pattern: full rows where the base has its levels, held ones between them.

    Args:
        space: What is allowed.
        base: Levels of full rows [n], resampled to as many as the pattern has.
        pattern: Held rows after each full one.
        tactic: What holds them.
    """
    lowest = np.log(space.bench.model.process.sigma_min)
    full = np.log(resample(base, len(pattern)))
    # rows held after the last full one go on as the levels before did, no lower than is allowed
    last = full[-1] + min(-1.0, full[-1] - full[-2] if len(full) > 1 else -1.0)
    ends = np.append(full[1:], max(last, lowest))
    levels, held = list[float](), list[bool]()
    for level, end, count in zip(full, ends, pattern, strict=True):
        levels += np.exp(level + (end - level) * np.arange(count + 1) / (count + 1)).tolist()
        held += [False, *[True] * count]
    try:
        sigmas = distinct(space.bench.model.process, np.array(levels))
    except PlanError:
        return
    candidate = Candidate.of(SOLVER, sigmas, held=held, tactic=tactic)
    if space.fits(candidate):
        yield candidate


def pattern_of(candidate: Candidate) -> Pattern:
    """Held rows after each full one."""
    counts = list[int]()
    for hold in candidate.held:
        if hold:
            counts[-1] += 1
        else:
            counts.append(0)
    return tuple(counts)


def full_levels(scored: Scored) -> Floats:
    """The levels of its full rows."""
    return np.array([row.sigma for row in scored.plan.rows if row.reuse.full])
