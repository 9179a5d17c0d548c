"""Genomes of USF stay grids of the net's levels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hasten.core.model import Model
from hasten.core.process import EDM, DiscreteVP
from hasten.errors import PlanError
from hasten.solvers.grids import uniform
from hasten.solvers.mixed import Decision
from hasten.tuning.bench import Bench
from hasten.tuning.speeds import Speeds
from hasten.tuning.strategies import usf
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


def test_a_table_shorter_than_the_plan_is_not_searched(model: Model, train: Teacher) -> None:
    process = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 4))
    bench = Bench(dataclasses.replace(model, process=process), train, train, Speeds(1.0, 10.0, {}))
    assert list(usf.propose(Space(bench, 5), np.random.default_rng(0))) == []
