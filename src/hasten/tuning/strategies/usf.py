"""USF: time steps, order, prediction and corrector of every step, by evolution.

Genomes are the decisions of `hasten.solvers.mixed` and the levels they are taken at. The authors
search by a predictor of a Fréchet distance that is trained on 1000-sample scores, in rounds (S3).
Scores here are distances to the teacher's endpoints, so cheap that the search itself can ask; a
small predictor chooses which children it asks about. On mixtures of Gaussians that is worth a tenth
of the error when 60 or 100 plans were tried, and nothing that can be told when 150 were.

Left out of the paper's space are the first step without an evaluation, which with its zero estimate
is the same as beginning at a lower level, and so in the levels; decaying skip connections, which
change the net; the prediction type of DPM-Solver-v3, whose chance of 0.4 goes to x0, 0.7 here; the
choice between two estimates of a derivative; and the insertion and deletion of steps. Population
and generations are ours, the other numbers those of the authors' configuration.

Source: Liu et al. 2024 (arXiv 2312.07243), sections 3 and 4.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.solvers import build
from hasten.solvers.mixed import Decision, mixed
from hasten.tuning.newton import Floats
from hasten.tuning.refine import distinct, legal
from hasten.tuning.space import Candidate
from hasten.tuning.strategies.evolution import Pace, Species, evolve
from hasten.tuning.strategies.learned import beginnings
from hasten.tuning.strategies.trial import Search, Space, Trial

PACE = Pace(population=24, parents=15, mutants=12, crossings=10, generations=15, thoughts=8)
ORDERS, NOISE, CORRECTED = (0.2, 0.4, 0.3, 0.1), 0.3, 0.5
"""Chances of the orders 1 to 4, of interpolating the noise, of a corrector."""
RELAX, MOVE = 0.03, 0.08
"""Standard deviations of a first derivative's share and of a level in log sigma."""
CHANGE = 0.3
"""Chance that a group of genes is changed."""


@final
@dataclass(frozen=True)
class Genome:
    """Levels [n] and decisions [n]."""

    sigmas: tuple[float, ...]
    decisions: tuple[Decision, ...]


def propose(space: Space, rng: np.random.Generator) -> Search:
    """The strategy."""
    grids = [tuple(grid.tolist()) for grid in beginnings(space, space.evaluations)]
    if not grids:  # a table of fewer levels than steps
        return
    process = space.bench.model.process

    def draw(rng: np.random.Generator) -> Genome:
        grid = grids[int(rng.integers(len(grids)))]
        return Genome(grid, tuple(_decide(rng) for _ in grid))

    uniform = [
        Genome(grid, (Decision(order, noise, corrected),) * len(grid))
        for grid in grids[:6]
        for order, noise, corrected in ((2, False, False), (3, True, False), (2, False, True))
    ]
    mutate, cross = functools.partial(_mutate, process), functools.partial(_cross, process)
    species = Species(_express, draw, mutate, cross, _features)
    yield from evolve(species, uniform, PACE, rng)


def _express(genome: Genome) -> Trial | None:
    try:
        plan = build(mixed(genome.decisions), genome.sigmas, label=f"usf {len(genome.sigmas)}")
    except PlanError:
        return None
    return Trial(Candidate.explicit(plan))


def _features(genome: Genome) -> list[float]:
    """Of the decisions what comes to bear: there is no past at first, and no choice at last."""
    numbers: list[float] = np.log(genome.sigmas).tolist()
    for i, each in enumerate(genome.decisions[:-1]):
        order = min(each.order, i + 1)
        above = [float(order > k) for k in range(1, len(ORDERS))]
        numbers += [*above, float(each.noise), float(each.corrected), each.relax]
    return numbers


def _mutate(process: Process, genome: Genome, rng: np.random.Generator) -> Genome:
    sigmas = genome.sigmas
    if rng.random() < CHANGE:
        wish = np.log(sigmas) + MOVE * rng.standard_normal(len(sigmas))
        sigmas = _tidy(process, wish, sigmas)
    return Genome(sigmas, tuple(_changed(each, rng) for each in genome.decisions))


def _cross(process: Process, a: Genome, b: Genome, rng: np.random.Generator) -> Genome:
    first = rng.random(len(a.sigmas)) < 0.5
    wish = np.where(first, np.log(a.sigmas), np.log(b.sigmas))
    pairs = zip(first, a.decisions, b.decisions, strict=True)
    decisions = tuple(x if mine else y for mine, x, y in pairs)
    return Genome(_tidy(process, wish, a.sigmas), decisions)


def _tidy(process: Process, wish: Floats, otherwise: tuple[float, ...]) -> tuple[float, ...]:
    """The legal levels nearest to a wish in log sigma; a parent's if the table is too short."""
    try:
        sigmas = distinct(process, legal(wish, process.sigma_max, process.sigma_min))
    except PlanError:
        return otherwise
    return tuple(sigmas.tolist())


def _decide(rng: np.random.Generator) -> Decision:
    return Decision(
        int(rng.choice(len(ORDERS), p=ORDERS)) + 1,
        bool(rng.random() < NOISE),
        bool(rng.random() < CORRECTED),
    )


def _changed(decision: Decision, rng: np.random.Generator) -> Decision:
    """Each group of genes anew with its chance."""
    other = _decide(rng)
    for name in ("order", "noise", "corrected"):
        if rng.random() < CHANGE:
            decision = replace(decision, **{name: getattr(other, name)})
    if rng.random() < CHANGE:
        decision = replace(decision, relax=decision.relax + RELAX * float(rng.standard_normal()))
    return decision
