from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from hasten.core.model import Model
from hasten.core.plan import Combination
from hasten.core.process import DiscreteVP
from hasten.errors import OutputError, PlanError
from hasten.solvers import stock_plan
from hasten.tuning.learn import MEMORY, Numbers, learn
from hasten.tuning.newton import gauss_newton, mean_error
from hasten.tuning.play import Played, play
from hasten.tuning.teacher import Teacher


@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m", "unipc3", "lms4"])
def test_the_numbers_of_a_plan_make_the_plan(model: Model, valid: Teacher, solver: str) -> None:
    plan = stock_plan(model.process, solver, "karras", 6)
    numbers = Numbers(plan, model.process)
    again = numbers.plan(numbers.start)
    one, other = play(model, plan, valid.noise, None), play(model, again, valid.noise, None)
    assert torch.allclose(one.end, other.end, atol=1e-9)
    n = plan.nfe
    assert numbers.start[n : 2 * n - 1] == pytest.approx(np.zeros(n - 1), abs=1e-12)


def test_any_numbers_integrate_constants_exactly(model: Model) -> None:
    numbers = Numbers(stock_plan(model.process, "ipndm3", "logsnr", 6), model.process)
    rng = np.random.default_rng(0)
    place = numbers.legal(numbers.start + 0.3 * rng.standard_normal(len(numbers.start)))
    plan = numbers.plan(place)
    for part in (*(row.input for row in plan.rows[1:]), plan.result):
        assert part.start + sum(w for _, w in part.outputs) == pytest.approx(1, abs=1e-12)
    assert (np.diff(plan.sigmas) < 0).all()


def test_the_first_level_moves_within_what_the_net_knows(model: Model) -> None:
    plan = stock_plan(model.process, "dpmpp_2m", "karras", 3)
    numbers = Numbers(plan, model.process)
    place = numbers.start.copy()
    place[0] = np.log(10.0)
    lower = numbers.plan(numbers.legal(place))
    assert lower.sigmas == pytest.approx([10.0, *plan.sigmas[1:]])
    # what is asked later is as noisy as before
    for old, new in zip(plan.rows[1:], lower.rows[1:], strict=True):
        assert new.input.start * 10 == pytest.approx(old.input.start * plan.rows[0].sigma)
    place[0] = np.log(2 * model.process.sigma_max)
    assert numbers.plan(numbers.legal(place)).sigmas[0] == pytest.approx(model.process.sigma_max)


def test_a_number_of_a_row_changes_nothing_before_it(model: Model) -> None:
    plan = stock_plan(model.process, "lms3", "karras", 6)
    numbers = Numbers(plan, model.process)
    base = numbers.plan(numbers.start)
    first_changed = []
    for k, step in enumerate(numbers.nudges(numbers.start)):
        place = numbers.start.copy()
        place[k] += step
        moved = numbers.plan(place)
        same = [a == b for a, b in zip(base.rows, moved.rows, strict=True)]
        first_changed.append(same.index(False) if False in same else 6)
        assert (same, moved.result) != ([True] * 6, base.result)
    levels, shifts = list(range(6)), list(range(1, 6))
    weights = [k + 1 for k in range(6) for _ in range(min(k, MEMORY - 1))]
    assert first_changed == levels + shifts + weights


def test_what_is_learned_holds_on_other_seeds(model: Model, train: Teacher, valid: Teacher) -> None:
    plan = stock_plan(model.process, "ipndm4", "karras", 5)

    def ask(rows: object, near: Played | None) -> Played:
        return play(model, rows, train.noise, None, before=near)  # type: ignore[arg-type]

    found, how = learn(ask, train.end, plan, model.process, rounds=40, tolerance=1e-3)
    assert how.error == pytest.approx(mean_error(ask(found, None).end, train.end), rel=1e-9)
    before = mean_error(play(model, plan, valid.noise, None).end, valid.end)
    after = mean_error(play(model, found, valid.noise, None).end, valid.end)
    assert before > 0.06
    assert after < 0.02


def test_learning_never_makes_it_worse(model: Model, train: Teacher) -> None:
    for solver in ("ddim", "dpmpp_2m"):
        plan = stock_plan(model.process, solver, "logsnr", 4)
        start = mean_error(play(model, plan, train.noise, None).end, train.end)
        _, how = learn(
            lambda rows, near: play(model, rows, train.noise, None, before=near),
            train.end,
            plan,
            model.process,
            rounds=2,
        )
        assert how.error < start


def test_the_levels_of_a_table_stay_in_it() -> None:
    table = DiscreteVP.from_betas(np.linspace(1e-3, 0.3, 40))
    numbers = Numbers(stock_plan(table, "dpmpp_2m", "karras", 5), table)
    place = numbers.start.copy()
    place[:4] += 0.05
    assert set(numbers.plan(numbers.legal(place)).sigmas) <= set(table.table.tolist())


def test_what_has_no_endpoint_or_loses_constants_is_refused(model: Model) -> None:
    with pytest.raises(PlanError, match="draws noise"):
        Numbers(stock_plan(model.process, "ancestral", "karras", 4), model.process)
    with pytest.raises(PlanError, match="one evaluation a step"):
        Numbers(stock_plan(model.process, "heun", "karras", 4), model.process)
    plan = stock_plan(model.process, "ddim", "karras", 4)
    shrunk = dataclasses.replace(plan, result=Combination(0.0, ((3, 0.9),)))
    with pytest.raises(PlanError, match="constants"):
        Numbers(shrunk, model.process)


def test_a_probe_that_fails_is_a_place_not_to_go() -> None:
    target = torch.tensor([[3.0, -1.0]], dtype=torch.float64)

    def ask(place: np.ndarray, _: Played | None) -> Played:
        if place[0] > 2 or place[1] != 0:
            raise OutputError("it leaves the numbers")
        end = torch.from_numpy(place)[None, :]
        return Played(None, None, end, (), 0)  # type: ignore[arg-type]

    found = gauss_newton(
        ask,
        target,
        np.zeros(2),
        nudges=lambda place: np.full(2, 0.1),
        legal=lambda place: place,
        reach=0.5,
        rounds=20,
        tolerance=0.0,
    )
    assert found.place[0] == pytest.approx(2, abs=0.5)
    assert found.place[0] <= 2
    assert found.place[1] == 0


def test_gauss_newton_solves_a_linear_problem_in_few_rounds() -> None:
    rng = np.random.default_rng(0)
    matrix = torch.from_numpy(rng.standard_normal((3, 8, 5)))
    wanted = rng.standard_normal(3)
    target = torch.einsum("k,knd->nd", torch.from_numpy(wanted), matrix)

    def ask(place: np.ndarray, _: Played | None) -> Played:
        end = torch.einsum("k,knd->nd", torch.from_numpy(place), matrix)
        return Played(None, None, end, (), 0)  # type: ignore[arg-type]

    def run(fixed: int | None) -> np.ndarray:
        steps = np.full(3, 0.1)
        if fixed is not None:
            steps[fixed] = 0.0
        return gauss_newton(
            ask,
            target,
            np.zeros(3),
            nudges=lambda _: steps,
            legal=lambda place: place,
            reach=10.0,
            rounds=20,
            tolerance=0.0,
        ).place

    assert run(None) == pytest.approx(wanted, abs=1e-5)
    assert run(1)[1] == 0  # no nudge, no move
