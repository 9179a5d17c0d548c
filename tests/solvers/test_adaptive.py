"""Solvers with error control, on the analytic mixture in double precision."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hasten.core.model import Model
from hasten.core.process import (
    EDM,
    VP,
    X0,
    DiscreteVP,
    Eps,
    Flow,
    Law,
    Prediction,
    Process,
    Velocity,
)
from hasten.errors import BudgetError, OutputError, PlanError
from hasten.models.mixture import mixture_model
from hasten.solvers import SOLVERS, Run, adaptive_plan, pilot, run, start_noise
from hasten.solvers.adaptive import FIRST

SEEDS = range(32)
BETAS = np.linspace(1e-4, 0.02, 1000)


@functools.cache
def _model() -> Model:
    return mixture_model(dtype=torch.float64)


@functools.cache
def _exact() -> Tensor:
    levels = [*np.geomspace(EDM().sigma_max, EDM().sigma_min, 800), 0.0]
    start = EDM().sigma_max * start_noise(SEEDS, (2,)).double()
    return Run[Tensor](levels, _model().denoise).steps(SOLVERS["dpm_3"].step, start)


@functools.cache
def _ladder(order: int) -> tuple[list[float], list[int]]:
    """Errors at the end, and rows, for tolerances each a quarter of the one before."""
    runs = [
        pilot(_model(), SEEDS, order=order, rtol=0.005 * k, atol=0.00078 * k)
        for k in (1, 1 / 4, 1 / 16, 1 / 64)
    ]
    errors = [(run.x0 - _exact()).square().mean().sqrt().item() for run in runs]
    return errors, [run.evaluations - run.rejected for run in runs]


@pytest.mark.parametrize("order", [2, 3])
def test_a_tighter_tolerance_costs_more_and_errs_less(order: int) -> None:
    errors, rows = _ladder(order)
    assert errors == sorted(errors, reverse=True)
    assert rows == sorted(rows)


@pytest.mark.parametrize("order", [2, 3])
def test_the_error_is_proportional_to_the_tolerance(order: int) -> None:
    """The lower solver's error is held at the tolerance: h^order ~ rtol, and so is the higher's."""
    errors, rows = _ladder(order)
    assert math.log(errors[0] / errors[-1]) / math.log(64) == pytest.approx(1, abs=0.2)
    assert math.log(rows[-1] / rows[0]) / math.log(64) == pytest.approx(1 / order, abs=0.1)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize(
    ("process", "prediction"),
    [
        (EDM(), X0()),
        (Flow(), Velocity()),
        (VP(Law.LINEAR), Eps()),
        (DiscreteVP.from_betas(BETAS), Eps()),
        (DiscreteVP.from_betas(BETAS, continuous=True), X0()),
    ],
    ids=["edm", "flow", "vp", "table", "continuous table"],
)
def test_the_plan_gives_the_pilots_samples(
    process: Process, prediction: Prediction, order: int
) -> None:
    model = mixture_model(process, prediction, dtype=torch.float64)
    found = pilot(model, SEEDS, order=order)
    plan = adaptive_plan(model, SEEDS, order=order)
    assert (run(model, plan, SEEDS) - found.x0).abs().max().item() < 1e-9
    assert plan.nfe == found.evaluations - found.rejected
    assert plan.steps == len(found.sigmas)
    assert found.sigmas == tuple(process.snap(np.array(found.sigmas)))
    assert found.sigmas[0] == process.sigma_max
    assert found.sigmas[-1] == process.sigma_min
    assert adaptive_plan(model, SEEDS, order=order) == plan
    assert str(found.rejected) in plan.label


def test_rejected_steps_are_counted_by_what_they_cost() -> None:
    asked = 0

    def count(*_: object) -> None:
        nonlocal asked
        asked += 1

    model = mixture_model(dtype=torch.float64)
    handle = model.net.register_forward_hook(count)
    found = pilot(model, SEEDS)
    handle.remove()
    assert found.evaluations == asked
    assert found.rejected > 0
    assert found.rejected % 2 == 0  # the first of a step's three is kept for the next try


@pytest.mark.parametrize("size", [0.5, 4.0])
@pytest.mark.parametrize("order", [2, 3])
def test_step_control_is_the_formula(order: int, size: float) -> None:
    """The first step by hand, at tolerances that make its error ``size``."""
    model, s = mixture_model(EDM(sigma_max=0.5), dtype=torch.float64), 0.5
    t = s * math.exp(-FIRST)

    def step(name: str) -> Tensor:
        return Run[Tensor]([s, t], model.denoise).steps(SOLVERS[name].step, x)

    x = s * start_noise(SEEDS, (2,)).double()
    if order == 2:
        high, low = step("dpm_2"), step("ddim")
    else:  # against DPM-Solver-2 with r1 = 1/3, as the paper writes it
        e, third = (x - model.denoise(x, s)) / s, s * math.exp(-FIRST / 3)
        u = x - third * math.expm1(FIRST / 3) * e
        e1 = (u - model.denoise(u, third)) / third
        low = x - t * math.expm1(FIRST) * e - 1.5 * t * math.expm1(FIRST) * (e1 - e)
        high = step("dpm_3")
    unit = (0.05 * torch.maximum(x.abs(), low.abs())).clamp(min=0.0078)
    scale = ((high - low) / unit).square().mean().sqrt().item() / size
    found = pilot(model, SEEDS, order=order, rtol=0.05 * scale, atol=0.0078 * scale)
    factor = 1 + math.atan(size ** (-1 / order) - 1)
    if size < 1:
        assert found.sigmas[1:3] == pytest.approx([t, t * math.exp(-factor * FIRST)])
    else:
        assert found.sigmas[1] == pytest.approx(s * math.exp(-factor * FIRST))


def test_a_batch_is_judged_by_its_mean() -> None:
    one, twice = (pilot(_model(), [1, 2] * n).sigmas for n in (1, 2))
    assert one == pytest.approx(twice, rel=1e-9)


def test_a_level_that_the_net_does_not_know_is_not_asked_for() -> None:
    """Where even the table's next level is too far for the tolerance, the step goes there."""
    process = DiscreteVP.from_betas(np.linspace(1e-3, 0.2, 20))
    model = mixture_model(process, Eps(), dtype=torch.float64)
    found = pilot(model, SEEDS, rtol=1e-7, atol=1e-7)
    assert found.sigmas == tuple(process.table[::-1])


def test_guidance_and_classes() -> None:
    model = mixture_model(labels=[0, 0, 1, 1], dtype=torch.float64)
    cond = torch.tensor([0, 1] * 8)
    plan = adaptive_plan(model, range(16), cond, guidance=2.0, label="mine")
    assert plan.label == "mine"
    assert {row.guidance for row in plan.rows} == {2.0}
    found = pilot(model, range(16), cond, guidance=2.0)
    assert (run(model, plan, range(16), cond) - found.x0).abs().max().item() < 1e-9
    assert {row.guidance for row in adaptive_plan(model, range(16), cond).rows} == {None}


def test_too_many_evaluations() -> None:
    with pytest.raises(BudgetError, match="50 evaluations do not suffice") as caught:
        adaptive_plan(_model(), SEEDS, rtol=1e-6, atol=1e-7, most=50)
    assert "mixture, at sigma" in caught.value.where
    assert "tolerance" in caught.value.hint
    found = pilot(_model(), SEEDS)
    assert pilot(_model(), SEEDS, most=found.evaluations).sigmas == found.sigmas
    with pytest.raises(BudgetError):
        pilot(_model(), SEEDS, most=found.evaluations - 1)


@pytest.mark.parametrize(
    "bad",
    [{"order": 1}, {"order": 4}, {"rtol": 0.0}, {"atol": -1.0}, {"rtol": math.nan}],
    ids=str,
)
def test_impossible_settings(bad: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=next(iter(bad))):
        adaptive_plan(_model(), SEEDS, **bad)  # type: ignore[arg-type]


def test_nothing_to_sample_and_classes_that_are_missing() -> None:
    with pytest.raises(PlanError, match="no seeds"):
        adaptive_plan(_model(), [])
    with pytest.raises(PlanError, match="by class"):
        adaptive_plan(mixture_model(labels=[0, 0, 1, 1]), SEEDS)


def test_numbers_that_are_not_finite() -> None:
    class Breaks(nn.Module):
        def forward(self, x: Tensor, time: Tensor) -> Tensor:
            return torch.where(time.reshape(-1, 1) < 0, torch.nan, x)  # log(sigma) / 4

    model = Model(Breaks(), EDM(), X0(), (2,))
    with pytest.raises(OutputError, match="not finite") as caught:
        adaptive_plan(model, SEEDS)
    assert "between sigma" in caught.value.where
