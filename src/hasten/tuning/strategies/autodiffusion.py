"""AutoDiffusion: which of many time steps, and at which of them part of the net is skipped.

A genome is a set of points of a fine lattice in the model's own time, and for each of them whether
the step is full or held. The paper skips residual blocks, trained to be skippable by none; here a
held step takes what the mechanism of reuse kept, which is what makes skipping harmless. As many
steps may be taken as cost no more time than the full evaluations that were asked for.

The paper scores by a Fréchet distance of 1000 to 5000 samples; here it is the distance to the
teacher's endpoints, a thousand times cheaper, and `tune` judges what comes of it by distance.
Crossing two sets can make them shorter; here a child is filled up again.

Source: Li et al. 2023 (arXiv 2309.10438), section 4; the numbers of `PAPER` are the authors'.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from hasten.core.method import Tactic
from hasten.errors import PlanError
from hasten.solvers.grids import trailing, uniform
from hasten.tuning.newton import Floats
from hasten.tuning.space import Candidate
from hasten.tuning.strategies.evolution import Pace, Species, evolve
from hasten.tuning.strategies.trial import Search, Space, Trial

LATTICE = 1000
"""Time steps to choose from."""
SOLVER = "ddim"
CHANGE = 0.25
"""Share of a mutant's genes that are drawn anew."""
PAPER = Pace(population=50, parents=10, mutants=25, crossings=15, generations=10)
CHEAP = Pace(population=24, parents=6, mutants=12, crossings=8, generations=8)
MUTANTS = 24
"""Of the uniform grid, in the first generation."""

Genome: TypeAlias = tuple[tuple[int, bool], ...]
"""(point of the lattice, whether held), in order; the first point is 0, the noisiest."""


def propose(space: Space, rng: np.random.Generator, pace: Pace = CHEAP) -> Search:
    """The strategy: the steps alone first, then steps and held ones together, as in the paper."""
    levels = trailing(space.bench.model.process, LATTICE)
    stages: list[Tactic | None] = [None, *space.options[len(space.options) // 2 :][:1]]
    for tactic in stages:
        count = _steps(space, tactic)
        species = Species[Genome](
            express=functools.partial(_express, space, levels, tactic),
            draw=functools.partial(_draw, count, tactic is not None),
            mutate=_mutate,
            cross=_cross,
        )
        plain = _plain(space, levels, count, tactic is not None)
        first = [plain, *(_mutate(plain, rng) for _ in range(MUTANTS))]
        share = dataclasses.replace(pace, generations=pace.generations // len(stages))
        yield from evolve(species, first, share, rng)


def propose_as_published(space: Space, rng: np.random.Generator) -> Search:
    """The strategy at the paper's pace: 550 trials, 600 with held steps."""
    yield from propose(space, rng, PAPER)


def _steps(space: Space, tactic: Tactic | None) -> int:
    """Steps that fit into the time if about every other one is held."""
    if tactic is None:
        return space.evaluations
    speeds = space.bench.speeds
    pair = speeds.full + speeds.row(tactic)
    return max(space.evaluations, int(2 * space.evaluations * speeds.full / pair))


def _plain(space: Space, levels: Floats, count: int, reuses: bool) -> Genome:
    """The uniform grid, every other step held."""
    grid = uniform(space.bench.model.process, count)
    points = [int(np.argmin(np.abs(np.log(levels) - np.log(sigma)))) for sigma in grid]
    held = [reuses and k % 2 == 1 for k in range(count)]
    return _whole(zip(points, held, strict=True), count, np.random.default_rng(0))


def _express(space: Space, levels: Floats, tactic: Tactic | None, genome: Genome) -> Trial | None:
    held = [hold for _, hold in genome]
    candidate = Candidate.of(
        SOLVER, [levels[k] for k, _ in genome], held=held, tactic=tactic, fitted=False
    )
    try:
        return Trial(candidate) if space.fits(candidate) else None
    except PlanError:  # two points of the lattice are one of the net's levels
        return None


def _draw(count: int, reuses: bool, rng: np.random.Generator) -> Genome:
    points = [0, *rng.choice(np.arange(1, LATTICE), count - 1, replace=False)]
    held = rng.random(count) < 0.5 * reuses
    return _whole(zip(map(int, points), map(bool, held), strict=True), count, rng)


def _mutate(genome: Genome, rng: np.random.Generator) -> Genome:
    reuses = any(hold for _, hold in genome)
    changed = [
        (
            int(rng.integers(1, LATTICE)) if k and rng.random() < CHANGE else k,
            hold ^ (reuses and bool(rng.random() < CHANGE)),
        )
        for k, hold in genome
    ]
    return _whole(changed, len(genome), rng)


def _cross(a: Genome, b: Genome, rng: np.random.Generator) -> Genome:
    return _whole([x if rng.random() < 0.5 else y for x, y in zip(a, b, strict=True)], len(a), rng)


def _whole(genes: Iterable[tuple[int, bool]], count: int, rng: np.random.Generator) -> Genome:
    """In order, without doubles, as many as there shall be, the first full and at the top."""
    found = {0: False} | {point: hold for point, hold in genes if point}
    while len(found) > count:
        del found[max(found)]
    while len(found) < count:
        found.setdefault(int(rng.integers(1, LATTICE)), False)
    return tuple(sorted(found.items()))
