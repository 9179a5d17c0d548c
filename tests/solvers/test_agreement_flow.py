"""Agreement with the flow-matching schedulers of diffusers, on their own time steps, to 1e-4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import agreement
import diffusers
import numpy as np
import pytest
import torch
from agreement import COUNT, STEPS, Make, noise
from torch import Tensor

from hasten.core.model import Model
from hasten.core.process import SIGMA_CAP, Flow, Velocity
from hasten.models.mixture import mixture_model
from hasten.solvers import (
    GRIDS,
    SOLVERS,
    Run,
    Solver,
    build,
    dpmpp_3m,
    explicit,
    exponential,
    run,
    unipc,
)

pytestmark = agreement.QUIET

SHIFTS = [1.0, 3.0]
PROCESS = Flow()


def _model() -> Model:
    return mixture_model(PROCESS, Velocity(), dtype=torch.float64)


def _theirs(scheduler: Any, times: np.ndarray) -> Tensor:
    """The loop of their pipelines; their time steps may be rounded, the net is told the truth."""
    net, x = _model().net, noise()
    for t, own in zip(scheduler.timesteps, times, strict=True):
        out = net(x, torch.full((COUNT,), own, dtype=torch.float64))
        x = scheduler.step(out, t, x).prev_sample
    return x


def _sample(solver: Solver, sigmas: np.ndarray) -> Tensor:
    assert sigmas[0] == pytest.approx(SIGMA_CAP)  # nothing but noise
    return run(_model(), build(solver, sigmas), range(COUNT), start=noise() * sigmas[0])


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("steps", STEPS)
def test_euler(steps: int, shift: float) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(steps)
    times = scheduler.timesteps.double().numpy() / 1000
    found = _sample(SOLVERS["euler"], explicit(PROCESS, PROCESS.sigma_of_t(times)))
    assert (found - _theirs(scheduler, times)).abs().max().item() < 1e-4


@pytest.mark.parametrize("steps", STEPS)
def test_euler_on_the_times_that_pipelines_give(steps: int) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps).tolist())
    found = _sample(SOLVERS["euler"], GRIDS["trailing"](PROCESS, steps))
    expected = _theirs(scheduler, scheduler.timesteps.double().numpy() / 1000)
    assert (found - expected).abs().max().item() < 1e-4


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("steps", STEPS)
def test_heun_is_ours_in_another_variable(steps: int, shift: float) -> None:
    """Theirs is done in the time of the flow, ours in sigma, and Heun's method tells them apart.

    A velocity is (x - x0) / t, as the predicted noise is (x - x0) / sigma, so our step function is
    theirs once it is told times instead of noise levels.
    """
    scheduler = diffusers.FlowMatchHeunDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(steps)
    asked = scheduler.timesteps.double().numpy() / 1000
    times, net = asked[::2], _model().net

    def x0(x: Tensor, t: float) -> Tensor:
        return x - t * net(x, torch.full((COUNT,), t, dtype=torch.float64))

    expected = _theirs(scheduler, asked)
    found = Run[Tensor]([*times, 0.0], x0).steps(SOLVERS["heun"].step, noise())
    assert (found - expected).abs().max().item() < 1e-4
    ours = _sample(SOLVERS["heun"], explicit(PROCESS, PROCESS.sigma_of_t(times)))
    assert (ours - expected).abs().max().item() > 1e-3


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize(
    ("make", "solver"),
    [
        (agreement.multistep(2), lambda _: SOLVERS["dpmpp_2m"]),
        (agreement.multistep(3), lambda lower: dpmpp_3m(lower_final=lower)),
        (agreement.deis(2), lambda lower: exponential(2, noise=True, lower_final=lower)),
        (agreement.deis(3), lambda lower: exponential(3, noise=True, lower_final=lower)),
        *((agreement.unipc(p), lambda _, p=p: unipc(p)) for p in (1, 2, 3)),
        *(
            (
                agreement.unipc(p, "bh1", final_sigmas_type="sigma_min"),
                lambda _, p=p: unipc(p, "bh1"),
            )
            for p in (1, 2, 3)
        ),
    ],
    ids=[
        *("dpmpp_2m", "dpmpp_3m", "deis2", "deis3", "unipc1", "unipc2", "unipc3"),
        *("unipc1_bh1", "unipc2_bh1", "unipc3_bh1"),
    ],
)
@pytest.mark.parametrize("steps", STEPS)
def test_multistep(make: Make, solver: Callable[[bool], Solver], shift: float, steps: int) -> None:
    """DEIS there never goes to 0, B1 of UniPC cannot; and orders fall at the end if steps < 15."""
    scheduler = make(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    if isinstance(scheduler, diffusers.UniPCMultistepScheduler):
        # its own begin at t = 1 less a millionth, beyond our cap on noise levels
        scheduler.set_timesteps(sigmas=np.linspace(0.99, 0.05, steps))
    else:
        scheduler.set_timesteps(steps)
    if scheduler.sigmas[-1] == scheduler.sigmas[-2]:
        scheduler.sigmas[-1] /= 2  # a flow that shall not end at 0 repeats its last level there
    times = scheduler.sigmas.double().numpy()
    sigmas = times / (1 - times)
    context = Run[Tensor](sigmas.tolist(), _model().denoise)
    found = context.steps(solver(steps < 15).step, noise() * (1 + sigmas[0])) / (1 + sigmas[-1])
    assert (found - _theirs(scheduler, times[:-1])).abs().max().item() < 1e-4
