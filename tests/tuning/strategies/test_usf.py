"""Genomes of USF stay grids of the net's levels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hasten.core.model import Model
from hasten.core.process import EDM, DiscreteVP
from hasten.errors import PlanError
from hasten.solvers import build
from hasten.solvers.grids import uniform
from hasten.solvers.mixed import Decision, mixed
from hasten.tuning.bench import Bench
from hasten.tuning.speeds import Speeds
from hasten.tuning.strategies import evolution, usf
from hasten.tuning.strategies.trial import Space
from hasten.tuning.teacher import Teacher


@pytest.mark.parametrize("levels", [20, 1000])
def test_changes_and_crossings_stay_on_a_table(levels: int) -> None:
    process = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, levels))
    rng = np.random.default_rng(0)
    start = usf.Genome(tuple(uniform(process, 20).tolist()), (Decision(),) * 20)
    genome = start
    for _ in range(400):
        genome = usf._mutate(process, genome, rng)
        child = usf._cross(process, genome, start, rng)
        for sigmas in (np.array(genome.sigmas), np.array(child.sigmas)):
            assert (np.diff(sigmas) < 0).all()
            assert np.array_equal(process.snap(sigmas), sigmas)
    assert genome.decisions != start.decisions


def test_children_keep_a_parents_levels_where_a_table_lacks_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: object) -> None:
        raise PlanError("too short")

    monkeypatch.setattr(usf, "distinct", none)
    rng = np.random.default_rng(0)
    a, b = (usf.Genome((top, 1.0), (Decision(),) * 2) for top in (80.0, 40.0))
    assert usf._cross(EDM(), a, b, rng).sigmas == a.sigmas
    assert {usf._mutate(EDM(), a, rng).sigmas for _ in range(20)} == {a.sigmas}


def test_what_a_predictor_sees_is_what_makes_the_plan() -> None:
    rng = np.random.default_rng(0)
    levels = tuple(np.geomspace(80, 0.05, 4).tolist())
    plain = usf.Genome(levels, (Decision(2),) * 4)

    def other(step: int, **change: object) -> usf.Genome:
        decisions = list(plain.decisions)
        decisions[step] = dataclasses.replace(decisions[step], **change)
        return usf.Genome(levels, tuple(decisions))

    def plan(genome: usf.Genome) -> str:
        return build(mixed(genome.decisions), genome.sigmas).fingerprint()

    same = [other(0, order=4), other(1, order=4), other(3, order=4, noise=True, corrected=True)]
    for genome in same:
        assert (plan(genome), usf._features(genome)) == (plan(plain), usf._features(plain))
    changes = {"order": 1, "noise": True, "corrected": True, "relax": 0.02}
    for genome in (other(1, **{name: value}) for name, value in changes.items()):
        assert plan(genome) != plan(plain)
        assert usf._features(genome) != usf._features(plain)
    moved = usf._mutate(EDM(), plain, rng)
    assert len(usf._features(moved)) == len(usf._features(plain))


def test_children_are_chosen_among_many_by_the_trials_so_far(
    model: Model, train: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[tuple[int, ...], ...]] = []

    def spy(*tables: np.ndarray) -> np.ndarray:
        asked.append(tuple(table.shape for table in tables))
        return np.arange(len(tables[-1]))

    monkeypatch.setattr(evolution, "ranked", spy)
    bench = Bench(model, train, train, Speeds(1.0, 10.0, {}))
    search = usf.propose(Space(bench, 3), np.random.default_rng(0))
    search.send([bench.score(trial.candidate, 1) for trial in next(search)])
    numbers = 3 + 2 * 6  # levels, and the decisions of all steps but the last
    made = (usf.PACE.mutants, usf.PACE.crossings)
    assert asked == [((24, numbers), (24,), (8 * count, numbers)) for count in made]


def test_a_table_shorter_than_the_plan_is_not_searched(model: Model, train: Teacher) -> None:
    process = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 4))
    bench = Bench(dataclasses.replace(model, process=process), train, train, Speeds(1.0, 10.0, {}))
    assert list(usf.propose(Space(bench, 5), np.random.default_rng(0))) == []
