"""Solvers with noise, without drawing any.

On Gaussian data every update is affine, so a symbolic run gives the variance of the sample exactly.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from gaussian import STD, ratio_of
from torch import Tensor

from hasten.core.process import EDM, X0
from hasten.errors import PlanError
from hasten.models.mixture import mixture_model
from hasten.solvers import (
    SOLVERS,
    Brownian,
    Run,
    Solver,
    Vector,
    ddim,
    dpmpp_2m_sde,
    dpmpp_3m_sde,
    dpmpp_sde,
    exponential_sde,
    run,
    start_noise,
    stock_plan,
)
from hasten.solvers.grids import karras

SEEDS, SHAPE = range(32), (64,)


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
        assert ratio_of(solver, n) == pytest.approx(ratio, abs=1.1 * digits)


@pytest.mark.parametrize("eta", [0.4, 1.0])
@pytest.mark.parametrize("n", [4, 18, 64])
@pytest.mark.parametrize(
    ("make", "p", "exact"),
    [
        (functools.partial(exponential_sde, 1), 1, True),
        (dpmpp_2m_sde, 2, False),
        (functools.partial(exponential_sde, 2), 2, True),
        (dpmpp_3m_sde, 3, False),
        (functools.partial(exponential_sde, 3), 3, True),
    ],
    ids=["first order", "2m midpoint", "2m heun", "3m published", "3m exact"],
)
def test_sde_multistep_is_the_formula_of_its_paper(
    make: Callable[[float], Solver], p: int, exact: bool, n: int, eta: float
) -> None:
    """On Gaussian data a step is a matrix on (x, last x0, the one before): covariances."""
    levels = [*karras(EDM(), n).tolist(), 0.0]
    x, D1, D2 = np.eye(3)  # noqa: N806
    covariance = np.diag([levels[0] ** 2, 0.0, 0.0])
    for i, (s, t) in enumerate(itertools.pairwise(levels)):
        D0 = STD**2 / (STD**2 + s**2) * x  # noqa: N806
        known = min(i + 1, p, n - i)
        kick, new = 0.0, D0
        if t > 0:
            h = np.log(s / t)
            both = h * (1 + eta)
            p2 = np.expm1(-both) / both + 1
            p3 = p2 / both - 0.5
            new = t / s * np.exp(-eta * h) * x - np.expm1(-both) * D0
            if known > 1:
                r0 = np.log(levels[i - 1] / s) / h
                slope = (D0 - D1) / r0
            if known == 2:
                new = new + (p2 if exact else -np.expm1(-both) / 2) * slope
            if known == 3:
                r1 = np.log(levels[i - 2] / levels[i - 1]) / h
                change = slope - (D1 - D2) / r1
                new = new + p2 * (slope + r0 / (r0 + r1) * change)
                new = new - (2 if exact else 1) * p3 * change / (r0 + r1)
            kick = t * np.sqrt(1 - np.exp(-2 * eta * h))
        step = np.stack([new, D0, D1])
        covariance = step @ covariance @ step.T
        covariance[0, 0] += kick**2
    assert ratio_of(make(eta), n) == pytest.approx(np.sqrt(covariance[0, 0]) / STD, rel=1e-10)


@pytest.mark.parametrize("eta", [0.4, 1.0])
@pytest.mark.parametrize("n", [4, 18, 64])
def test_sde_with_two_evaluations_is_two_ancestral_steps(n: int, eta: float) -> None:
    """On Gaussian data: their noises share the first half of the path."""

    def ancestral(s: float, t: float) -> tuple[float, float]:
        up = eta * np.sqrt(t**2 * (s**2 - t**2) / s**2)
        return np.sqrt(t**2 - up**2) / s, up

    variance = 80.0**2
    for s, t in itertools.pairwise([*karras(EDM(), n).tolist(), 0.0]):
        trust = STD**2 / (STD**2 + s**2)
        if t == 0:
            variance *= trust**2
            continue
        middle = np.sqrt(s * t)
        share, first = ancestral(s, middle)
        halfway = share + (1 - share) * trust
        share, whole = ancestral(s, t)
        trust = (1 - share) * STD**2 / (STD**2 + middle**2)
        # the whole increment is (z1 + z2) / sqrt 2, the first half of it z1
        kicks = np.array([trust * first + whole / np.sqrt(2), whole / np.sqrt(2)])
        variance = (share + trust * halfway) ** 2 * variance + kicks @ kicks
    assert ratio_of(dpmpp_sde(eta), n) == pytest.approx(np.sqrt(variance) / STD, rel=1e-12)


def test_the_whole_increment_is_made_of_the_halves() -> None:
    """Asked for in one, as k-diffusion does, it gives the very same covariance."""

    def step(x: Vector, run: Run[Vector], i: int) -> Vector:
        s, t = run.sigmas[i], run.sigmas[i + 1]
        D = run.denoise(x, s)  # noqa: N806
        if t == 0:
            return D
        for end in (np.sqrt(s * t), t):
            share, up = (end / s) ** 2, end * np.sqrt(1 - (end / s) ** 2)
            y = share * x + (1 - share) * D + up * run.noise(s, end)
            D = run.denoise(y, end)  # noqa: N806
        return y

    theirs = Solver("k-diffusion", step, 2, 1, "")  # type: ignore[arg-type]
    for n in (4, 18, 64):
        assert ratio_of(dpmpp_sde(), n) == pytest.approx(ratio_of(theirs, n), rel=1e-12)


@pytest.mark.parametrize(
    "solver",
    [
        SOLVERS["ancestral"],
        exponential_sde(1, 0.4),
        dpmpp_sde(),
        dpmpp_sde(0.4),
        dpmpp_2m_sde(),
        exponential_sde(2),
        dpmpp_3m_sde(),
        exponential_sde(3),
    ],
    ids=lambda solver: solver.name,
)
def test_more_steps_follow_the_same_path(solver: Solver) -> None:
    """Strong convergence: twice the steps on one Brownian path halve the distance.

    Levels are on the path's own points.
    """

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return torch.tanh(x) / (1 + sigma)

    start = 32 * start_noise(SEEDS, SHAPE).double()
    ends = [
        Run[Tensor]((2.0 ** np.linspace(5, -5, n + 1)).tolist(), denoise, _increment).steps(
            solver.step, start
        )
        for n in (80, 160, 320, 640)
    ]
    apart = [(a - b).square().mean().sqrt().item() for a, b in itertools.pairwise(ends)]
    assert -np.diff(np.log2(apart)) == pytest.approx([1, 1], abs=0.15)
    assert apart[0] < 0.15 * (ends[0] - ends[0].roll(1, 0)).square().mean().sqrt().item()


@functools.cache
def _increment(high: float, low: float) -> Tensor:
    return _path().increment(high, low).double()


@functools.cache
def _path() -> Brownian:
    return Brownian(SEEDS, SHAPE)


@pytest.mark.parametrize("name", ["dpmpp_sde", "dpmpp_3m_sde"])
def test_more_rows_follow_the_same_path(name: str) -> None:
    """The same of plans, whose paths differ in depth. The median: a few samples change modes."""
    model = mixture_model(dtype=torch.float64)
    one, other = (
        run(model, stock_plan(model.process, name, "logsnr", n), SEEDS) for n in (50, 150)
    )
    apart = (one - other).norm(dim=1).median().item()
    assert apart < 0.05 * (one - one.roll(1, 0)).norm(dim=1).median().item()


def test_two_evaluations_make_the_variance_of_second_order() -> None:
    for solver in (dpmpp_sde(), dpmpp_2m_sde(), dpmpp_3m_sde(), exponential_sde(2)):
        bias = [abs(ratio_of(solver, n) - 1) for n in (128, 256, 512)]
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
        assert ratio_of(SOLVERS[name], n) == pytest.approx(ratio, abs=1.1 * digits)


@pytest.mark.parametrize(
    "solver",
    [SOLVERS["ancestral"], exponential_sde(1, 0.4)],
    ids=lambda solver: solver.name,
)
def test_ancestral_bias_is_of_first_order(solver: Solver) -> None:
    bias = [1 - ratio_of(solver, n) for n in (256, 512, 1024)]
    assert -np.diff(np.log2(bias)) == pytest.approx([1, 1], abs=0.05)


def test_more_noise_is_between() -> None:
    ratios = [ratio_of(ddim(eta), 32) for eta in (0.0, 0.5, 1.0)]
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
    assert x0.std().item() / STD == pytest.approx(ratio_of(SOLVERS["ancestral"], 18), rel=0.02)


@pytest.mark.parametrize("eta", [-0.1, 1.1])
def test_eta_out_of_range(eta: float) -> None:
    for make in (ddim, dpmpp_sde):
        with pytest.raises(PlanError, match="eta"):
            make(eta)


@pytest.mark.parametrize(
    "make", [dpmpp_2m_sde, dpmpp_3m_sde, functools.partial(exponential_sde, 2)]
)
def test_eta_below_zero_or_without_end(make: Callable[[float], Solver]) -> None:
    for eta in (-0.1, np.nan, np.inf):
        with pytest.raises(PlanError, match="eta"):
            make(eta)
