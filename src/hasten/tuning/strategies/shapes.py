"""Shapes: how many rows are full, and how many held ones go between them.

The time of a full row given up pays for some held ones. How many follows from the table of times;
where they go is open, and from any choice there are ways to those near it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from hasten.core.method import Tactic
from hasten.errors import PlanError
from hasten.solvers.grids import resample
from hasten.tuning.newton import Floats
from hasten.tuning.refine import distinct
from hasten.tuning.space import Candidate, Scored
from hasten.tuning.strategies.learned import SOLVER
from hasten.tuning.strategies.trial import Space

GIVEN_UP = 4
"""Most full rows given up."""
STALEST = 3
"""Most held rows after a full one."""
ROWS = 16
"""Most rows."""

Pattern = tuple[int, ...]
"""Held rows after each full one."""


def patterns(space: Space, tactic: Tactic) -> Iterator[Pattern]:
    """A few ways to spend the time: evenly, more at the noisy end, more at the clean one."""
    seen = set[Pattern]()
    for given_up in range(1, min(GIVEN_UP, space.evaluations - 2) + 1):
        full = space.evaluations - given_up
        held = room(space, full, tactic)
        for lean in (0.0, -2.0, 2.0):
            pattern = spread(held, full, lean)
            if held > 0 and pattern not in seen:
                seen.add(pattern)
                yield pattern


def room(space: Space, full: int, tactic: Tactic) -> int:
    """Held rows that there is time for beside so many full ones."""
    speeds, given_up = space.bench.speeds, space.evaluations - full
    held = math.floor(given_up * speeds.full / max(speeds.row(tactic), 1e-12) * (1 + 1e-9))
    return max(0, min(held, STALEST * full, ROWS - full))


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


def thinned(pattern: Pattern) -> Iterator[Pattern]:
    """All patterns with one held row fewer."""
    for k, count in enumerate(pattern):
        if count:
            yield *pattern[:k], count - 1, *pattern[k + 1 :]


def thickened(pattern: Pattern) -> Iterator[Pattern]:
    """All patterns with one held row more."""
    for k, count in enumerate(pattern):
        if count < STALEST:
            yield *pattern[:k], count + 1, *pattern[k + 1 :]


def firmed(pattern: Pattern) -> Iterator[Pattern]:
    """All patterns with one held row made full."""
    for k, count in enumerate(pattern):
        for before in range(count):
            yield *pattern[:k], before, count - 1 - before, *pattern[k + 1 :]


def softened(pattern: Pattern) -> Iterator[Pattern]:
    """All patterns with one full row held, never the first."""
    for k in range(1, len(pattern)):
        count = pattern[k - 1] + 1 + pattern[k]
        if count <= STALEST:
            yield *pattern[: k - 1], count, *pattern[k + 1 :]


def near(
    space: Space, pattern: Pattern, tactic: Tactic | None
) -> Iterator[tuple[Pattern, Tactic | None]]:
    """Patterns one change away, each with what holds its rows; some may take too long.

    A held row is moved, dropped, added, or made full; a full one is held; another mechanism takes
    over. Where that changes what there is time for, as many rows are held as there then is.
    """
    if tactic is not None:
        for same in (*moved(pattern), *thinned(pattern), *thickened(pattern)):
            yield same, tactic
    for another in space.options:
        others = [*firmed(pattern)] if another == tactic else [pattern]
        for other in (*others, *softened(pattern)):
            yield timed(space, other, another), another


def timed(space: Space, pattern: Pattern, tactic: Tactic) -> Pattern:
    """The pattern with as many held rows as there is time for.

    They are taken from where most are and added where fewest are, at the noisier end among equals.
    """
    counts, wanted = list(pattern), room(space, len(pattern), tactic)
    while sum(counts) > wanted:
        counts[counts.index(max(counts))] -= 1
    while sum(counts) < wanted:
        counts[counts.index(min(counts))] += 1
    return tuple(counts)


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
