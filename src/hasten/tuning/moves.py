"""Moves: small changes of a candidate, for a local search.

A held row costs less than a full one, so a plan may hold a row it has, or put a held row where none
was. Which of those pays depends on the net.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from hasten.core.method import Tactic
from hasten.core.process import Process
from hasten.solvers.grids import resample
from hasten.tuning.family import LEADS
from hasten.tuning.newton import Floats
from hasten.tuning.refine import distinct, legal
from hasten.tuning.space import Candidate

EXTRA = 2
"""Most steps that held rows are added to."""


def around(
    candidate: Candidate,
    sigmas: Floats,
    process: Process,
    rng: np.random.Generator,
    *,
    count: int,
    size: float,
) -> list[Candidate]:
    """The candidate on grids nearby, and on its own grid by other solvers.

    Args:
        candidate: From where.
        sigmas: Its noise levels.
        process: Bounds of the levels.
        rng: Draws the grids.
        count: How many grids.
        size: Standard deviation in log sigma.
    """
    moved = [
        candidate.moved(distinct(process, shaken(sigmas, size, rng, process))) for _ in range(count)
    ]
    if candidate.fitted:  # then it hardly matters whose coefficients the fit begins with
        return moved
    return moved + [
        Candidate.of(solver, sigmas, held=candidate.held, tactic=candidate.tactic, fitted=False)
        for solver in LEADS
        if solver != candidate.spec.solver
    ]


def held(candidate: Candidate, sigmas: Floats, options: Sequence[Tactic]) -> list[Candidate]:
    """The candidate with rows held, on its own levels and on a few more.

    The first row is never held, and no more than every other one: what a held row repeats is then
    never older than one row.

    Args:
        candidate: From where; without held rows.
        sigmas: Its noise levels.
        options: Mechanisms of reuse to choose from.
    """
    return [
        Candidate.of(candidate.spec.solver, levels, held=rows, tactic=tactic, fitted=False)
        for tactic in options
        for extra in range(EXTRA + 1)
        for levels in [sigmas if not extra else resample(sigmas, len(sigmas) + extra)]
        for rows in _columns(len(levels))
    ]


def _columns(count: int) -> Iterator[tuple[bool, ...]]:
    """Every column of ``count`` rows in which a held row follows a full one."""
    for rows in itertools.product((False, True), repeat=count):
        if any(rows) and not rows[0] and (True, True) not in itertools.pairwise(rows):
            yield rows


def shaken(sigmas: Floats, size: float, rng: np.random.Generator, process: Process) -> Floats:
    """The levels moved at random in log sigma, in order and within bounds."""
    moved = np.log(sigmas) + size * rng.standard_normal(len(sigmas))
    return legal(moved, process.sigma_max, process.sigma_min)
