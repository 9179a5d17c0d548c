from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hasten.core.process import VP, DiscreteVP, V
from hasten.models.mixture import mixture_model
from hasten.solvers import loop, stock_plan
from hasten.tuning.newton import mean_error
from hasten.tuning.seeds import stream
from hasten.tuning.teacher import Teacher, converged_plan, teach

SEEDS = stream(0, "test", 12)


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    model = mixture_model(dtype=torch.float64)
    return teach(model, converged_plan(model.process), SEEDS, None, batch=5)


def test_it_ends_where_a_far_finer_solver_ends(teacher: Teacher) -> None:
    model = mixture_model(dtype=torch.float64)
    exact = loop.run(model, stock_plan(model.process, "heun", "karras", 400), SEEDS)
    assert mean_error(teacher.end, exact) < 3e-3


def test_between_its_levels_it_is_on_the_trajectory(teacher: Teacher) -> None:
    model = mixture_model(dtype=torch.float64)
    fine = converged_plan(model.process, 301)
    seen = {}
    loop.run(model, fine, SEEDS, on_row=lambda i, sigma, x, x0: seen.setdefault(sigma, x))
    for index in (0, 7, 31, 144, 241, 290, 300):
        sigma = fine.rows[2 * index].sigma
        scale = float(np.sqrt(1 + sigma**2))
        assert mean_error(teacher.at(sigma) / scale, seen[sigma] / scale) < 3e-3


def test_the_batch_does_not_matter_and_parts_are_parts(teacher: Teacher) -> None:
    model = mixture_model(dtype=torch.float64)
    whole = teach(model, converged_plan(model.process), SEEDS, None, batch=12)
    assert torch.allclose(whole.path, teacher.path, atol=1e-10)
    part = teacher.part(3, 7)
    assert len(part) == 4
    assert torch.equal(part.at(1.3), teacher.at(1.3)[3:7])


def test_it_is_stored_whole(teacher: Teacher, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **teacher.arrays())
    again = Teacher.load(tmp_path / "t.npz", SEEDS, None, torch.device("cpu"))
    assert torch.equal(again.at(0.7), teacher.at(0.7))
    assert torch.equal(again.end, teacher.end)


def test_its_plan_costs_127_evaluations_and_fits_short_tables() -> None:
    assert converged_plan(VP()).nfe == 127
    short = DiscreteVP.from_betas(np.linspace(1e-3, 0.3, 30))
    plan = converged_plan(short)
    assert set(plan.sigmas) <= set(short.table.tolist())
    teach(mixture_model(short, V()), plan, SEEDS[:2], None)
