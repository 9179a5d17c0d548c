"""AutoDiffusion: which of many time steps, and at which of them part of the net is skipped.

A genome is a set of points of a fine lattice of noise levels, and for each of them whether the step
is full or held. The paper skips residual blocks, trained to be skippable by none; here a held step
takes what the mechanism of reuse kept, which is what makes skipping harmless. As many steps may be
taken as cost no more time than the full evaluations that were asked for.

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
from hasten.core.process import Process
from hasten.tuning.newton import Floats
from hasten.tuning.space import Candidate
from hasten.tuning.strategies.evolution import Pace, Species, evolve
from hasten.tuning.strategies.trial import Search, Space, Trial

LATTICE = 1000
"""Time steps to choose from, and as many levels equally far apart in log sigma."""
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
    process = space.bench.model.process
    levels = lattice(process)
    size = len(levels)
    # neither the gentlest nor the strongest: the paper has one way to skip, not a choice of them
    middle = space.options[len(space.options) // 2 :][:1]
    stages: list[Tactic | None] = [None, *middle]
    for tactic in stages:
        reuses = tactic is not None
        count = min(_steps(space, tactic), size)  # a short table has no more levels to step to
        mutate = functools.partial(_mutate, size, reuses)
        species = Species[Genome](
            express=functools.partial(_express, space, levels, tactic),
            draw=functools.partial(_draw, size, count, reuses),
            mutate=mutate,
            cross=functools.partial(_cross, size),
        )
        plain = _plain(process, levels, count, reuses)
        first = [plain, *(mutate(plain, rng) for _ in range(MUTANTS))]
        share = dataclasses.replace(pace, generations=pace.generations // len(stages))
        yield from evolve(species, first, share, rng)


def propose_as_published(space: Space, rng: np.random.Generator) -> Search:
    """The strategy at the paper's pace: 550 trials, 600 with held steps."""
    yield from propose(space, rng, PAPER)


def lattice(process: Process) -> Floats:
    """The levels to choose from, descending, all different, the first sigma_max [at most 1999].

    The paper's are equal steps in time. Where time is sigma itself, a hundredth of these are below
    sigma = 1, where most steps belong; so equal steps in log sigma are added. On a table of time
    steps both fall on the same levels, and each is there once.
    """
    top = process.t_of_sigma(np.array([process.sigma_max]))
    times = process.sigma_of_t(top * (1 - np.arange(1, LATTICE) / LATTICE))
    logs = np.geomspace(process.sigma_max, process.sigma_min, LATTICE)
    levels = np.concatenate([np.maximum(times, process.sigma_min), logs])
    return np.unique(process.snap(levels))[::-1]


def _steps(space: Space, tactic: Tactic | None) -> int:
    """Steps that fit into the time if about every other one is held."""
    if tactic is None:
        return space.evaluations
    speeds = space.bench.speeds
    pair = speeds.full + speeds.row(tactic)
    return max(space.evaluations, int(2 * space.evaluations * speeds.full / pair))


def _plain(process: Process, levels: Floats, count: int, reuses: bool) -> Genome:
    """Equal steps in t from end to end, every other one held."""
    ends = process.t_of_sigma(levels[[0, -1]])
    grid = process.sigma_of_t(np.linspace(ends[0], ends[1], count))
    points = [int(np.argmin(np.abs(np.log(levels) - np.log(sigma)))) for sigma in grid]
    held = [reuses and k % 2 == 1 for k in range(count)]
    rng = np.random.default_rng(0)  # fills up where two steps fall on one level of a short table
    return _whole(len(levels), zip(points, held, strict=True), count, rng)


def _express(space: Space, levels: Floats, tactic: Tactic | None, genome: Genome) -> Trial | None:
    held = [hold for _, hold in genome]
    candidate = Candidate.of(
        SOLVER, [levels[k] for k, _ in genome], held=held, tactic=tactic, fitted=False
    )
    return Trial(candidate) if space.fits(candidate) else None


def _draw(size: int, count: int, reuses: bool, rng: np.random.Generator) -> Genome:
    points = [0, *rng.choice(np.arange(1, size), count - 1, replace=False)]
    held = rng.random(count) < 0.5 * reuses
    return _whole(size, zip(map(int, points), map(bool, held), strict=True), count, rng)


def _mutate(size: int, reuses: bool, genome: Genome, rng: np.random.Generator) -> Genome:
    changed = [
        (
            int(rng.integers(1, size)) if k and rng.random() < CHANGE else k,
            hold ^ (reuses and bool(rng.random() < CHANGE)),
        )
        for k, hold in genome
    ]
    return _whole(size, changed, len(genome), rng)


def _cross(size: int, a: Genome, b: Genome, rng: np.random.Generator) -> Genome:
    genes = [x if rng.random() < 0.5 else y for x, y in zip(a, b, strict=True)]
    return _whole(size, genes, len(a), rng)


def _whole(
    size: int, genes: Iterable[tuple[int, bool]], count: int, rng: np.random.Generator
) -> Genome:
    """In order, without doubles, as many as there shall be, the first full and at the top.

    Args:
        size: Points of the lattice.
        genes: Points and whether they are held, in any order.
        count: As many as there shall be, at most `size`.
        rng: Draws the points that are missing.
    """
    found = {0: False} | {point: hold for point, hold in genes if point}
    while len(found) > count:
        del found[max(found)]
    while len(found) < count:
        found.setdefault(int(rng.integers(1, size)), False)
    return tuple(sorted(found.items()))
