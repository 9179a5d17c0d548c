"""Lattices and genomes of AutoDiffusion, on processes with and without a table of levels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hasten.core.model import Model
from hasten.core.process import EDM, VP, DiscreteVP, Flow, Process
from hasten.methods.cache import Cache
from hasten.recipe import spell
from hasten.solvers import stock_plan
from hasten.tuning.bench import Bench
from hasten.tuning.space import Candidate, Scored
from hasten.tuning.speeds import Speeds
from hasten.tuning.strategies import autodiffusion
from hasten.tuning.strategies.trial import Space
from hasten.tuning.teacher import Teacher

TACTIC = Cache(depth=0.6)
SPEEDS = Speeds(1.0, 10.0, {spell(TACTIC): 2.5})
SIZE = 1000
"""Points of a lattice, for genes alone."""


def table(levels: int) -> DiscreteVP:
    return DiscreteVP.from_betas(np.linspace(1e-4, 0.02, levels))


@pytest.mark.parametrize(
    "process", [EDM(), VP(), Flow(), table(3), table(30), table(1000)], ids=repr
)
def test_a_lattice_has_distinct_levels_from_end_to_end(process: Process) -> None:
    levels = autodiffusion.lattice(process)
    assert (np.diff(levels) < 0).all()
    assert np.array_equal(levels, process.snap(levels))
    np.testing.assert_allclose(levels[[0, -1]], [process.sigma_max, process.sigma_min])


def test_a_lattice_is_all_of_a_table_and_has_low_levels_without_one() -> None:
    for count in (3, 30, 1000):
        np.testing.assert_array_equal(autodiffusion.lattice(table(count)), table(count).table[::-1])
    assert np.mean(autodiffusion.lattice(EDM()) < 1) > 0.25


@pytest.mark.parametrize("levels", [2, 6, 30, 999])
def test_short_tables_are_searched(model: Model, train: Teacher, levels: int) -> None:
    model = dataclasses.replace(model, process=table(levels))
    space = Space(Bench(model, train, train, SPEEDS), 5, (TACTIC,))
    plan = stock_plan(EDM(), "ddim", "karras", 4)
    search = autodiffusion.propose(space, np.random.default_rng(0))
    batch, tried = next(search), list[Candidate]()
    while True:
        tried += [trial.candidate for trial in batch]
        answers = [Scored(each.candidate, plan, 1.0, float(k), k) for k, each in enumerate(batch)]
        try:
            batch = search.send(answers)
        except StopIteration:
            break
    assert all(space.fits(each) for each in tried)
    counts = [each.spec.count for each in tried]
    assert counts[0] == min(5, levels)
    assert counts[-1] == min(8, levels)
    if levels > 8:
        assert any(any(each.held) for each in tried)


def test_children_are_whole() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10_000):
        a, b = (autodiffusion._draw(SIZE, 6, True, rng) for _ in range(2))
        crossed = autodiffusion._cross(SIZE, a, b, rng)
        child = autodiffusion._mutate(SIZE, True, crossed, rng)
        points = [k for k, _ in child]
        assert len(points) == 6
        assert (np.diff(points) > 0).all()
        assert child[0] == (0, False)
        assert points[-1] < SIZE


def test_held_steps_come_back_where_there_may_be_some() -> None:
    rng = np.random.default_rng(0)
    bare = tuple((k, False) for k in range(0, 600, 100))
    for reuses in (True, False):
        mutants = [autodiffusion._mutate(SIZE, reuses, bare, rng) for _ in range(50)]
        assert any(hold for mutant in mutants for _, hold in mutant) == reuses
