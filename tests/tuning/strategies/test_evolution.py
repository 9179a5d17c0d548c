from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hasten.core.process import EDM
from hasten.solvers import stock_plan
from hasten.tuning.space import Candidate, Scored
from hasten.tuning.strategies.evolution import Pace, Species, evolve
from hasten.tuning.strategies.trial import Trial

PACE = Pace(population=12, parents=4, mutants=6, crossings=4, generations=20)
CANDIDATE = Candidate.stock("ddim", "karras", 4)
SCORED = Scored(CANDIDATE, stock_plan(EDM(), "ddim", "karras", 4), 1.0, 0.0, 1)

Point = tuple[int, int]


def hill(genome: Point) -> float:
    return float((genome[0] - 70) ** 2 + (genome[1] - 20) ** 2)


def run(
    seed: int, pace: Pace = PACE, features: Callable[[Point], Sequence[float]] | None = None
) -> list[Point]:
    """All genomes that an evolution down a hill tries, in order."""
    asked: list[Point] = []
    waiting: dict[int, Point] = {}

    def express(genome: Point) -> Trial | None:
        if genome[0] % 7 == 3:
            return None  # some cannot live
        trial = Trial(CANDIDATE, seeds=8)
        waiting[id(trial)] = genome
        kept.append(trial)
        return trial

    kept: list[Trial] = []
    species = Species[Point](
        express,
        lambda rng: (int(rng.integers(100)), int(rng.integers(100))),
        lambda g, rng: (g[0] + int(rng.integers(-5, 6)), g[1] + int(rng.integers(-5, 6))),
        lambda a, b, _: (a[0], b[1]),
        features,
    )
    search = evolve(species, [(0, 99)], pace, np.random.default_rng(seed))
    batch = next(search)
    while True:
        genomes = [waiting[id(trial)] for trial in batch]
        asked += genomes
        scored = [dataclasses.replace(SCORED, error=hill(genome)) for genome in genomes]
        try:
            batch = search.send(scored)
        except StopIteration:
            return asked


def test_it_goes_downhill_and_tries_nothing_twice() -> None:
    for seed in range(3):
        asked = run(seed)
        assert len(set(asked)) == len(asked) == PACE.population * (1 + PACE.generations)
        assert asked[0] == (0, 99)
        assert all(genome[0] % 7 != 3 for genome in asked)
        assert min(map(hill, asked)) <= 2 < min(map(hill, asked[: 2 * PACE.population]))


def test_the_same_seed_tries_the_same() -> None:
    for features in (None, tuple):
        assert run(4, features=features) == run(4, features=features)
        assert run(4, features=features) != run(5, features=features)


def test_a_predictor_goes_downhill_faster() -> None:
    """By the trials of a few generations, of which none is tried twice all the same."""
    pace = dataclasses.replace(PACE, generations=4, thoughts=8)
    plain, guided = ([run(seed, pace, how) for seed in range(12)] for how in (None, tuple))
    for asked in guided:
        assert len(set(asked)) == len(asked) == pace.population * (1 + pace.generations)
    heights = [np.mean([min(map(hill, asked)) for asked in runs]) for runs in (plain, guided)]
    assert heights[1] < 0.25 * heights[0]
    # what promises little is not tried: the generations after the first are better as a whole
    later = [np.median([hill(g) for a in r for g in a[pace.population :]]) for r in (plain, guided)]
    assert later[1] < 0.75 * later[0]


def test_an_evolution_without_scores_ends() -> None:
    def none(point: Point, *_: object) -> Point:
        raise AssertionError(point)  # nobody may become a parent

    for express in (lambda _: None, lambda _: Trial(CANDIDATE)):
        species = Species[Point](express, lambda rng: (int(rng.integers(100)), 0), none, none)
        search = evolve(species, [], PACE, np.random.default_rng(0))
        next(search)
        with pytest.raises(StopIteration):
            search.send([])
