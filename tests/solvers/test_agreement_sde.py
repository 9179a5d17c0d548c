"""Agreement with the schedulers of diffusers that draw noise or take several stages a step.

Their loop and ours are told x0 by the same denoiser at the same noise levels, and are fed the same
noise. They compute coefficients in single precision, which is all that should differ.
"""

from __future__ import annotations

import importlib
import itertools
import math
import sys
import types
from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from hasten.models.mixture import mixture_model
from hasten.solvers import (
    SOLVERS,
    Brownian,
    Run,
    Solver,
    dpmpp_2m_sde,
    dpmpp_3m_sde,
    dpmpp_sde,
    exponential_sde,
)

# their tensors become arrays in a way that numpy 2 is about to drop
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*dpmsolver. is deprecated:FutureWarning"),
]

COUNT = 16
denoise = mixture_model(dtype=torch.float64).denoise


def _start() -> Tensor:
    return torch.randn(COUNT, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def _kicks(levels: list[float]) -> dict[tuple[float, float], Tensor]:
    rng = torch.Generator().manual_seed(6)
    return {
        pair: torch.randn(COUNT, 2, dtype=torch.float64, generator=rng)
        for pair in itertools.pairwise(levels)
    }


def _theirs(
    scheduler: Any,
    levels: list[float],
    kicks: dict[tuple[float, float], Tensor],
    before: Callable[[int], None] = lambda index: None,
) -> Tensor:
    """Their loop, in the coordinates of a variance-preserving process."""
    x = _start()
    for index, (t, high, low) in enumerate(
        zip(scheduler.timesteps, levels, levels[1:], strict=False)
    ):
        before(index)
        noise = {"variance_noise": kicks[high, low]} if kicks else {}
        x0 = denoise(x * math.sqrt(1 + high**2), high)
        x = scheduler.step(x0, t, x, **noise).prev_sample
    return x * math.sqrt(1 + levels[-1] ** 2)


def _ours(solver: Solver, levels: list[float], kicks: dict[tuple[float, float], Tensor]) -> Tensor:
    context = Run[Tensor](levels, denoise, lambda high, low: kicks[high, low])
    return context.steps(solver.step, _start() * math.sqrt(1 + levels[0] ** 2))


def _multistep(algorithm: str, order: int, kind: str, **facts: Any) -> Any:
    return diffusers.DPMSolverMultistepScheduler(
        algorithm_type=algorithm,
        solver_order=order,
        solver_type=kind,
        prediction_type="sample",
        timestep_spacing="trailing",
        **facts,
    )


@pytest.mark.parametrize(
    ("solver", "order", "kind"),
    [
        (exponential_sde(1), 1, "midpoint"),
        (SOLVERS["ancestral"], 1, "midpoint"),
        (dpmpp_2m_sde(), 2, "midpoint"),
        (exponential_sde(2), 2, "heun"),
    ],
    ids=["first order", "ancestral", "2m", "2m heun"],
)
@pytest.mark.parametrize("steps", [5, 20])
def test_sde_of_two_evaluations(solver: Solver, order: int, kind: str, steps: int) -> None:
    scheduler = _multistep("sde-dpmsolver++", order, kind)
    scheduler.set_timesteps(steps)
    levels = scheduler.sigmas.double().tolist()
    kicks = _kicks(levels)
    apart = _ours(solver, levels, kicks) - _theirs(scheduler, levels, kicks)
    assert apart.abs().max().item() < 1e-4


@pytest.mark.parametrize("steps", [5, 20])
def test_sde_of_three_evaluations_but_for_a_sign(steps: int) -> None:
    """In the last term of theirs a half is subtracted that should be added.

    As h tends to 0 the published weight of the second difference vanishes, and theirs becomes -1.
    With one difference less in every step of third order, ours are theirs.
    """
    scheduler = _multistep("sde-dpmsolver++", 3, "midpoint")
    scheduler.set_timesteps(steps)
    levels = scheduler.sigmas.double().tolist()
    kicks = _kicks(levels)
    ours = dpmpp_3m_sde(lower_final=steps < 15)

    def step(x: Tensor, run: Run[Tensor], i: int) -> Tensor:
        now = denoise(x, levels[i])
        x = ours.step(x, run, i)
        left = steps - i
        if i < 2 or left == 1 or (left == 2 and steps < 15):
            return x
        h, h0, h1 = (
            math.log(a / b) for a, b in itertools.pairwise(levels[i + 1 - k] for k in range(4))
        )
        r0, r1 = h0 / h, h1 / h
        once, twice = run.past[-1].D, run.past[-2].D
        return x - ((now - once) / r0 - (once - twice) / r1) / (r0 + r1)

    expected = _theirs(scheduler, levels, kicks)
    signed = Solver("theirs", step, 1, 1, "")  # type: ignore[arg-type]
    assert (_ours(signed, levels, kicks) - expected).abs().max().item() < 1e-4
    assert (_ours(ours, levels, kicks) - expected).abs().max().item() > 1e-3


@pytest.mark.parametrize("steps", [5, 20])
def test_noise_prediction_of_two_evaluations(steps: int) -> None:
    scheduler = _multistep(
        "dpmsolver", 2, "midpoint", final_sigmas_type="sigma_min", lower_order_final=False
    )
    scheduler.set_timesteps(steps)
    levels = scheduler.sigmas.double().tolist()
    apart = _ours(SOLVERS["dpm_2m"], levels, {}) - _theirs(scheduler, levels, {})
    assert apart.abs().max().item() < 1e-4


@pytest.mark.parametrize("steps", [6, 9, 15])
@pytest.mark.parametrize(
    ("algorithm", "name"), [("dpmsolver++", "dpmpp_fast"), ("dpmsolver", "dpm_fast")]
)
def test_fast_is_their_single_step_scheduler(algorithm: str, name: str, steps: int) -> None:
    """On levels at the thirds and halves of blocks, where ours asks the net, in log sigma.

    Lu's way to two thirds is their type "heun", and his way from there to the end "midpoint".
    """
    scheduler = diffusers.DPMSolverSinglestepScheduler(
        algorithm_type=algorithm,
        solver_order=3,
        prediction_type="sample",
        lower_order_final=True,
        final_sigmas_type="zero" if algorithm == "dpmsolver++" else "sigma_min",
    )
    scheduler.set_timesteps(steps)
    blocks = steps // 3 + 1
    ends = np.geomspace(20.0, 0.03, blocks).tolist()
    inner = [3] * (blocks - 2) + [2]
    levels = [
        high * (low / high) ** (k / order)
        for order, (high, low) in zip(inner, itertools.pairwise(ends), strict=True)
        for k in range(order)
    ]
    last = 0.0 if algorithm == "dpmsolver++" else 0.01
    levels += [ends[-1], last]
    scheduler.sigmas = torch.tensor(levels)
    assert len(levels) == steps + 1
    stages = [(k, order) for order in [*inner, 1] for k in range(order)]

    def choose(index: int) -> None:
        scheduler.register_to_config(solver_type="heun" if stages[index] == (1, 3) else "midpoint")

    expected = _theirs(scheduler, levels, {}, choose)
    assert (_ours(SOLVERS[name], [*ends, last], {}) - expected).abs().max().item() < 1e-4


def test_sde_with_two_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their scheduler needs torchsde for its noise alone, and here the noise is ours."""
    monkeypatch.setitem(sys.modules, "torchsde", types.ModuleType("torchsde"))
    theirs = importlib.import_module("diffusers.schedulers.scheduling_dpmsolver_sde")
    scheduler = theirs.DPMSolverSDEScheduler(prediction_type="epsilon", timestep_spacing="trailing")
    scheduler.set_timesteps(12)
    levels = list(dict.fromkeys(scheduler.sigmas.double().tolist()))
    path = Brownian(range(COUNT), (2,), depth=20)

    def noise(high: float, low: float) -> Tensor:
        return path.increment(float(high), float(low)).double()

    scheduler.noise_sampler = noise
    x = expected = _start() * levels[0]
    for index, t in enumerate(scheduler.timesteps):
        s = levels[(index + 1) // 2]
        sigma = s if index % 2 == 0 else math.sqrt(levels[index // 2] * s)
        expected = scheduler.step((expected - denoise(expected, sigma)) / sigma, t, expected)
        expected = expected.prev_sample
    found = Run[Tensor](levels, denoise, noise).steps(dpmpp_sde().step, x)
    assert (found - expected).abs().max().item() < 1e-4
