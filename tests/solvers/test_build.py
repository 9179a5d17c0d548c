from __future__ import annotations

import numpy as np
import pytest

from hasten.core.plan import FULL, HOLD
from hasten.core.process import EDM
from hasten.errors import PlanError
from hasten.solvers import SOLVERS, Run, Solver, Vector, build, stock_plan
from hasten.solvers.build import V


def test_rows_of_euler_are_what_the_formula_says() -> None:
    plan = build(SOLVERS["ddim"], [8.0, 4.0, 1.0], label="example")
    assert plan.sigmas == (8.0, 4.0, 1.0)
    assert plan.rows[0].input.start == 1
    assert plan.rows[1].input.start == 0.5
    assert plan.rows[1].input.outputs == ((0, 0.5),)
    # 1/4 (1/2 start + 1/2 out[0]) + 3/4 out[1]
    assert plan.rows[2].input.start == pytest.approx(1 / 8)
    assert dict(plan.rows[2].input.outputs) == pytest.approx({0: 1 / 8, 1: 3 / 4})
    assert plan.result.start == 0
    assert plan.result.outputs == ((2, 1.0),)
    assert plan.label == "example"


def test_heun_has_two_rows_a_step_but_one_in_the_last() -> None:
    plan = build(SOLVERS["heun"], [8.0, 4.0, 1.0])
    assert plan.sigmas == (8.0, 4.0, 4.0, 1.0, 1.0)
    assert [(row.step, row.slot) for row in plan.rows] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=lambda solver: solver.name)
def test_declared_evaluations_and_noise(solver: Solver) -> None:
    plan = build(solver, np.geomspace(10, 0.1, 6))
    fewer = 1 if solver.name.endswith("_fast") else 0  # in the step before the last
    assert plan.nfe == 6 * solver.evaluations - (solver.evaluations - 1) - fewer
    assert plan.steps == 6
    assert any(row.input.noise for row in plan.rows) == solver.stochastic


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=lambda solver: solver.name)
def test_solvers_leave_a_constant_alone(solver: Solver) -> None:
    """If the net always answers c, an input at sigma is c plus sigma times the initial noise."""
    sigmas = np.geomspace(10, 0.1, 6)
    plan = build(solver, sigmas)
    wide = sigmas[0] ** 2
    lift = plan.rows[0].sigma / sigmas[0]  # by noise that is added before the first row
    assert (lift > 1) == (solver.name == "edm")
    for row in plan.rows[1:]:
        start = row.input.start * lift  # in units of the first level's noise
        spread = [row.sigma, *(0.0 for _ in row.input.noise)]
        own = [start * sigmas[0], *(weight for _, weight in row.input.noise)]
        assert sum(weight for _, weight in row.input.outputs) + start == pytest.approx(1)
        if solver.name == "ddpm_large":  # it is the bound from above (Ho et al. 2020, section 3.2)
            s, t = sigmas[row.step - 1], row.sigma
            wide = wide * (t / s) ** 4 + (s**2 - t**2) * (1 + t**2) / (1 + s**2)
            assert np.linalg.norm(own) ** 2 == pytest.approx(wide)
        elif solver.stochastic:
            assert np.linalg.norm(own) == pytest.approx(np.linalg.norm(spread))
        else:
            # start = c + sigma_0 eps
            assert own[0] == pytest.approx(row.sigma)


def test_columns() -> None:
    plan = build(SOLVERS["heun"], [8.0, 4.0, 1.0], reuse=[FULL, HOLD, FULL], guidance=[1, 2, 3])
    assert [row.reuse for row in plan.rows] == [FULL, FULL, HOLD, HOLD, FULL]
    assert [row.guidance for row in plan.rows] == [1, 1, 2, 2, 3]
    assert {row.guidance for row in build(SOLVERS["heun"], [8.0, 4.0], guidance=2.5).rows} == {2.5}
    assert {row.guidance for row in build(SOLVERS["heun"], [8.0, 4.0]).rows} == {None}


@pytest.mark.parametrize("columns", [{"reuse": [FULL]}, {"guidance": [1.0]}])
def test_columns_of_the_wrong_length(columns: dict[str, list[float]]) -> None:
    with pytest.raises(PlanError, match="for 2 steps"):
        build(SOLVERS["ddim"], [2.0, 1.0], **columns)  # type: ignore[arg-type]


def test_a_solver_of_ones_own() -> None:
    def midpoint(x: V, run: Run[V], i: int) -> V:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        if t == 0:
            return run.denoise(x, s)
        m = (s * t) ** 0.5
        y = x + (m - s) * ((x - run.denoise(x, s)) / s)
        return x + (t - s) * ((y - run.denoise(y, m)) / m)

    plan = build(Solver("midpoint", midpoint, 2, 2, "k-diffusion"), [9.0, 4.0, 1.0])
    assert plan.sigmas == pytest.approx((9, 6, 4, 2, 1))


def test_noise_without_a_source() -> None:
    run = Run[Vector]([1.0, 0.0], lambda x, sigma: x)
    with pytest.raises(PlanError, match="source of noise"):
        run.noise(1.0, 0.5)


def test_stock_plans_by_name() -> None:
    plan = stock_plan(EDM(), "heun", "karras", 18)
    assert plan.nfe == 35
    assert plan.label == "heun karras 18"
    with pytest.raises(PlanError, match="unknown solver 'hun'"):
        stock_plan(EDM(), "hun", "karras", 18)
    with pytest.raises(PlanError, match="unknown grid 'carras'"):
        stock_plan(EDM(), "heun", "carras", 18)
