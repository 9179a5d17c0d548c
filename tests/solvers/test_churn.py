"""Noise added before the steps: the variance of algorithm 2, of the solver and of its plans."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from gaussian import STD, ratio_of, ratio_of_plan

from hasten.core.plan import Combination
from hasten.core.process import EDM, SIGMA_CAP, X0, Flow
from hasten.errors import PlanError
from hasten.models.mixture import mixture_model
from hasten.solvers import SOLVERS, churn, run, stock_plan
from hasten.solvers.grids import karras


def _churned(n: int, scale: float = 1.0) -> float:
    """Algorithm 2 on Gaussian data: every step multiplies, so the variance is a recursion."""

    def slope(sigma: float) -> float:  # (x - D) / sigma over x
        return (1 - STD**2 / (STD**2 + sigma**2)) / sigma

    levels = [*karras(EDM(), n).tolist(), 0.0]
    variance = levels[0] ** 2
    for s, t in itertools.pairwise(levels):
        up = s * (1 + min(40.0 / n, np.sqrt(2) - 1)) if t else s
        variance += scale**2 * (up**2 - s**2)
        euler = 1 + (t - up) * slope(up)
        factor = 1 + (t - up) * (slope(up) + slope(t) * euler) / 2 if t else euler
        variance *= factor**2
    return float(np.sqrt(variance)) / STD


@pytest.mark.parametrize("scale", [1.0, 1.003])
@pytest.mark.parametrize("n", [18, 32, 64, 256])
def test_churn_is_algorithm_2_of_the_paper(n: int, scale: float) -> None:
    assert ratio_of(churn(40.0, scale=scale), n) == pytest.approx(_churned(n, scale), rel=1e-12)


@pytest.mark.parametrize("n", [4, 5, 8])
def test_a_churned_plan_begins_as_noisy_as_the_paper_says(n: int) -> None:
    """Its first row lies above the first level, because noise is added before it."""
    plan = stock_plan(EDM(), "edm", "karras", n)
    assert plan.rows[0].sigma == pytest.approx(80 * np.sqrt(2))
    assert ratio_of_plan(plan) == pytest.approx(_churned(n), rel=1e-12)


@pytest.mark.parametrize("name", [name for name, solver in SOLVERS.items() if solver.stochastic])
def test_a_plan_has_the_variance_of_its_solver(name: str) -> None:
    found = ratio_of_plan(stock_plan(EDM(), name, "karras", 5))
    assert found == pytest.approx(ratio_of(SOLVERS[name], 5), rel=1e-12)


def test_the_executor_plays_a_churned_plan_from_the_level_of_its_first_row() -> None:
    """Monte-Carlo with 131072 numbers: a standard error of 0.2 %, judged at five of them."""
    model = mixture_model(EDM(), X0(), means=np.zeros((1, 256)), variances=[STD**2], weights=[1.0])
    for n in (4, 8):
        x0 = run(model, stock_plan(model.process, "edm", "karras", n), range(512))
        assert x0.std().item() / STD == pytest.approx(_churned(n), rel=0.01)


def test_churn_never_goes_above_the_largest_level_there_is() -> None:
    plan = stock_plan(Flow(), "edm", "trailing", 6)
    assert max(plan.sigmas) <= SIGMA_CAP
    assert plan.rows[0].input == Combination(1.0)
    assert plan.rows[2].input.noise


def test_more_noise_than_was_taken_away_leaves_a_bias_for_ever() -> None:
    honest, wide = churn(40.0), churn(40.0, scale=1.003)
    assert abs(ratio_of(honest, 1024) - 1) < 1e-3
    assert ratio_of(wide, 1024) - 1 == pytest.approx(0.003, abs=6e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": np.nan},
        {"amount": np.inf},
        {"amount": -1.0},
        {"low": np.nan},
        {"low": -0.1},
        {"high": np.nan},
        {"low": 2.0, "high": 1.0},
        {"scale": np.inf},
        {"scale": -1.0},
    ],
    ids=str,
)
def test_churn_out_of_range(wrong: dict[str, float]) -> None:
    name = "churn" if "amount" in wrong else next(reversed(wrong))
    with pytest.raises(PlanError, match=f"{name} = ") as caught:
        churn(**{"amount": 40.0} | wrong)
    assert caught.value.where == name
    assert name in caught.value.hint
