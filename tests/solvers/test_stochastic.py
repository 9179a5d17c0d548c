"""Solvers with noise, without drawing any.

On Gaussian data every update is affine, so a symbolic run gives the variance of the sample exactly.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from hasten.core.process import EDM, X0
from hasten.errors import PlanError
from hasten.models.mixture import mixture_model
from hasten.solvers import (
    SOLVERS,
    Run,
    Solver,
    Vector,
    churn,
    ddim,
    dpmpp_2m_sde,
    run,
    stock_plan,
)
from hasten.solvers.grids import karras

STD = 0.5


def _ratio(solver: Solver, n: int) -> float:
    """Standard deviation of the samples over that of the data, from sigma = 80 to 0."""
    grid = karras(EDM(), n)
    drawn = 0

    def denoise(x: Vector, sigma: float) -> Vector:
        return STD**2 / (STD**2 + sigma**2) * x

    def noise(high: float, low: float) -> Vector:
        nonlocal drawn
        drawn += 1
        return Vector(np.eye(1, drawn + 1, drawn)[0])

    run_ = Run[Vector]([*grid.tolist(), 0.0], denoise, noise)
    weights = run_.steps(solver.step, Vector(np.array([grid[0]]))).weights
    return float(np.linalg.norm(weights)) / STD


@pytest.mark.parametrize(
    ("solver", "ratios"),
    [
        (dpmpp_2m_sde(), {18: 1.131, 32: 1.045, 64: 1.010, 256: 1.0006}),
    ],
    ids=["2m sde"],
)
def test_variance_of_gaussian_data_under_an_sde(solver: Solver, ratios: dict[int, float]) -> None:
    for n, ratio in ratios.items():
        digits = 5e-4 if ratio != 1.0006 else 5e-5
        assert _ratio(solver, n) == pytest.approx(ratio, abs=1.1 * digits)


@pytest.mark.parametrize("scale", [1.0, 1.003])
@pytest.mark.parametrize("n", [18, 32, 64, 256])
def test_churn_is_algorithm_2_of_the_paper(n: int, scale: float) -> None:
    """On Gaussian data every step multiplies: the variance as a recursion of numbers."""

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
    assert _ratio(churn(40.0, scale=scale), n) == pytest.approx(np.sqrt(variance) / STD, rel=1e-12)


def test_more_noise_than_was_taken_away_leaves_a_bias_for_ever() -> None:
    honest, wide = churn(40.0), churn(40.0, scale=1.003)
    assert abs(_ratio(honest, 1024) - 1) < 1e-3
    assert _ratio(wide, 1024) - 1 == pytest.approx(0.003, abs=6e-4)


def test_the_sde_solver_is_of_second_order_in_the_variance() -> None:
    bias = [_ratio(dpmpp_2m_sde(), n) - 1 for n in (128, 256, 512)]
    assert -np.diff(np.log2(bias)) == pytest.approx([2, 2], abs=0.15)


def test_ddpm_with_the_large_variance_is_formula_7_of_the_paper() -> None:
    levels = np.geomspace(20.0, 0.1, 6)
    drawn = dict(zip(itertools.pairwise(levels), torch.randn(5, 4).double(), strict=True))
    start = torch.randn(4, dtype=torch.float64)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return torch.tanh(x) / (1 + sigma)

    ours = Run[Tensor](levels.tolist(), denoise, lambda high, low: drawn[high, low])
    found = ours.steps(SOLVERS["ddpm_large"].step, start)
    x = start / np.sqrt(1 + levels[0] ** 2)
    for s, t in itertools.pairwise(levels):
        a_s, a_t = 1 / (1 + s**2), 1 / (1 + t**2)
        beta = 1 - a_s / a_t
        x0 = denoise(x / np.sqrt(a_s), s)
        mean = np.sqrt(a_t) * beta / (1 - a_s) * x0
        mean = mean + np.sqrt(1 - beta) * (1 - a_t) / (1 - a_s) * x
        x = mean + np.sqrt(beta) * drawn[s, t]
    assert (found - x * np.sqrt(1 + levels[-1] ** 2)).abs().max().item() < 1e-12


@pytest.mark.parametrize(
    ("name", "ratios"),
    [
        ("ancestral", {18: 0.736, 32: 0.835, 64: 0.912, 256: 0.977}),
        ("euler", {18: 0.846, 32: 0.912, 64: 0.956, 256: 0.989}),
        ("heun", {18: 1.055, 32: 1.016, 64: 1.004, 256: 1.0002}),
    ],
)
def test_variance_of_gaussian_data(name: str, ratios: dict[int, float]) -> None:
    """The table of independently computed values in the specification of the solvers."""
    for n, ratio in ratios.items():
        digits = 5e-4 if ratio != 1.0002 else 5e-5
        assert _ratio(SOLVERS[name], n) == pytest.approx(ratio, abs=1.1 * digits)


def test_ancestral_bias_is_of_first_order() -> None:
    bias = [1 - _ratio(SOLVERS["ancestral"], n) for n in (256, 512, 1024)]
    assert -np.diff(np.log2(bias)) == pytest.approx([1, 1], abs=0.05)


def test_more_noise_is_between() -> None:
    ratios = [_ratio(ddim(eta), 32) for eta in (0.0, 0.5, 1.0)]
    assert ratios == sorted(ratios, reverse=True)
    assert len(set(ratios)) == 3


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ddim_with_noise_is_formula_16_of_the_paper(eta: float) -> None:
    levels = np.geomspace(20.0, 0.1, 6)
    z = iter(torch.randn(20, 4, dtype=torch.float64))
    noises = dict(zip(itertools.pairwise(levels), z, strict=False))
    start = torch.randn(4, dtype=torch.float64)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return torch.tanh(x) / (1 + sigma)

    ours = Run[Tensor](levels.tolist(), denoise, lambda high, low: noises[high, low])
    found = ours.steps(ddim(eta).step, start)

    x = start / np.sqrt(1 + levels[0] ** 2)
    for s, t in itertools.pairwise(levels):
        a_s, a_t = 1 / (1 + s**2), 1 / (1 + t**2)  # abar
        c = eta * np.sqrt((1 - a_t) / (1 - a_s)) * np.sqrt(1 - a_s / a_t)
        x0 = denoise(x / np.sqrt(a_s), s)
        eps = (x - np.sqrt(a_s) * x0) / np.sqrt(1 - a_s)
        x = np.sqrt(a_t) * x0 + np.sqrt(1 - a_t - c**2) * eps + c * noises[s, t]
    assert (found - x * np.sqrt(1 + levels[-1] ** 2)).abs().max().item() < 1e-12


def test_the_executor_draws_what_the_formula_asks_for() -> None:
    """Monte-Carlo with 32768 numbers: a standard error of 0.4 %, judged at five of them."""
    model = mixture_model(EDM(), X0(), means=np.zeros((1, 256)), variances=[STD**2], weights=[1.0])
    x0 = run(model, stock_plan(model.process, "ancestral", "karras", 18), range(128))
    assert x0.std().item() / STD == pytest.approx(_ratio(SOLVERS["ancestral"], 18), rel=0.02)


@pytest.mark.parametrize("eta", [-0.1, 1.1])
def test_eta_out_of_range(eta: float) -> None:
    with pytest.raises(PlanError, match="eta"):
        ddim(eta)
