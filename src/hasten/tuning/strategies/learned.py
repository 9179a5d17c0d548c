"""Learned: levels, shifts and weights of a plan, from the best of several beginnings.

Fits from the levels of well-known grids, the best refined, the best of these learned as a whole.
The beginnings matter: the error has several valleys, and which grid leads into the deepest differs
from model to model.

Source: learned non-stationary solvers (Shaul et al. 2024, arXiv 2403.01329), alternated with the
time steps as in S4S (Frankel et al. 2025, arXiv 2502.17423); the beginnings are ours.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from hasten.errors import PlanError
from hasten.solvers import GRIDS
from hasten.tuning.family import power_grid
from hasten.tuning.newton import Floats
from hasten.tuning.refine import distinct
from hasten.tuning.space import Candidate, Scored
from hasten.tuning.strategies.trial import Care, Search, Space, Trial, best

SOLVER = "dpmpp_2m"
"""Whose coefficients a fit begins with; it hardly matters which."""
STARTS = ("uniform", "trailing", "quadratic", "karras", "logsnr", "beta")
LOWER, BENDS, ENDS = (1.0, 0.3), (3.0, 12.0), (0.03, 0.2)
"""Further beginnings: shares of the top level, exponents and last levels of power grids."""
REFINED, LEARNED = 4, 2
"""How many are carried on."""


def propose(space: Space, rng: np.random.Generator) -> Search:  # noqa: ARG001
    """The strategy."""
    refined = yield from refine_best(space, space.evaluations)
    yield from learn_best(refined, LEARNED)


def refine_best(space: Space, steps: int) -> Generator[Sequence[Trial], list[Scored], list[Scored]]:
    """Fits on many grids, the best of them with refined levels; returns these, best first."""
    grids = beginnings(space, steps)
    fitted = yield [Trial(Candidate.of(SOLVER, sigmas)) for sigmas in grids]
    refined = yield [Trial(each.candidate, Care.REFINE) for each in best(fitted, REFINED)]
    return best([*refined, *fitted], REFINED)


def learn_best(
    scored: Sequence[Scored], count: int
) -> Generator[Sequence[Trial], list[Scored], list[Scored]]:
    """The best learned as a whole; returns what they came to."""
    return (yield [learning(each) for each in best(scored, count)])


def learning(scored: Scored) -> Trial:
    """The trial that learns from where another one ended."""
    return Trial(scored.candidate, Care.LEARN, scored.plan)


def beginnings(space: Space, steps: int) -> list[Floats]:
    """Grids of so many steps, all different."""
    process, found = space.bench.model.process, dict[bytes, Floats]()
    for name in STARTS:
        try:
            grid = GRIDS[name](process, steps)
        except PlanError:
            continue
        found.setdefault(grid.tobytes(), grid)
    for share in LOWER:
        for bend in BENDS:
            for end in ENDS:
                last = max(end, 2 * process.sigma_min)
                wish = power_grid(share * process.sigma_max, last, bend, steps)
                try:
                    grid = distinct(process, wish)
                except PlanError:
                    continue
                found.setdefault(grid.tobytes(), grid)
    return list(found.values())
