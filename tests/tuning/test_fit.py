from __future__ import annotations

import numpy as np
import pytest
import torch

import nets
from hasten.applying import apply
from hasten.core.model import Model
from hasten.core.plan import FULL, HOLD
from hasten.core.process import EDM
from hasten.methods.cache import Cache
from hasten.recipe import PlanSpec, Recipe
from hasten.solvers import SOLVERS, build, stock_plan
from hasten.tuning.fit import Fit
from hasten.tuning.newton import mean_error
from hasten.tuning.play import play
from hasten.tuning.refine import distinct, refine
from hasten.tuning.teacher import Teacher


def error(model: Model, plan: object, teacher: Teacher) -> float:
    played = play(model, plan, teacher.noise, None)  # type: ignore[arg-type]
    return mean_error(played.end, teacher.end)


@pytest.mark.parametrize("steps", [4, 6, 9])
def test_fitted_coefficients_are_closer_on_seeds_they_were_not_fitted_to(
    model: Model, train: Teacher, valid: Teacher, steps: int
) -> None:
    plan = stock_plan(model.process, "dpmpp_2m", "karras", steps)
    fitted = play(model, plan, train.noise, None, revise=Fit(train)).plan
    assert error(model, fitted, valid) < 0.75 * error(model, plan, valid)
    assert error(model, fitted, train) < 0.75 * error(model, plan, train)


def test_a_fit_integrates_constants_exactly(model: Model, train: Teacher) -> None:
    plan = stock_plan(model.process, "ipndm3", "logsnr", 6)
    fitted = play(model, plan, train.noise, None, revise=Fit(train)).plan
    levels = [*(row.sigma for row in fitted.rows[1:]), 0.0]
    parts = [*(row.input for row in fitted.rows[1:]), fitted.result]
    first = fitted.rows[0].sigma
    for sigma, part in zip(levels, parts, strict=True):
        assert part.start == pytest.approx(sigma / first, abs=1e-12)
        assert sum(weight for _, weight in part.outputs) == pytest.approx(1 - sigma / first)


def test_with_a_heavy_ridge_the_solver_remains(model: Model, train: Teacher) -> None:
    plan = stock_plan(model.process, "dpmpp_2m", "karras", 5)
    fitted = play(model, plan, train.noise, None, revise=Fit(train, 1e12)).plan
    assert error(model, fitted, train) == pytest.approx(error(model, plan, train), rel=1e-6)


def test_a_plan_played_here_is_the_plan_played_by_the_executor(
    model: Model, valid: Teacher
) -> None:
    from hasten.solvers import loop

    plan = stock_plan(model.process, "unipc3", "logsnr", 7)
    here = play(model, plan, valid.noise, None)
    assert torch.allclose(here.end, loop.run(model, plan, valid.seeds), atol=1e-10)
    assert model.clock.run == 0


def test_rows_that_agree_are_not_asked_again(model: Model, valid: Teacher) -> None:
    sigmas = np.geomspace(80, 0.05, 6)
    first = play(model, build(SOLVERS["dpmpp_2m"], sigmas), valid.noise, None)
    sigmas[3] *= 1.1
    plan = build(SOLVERS["dpmpp_2m"], sigmas)
    again = play(model, plan, valid.noise, None, before=first)
    assert again.evaluated == 3
    assert torch.equal(again.end, play(model, plan, valid.noise, None).end)


def test_a_run_that_goes_on_at_a_held_row_goes_back_to_what_it_holds() -> None:
    net = nets.uvit()
    cond = None if net.classes is None else torch.arange(4) % net.classes.count
    noise = torch.randn(4, *net.shape, generator=torch.Generator().manual_seed(0))
    column = [FULL, HOLD, FULL, HOLD, HOLD, FULL]

    def levels(moved: int) -> np.ndarray:
        found = np.geomspace(net.process.sigma_max, 0.05, 6)
        found[moved:] *= 0.9
        return found

    recipe = Recipe(PlanSpec("ddim", "karras", 1), (Cache(depth=0.6),))
    with apply(net, recipe) as applied:
        first = play(applied.model, build(SOLVERS["ddim"], levels(6), reuse=column), noise, cond)
        for moved, evaluated in [(1, 6), (2, 4), (3, 4), (4, 4), (5, 1), (6, 0)]:
            plan = build(SOLVERS["ddim"], levels(moved), reuse=column)
            again = play(applied.model, plan, noise, cond, before=first)
            assert again.evaluated == evaluated
            assert torch.equal(again.end, play(applied.model, plan, noise, cond).end)
        other = build(SOLVERS["ddim"], levels(6), reuse=[FULL, HOLD, HOLD, HOLD, HOLD, FULL])
        assert play(applied.model, other, noise, cond, before=first).evaluated == 6


def ask_for(model: Model, teacher: Teacher, solver: str, fitted: bool):  # type: ignore[no-untyped-def]
    revise = Fit(teacher) if fitted else None

    def ask(sigmas, before):  # type: ignore[no-untyped-def]
        plan = build(SOLVERS[solver], sigmas)
        return play(model, plan, teacher.noise, None, revise=revise, before=before)

    return ask


@pytest.mark.parametrize(
    ("solver", "fitted", "share"), [("ipndm4", False, 0.6), ("dpmpp_2m", True, 0.6)]
)
def test_a_refined_grid_is_better_on_other_seeds_too(
    model: Model, train: Teacher, valid: Teacher, solver: str, fitted: bool, share: float
) -> None:
    start = build(SOLVERS[solver], np.array(stock_plan(model.process, solver, "karras", 5).sigmas))
    ask = ask_for(model, train, solver, fitted)
    sigmas, found = refine(ask, train.end, np.array(start.sigmas), high=80.0, low=0.002)
    before, after = ask(np.array(start.sigmas), None).plan, ask(sigmas, None).plan
    assert found.error == pytest.approx(error(model, after, train), rel=1e-6)
    assert error(model, after, valid) < share * error(model, before, valid)
    assert (np.diff(sigmas) < 0).all()
    assert sigmas[0] <= 80 * (1 + 1e-12)


def test_refining_never_makes_it_worse_and_stops_at_an_optimum(
    model: Model, train: Teacher
) -> None:
    ask = ask_for(model, train, "dpmpp_2m", True)
    sigmas, first = refine(
        ask, train.end, np.geomspace(80, 0.01, 4), high=80.0, low=0.002, rounds=12
    )
    _, again = refine(ask, train.end, sigmas, high=80.0, low=0.002, rounds=12)
    assert again.error <= first.error
    assert again.error > 0.9 * first.error


def test_levels_of_a_short_table_stay_distinct() -> None:
    from hasten.core.process import DiscreteVP
    from hasten.errors import PlanError

    table = DiscreteVP.from_betas(np.linspace(1e-3, 0.3, 12))
    crowded = np.linspace(table.sigma_max, table.sigma_max * 0.9, 5)
    found = distinct(table, crowded)
    assert (np.diff(found) < 0).all()
    assert set(found.tolist()) <= set(table.table.tolist())
    assert distinct(table, np.full(5, table.sigma_min)).tolist() == sorted(table.table)[4::-1]
    assert len(set(distinct(table, np.full(12, 1.0)).tolist())) == 12
    long = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 1000))
    crowded = distinct(long, np.array([157, 20, 3, 0.5, 0.0115, 0.0101]))  # two below the last
    assert (np.diff(crowded) < 0).all()
    assert crowded[-1] == long.table.min()
    with pytest.raises(PlanError):
        distinct(table, np.full(13, table.sigma_min))
    free = np.array([3.0, 2.0])
    assert (distinct(EDM(), free) == free).all()
