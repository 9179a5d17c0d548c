"""Agreement with the schedulers of diffusers, on their own time steps, to 1e-4.

The same exact denoiser is called by their loop and by ours, and where noise is drawn both draw the
same. They compute coefficients in single precision, which is all that should differ.

What is missing has a reason in their code: KDPM2 and EulerAncestral raise NotImplementedError when
the net predicts x0 (``prediction_type="sample"``), and IPNDM takes every output for v.
"""

from __future__ import annotations

import dataclasses
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
from hasten.core.process import EDM, VP, X0, DiscreteVP, Eps, Prediction, Process, Raw, V
from hasten.errors import PlanError
from hasten.models.mixture import mixture_model
from hasten.solvers import (
    GRIDS,
    SOLVERS,
    Run,
    Solver,
    build,
    ddim,
    dpmpp_3m,
    explicit,
    exponential,
    lms,
    run,
    unipc,
)

pytestmark = agreement.QUIET

SEEDS = range(COUNT)
NAMES: dict[str, Prediction] = {"epsilon": Eps(), "v_prediction": V(), "sample": X0()}


def _process(scheduler: Any) -> DiscreteVP:
    return DiscreteVP(tuple(scheduler.alphas_cumprod.double().tolist()))


def _theirs(scheduler: Any, model: Model, x: Tensor, **arguments: Any) -> Tensor:
    """The loop of every diffusers pipeline."""
    for t in scheduler.timesteps:
        read = scheduler.scale_model_input(x, t)
        out = model.net(read, torch.full((len(x),), float(t), dtype=torch.float64))
        x = scheduler.step(out, t, x, **arguments).prev_sample
    return x


def _levels(scheduler: Any, process: Process) -> np.ndarray:
    """Noise levels where a scheduler's steps begin; two-stage methods have times in between."""
    times = scheduler.timesteps[:: scheduler.order].double().numpy()
    assert (times == np.rint(times)).all()
    return explicit(process, process.sigma_of_time(times))


def _compare(
    scheduler: Any,
    prediction: Prediction,
    solver: Solver,
    steps: int,
    start: str,
    **arguments: Any,
) -> None:
    scheduler.set_timesteps(steps)
    # the times of second stages are between those of the table
    process = dataclasses.replace(_process(scheduler), continuous=True)
    model = mixture_model(process, prediction, dtype=torch.float64)
    sigmas = _levels(scheduler, process)
    assert len(sigmas) == steps
    x_hat = noise() * np.sqrt(1 + sigmas[0] ** 2)
    theirs, ours = (torch.Generator().manual_seed(3) for _ in range(2))
    if solver.stochastic:
        arguments["generator"] = theirs
        context = Run[Tensor]([*sigmas, 0.0], model.denoise, lambda *_: noise(ours))
        found = context.steps(solver.step, x_hat)
    else:
        found = run(model, build(solver, sigmas), SEEDS, start=x_hat)
    begin = noise() if start == "scaled" else x_hat
    expected = _theirs(scheduler, model, begin, **arguments)
    assert (found - expected).abs().max().item() < 1e-4


def _bh1(order: int) -> Make:
    return agreement.unipc(order, "bh1", final_sigmas_type="sigma_min")


def _ddpm(variance: str, **own: Any) -> Make:
    def make(**facts: Any) -> Any:
        return diffusers.DDPMScheduler(variance_type=variance, clip_sample=False, **facts | own)

    return make


def _ddim(**facts: Any) -> Any:
    return diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=True, **facts)


# with the large variance theirs adds noise in the last step too, unless that is at time 0
_large = _ddpm("fixed_large", timestep_spacing="linspace")

EVERY, NO_X0 = list(NAMES), ["epsilon", "v_prediction"]
CASES = [
    pytest.param(make, name, start, prediction, id=f"{name}-{prediction}")
    for make, name, start, predictions in [
        (_ddim, "ddim", "scaled", EVERY),
        (agreement.multistep(2), "dpmpp_2m", "scaled", EVERY),
        *((agreement.unipc(p), f"unipc{p}", "scaled", EVERY) for p in (1, 2, 3)),
        (diffusers.EulerDiscreteScheduler, "euler", "ve", EVERY),
        (diffusers.HeunDiscreteScheduler, "heun", "ve", EVERY),
        (diffusers.KDPM2DiscreteScheduler, "dpm_2", "ve", NO_X0),
        (diffusers.EulerAncestralDiscreteScheduler, "ancestral", "ve", NO_X0),
        (_ddpm("fixed_small"), "ancestral", "scaled", EVERY),
        (_large, "ddpm_large", "scaled", EVERY),
    ]
    for prediction in predictions
]


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear"])
@pytest.mark.parametrize(("make", "name", "start", "prediction"), CASES)
@pytest.mark.parametrize("steps", STEPS)
def test_variance_preserving(
    make: Make, name: str, start: str, prediction: str, schedule: str, steps: int
) -> None:
    scheduler = make(
        prediction_type=prediction, beta_schedule=schedule, timestep_spacing="trailing"
    )
    _compare(scheduler, NAMES[prediction], SOLVERS[name], steps, start)


@pytest.mark.parametrize("prediction", list(NAMES))
@pytest.mark.parametrize(
    ("make", "solver"),
    [
        (agreement.multistep(3), lambda lower: dpmpp_3m(lower_final=lower)),
        (agreement.deis(2), lambda lower: exponential(2, noise=True, lower_final=lower)),
        (agreement.deis(3), lambda lower: exponential(3, noise=True, lower_final=lower)),
        *((_bh1(p), lambda _, p=p: unipc(p, "bh1")) for p in (1, 2, 3)),
    ],
    ids=["dpmpp_3m", "deis2", "deis3", "unipc1_bh1", "unipc2_bh1", "unipc3_bh1"],
)
@pytest.mark.parametrize("steps", STEPS)
def test_solvers_that_end_at_a_level_of_their_own(
    make: Make, solver: Callable[[bool], Solver], prediction: str, steps: int
) -> None:
    """DEIS there never goes to 0, B1 of UniPC cannot; and orders fall at the end if steps < 15."""
    scheduler = make(prediction_type=prediction, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    process = _process(scheduler)
    model = mixture_model(process, NAMES[prediction], dtype=torch.float64)
    sigmas = [*_levels(scheduler, process), float(scheduler.sigmas[-1])]
    context = Run[Tensor](sigmas, model.denoise)
    ours = context.steps(solver(steps < 15).step, noise() * np.sqrt(1 + sigmas[0] ** 2))
    expected = _theirs(scheduler, model, noise()) * np.sqrt(1 + sigmas[-1] ** 2)
    assert (ours - expected).abs().max().item() < 1e-4


@pytest.mark.parametrize("prediction", list(NAMES))
@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("steps", STEPS)
def test_lms(k: int, prediction: str, steps: int) -> None:
    """The quadrature of theirs, to 1e-4 of an integral, is good enough."""
    scheduler = diffusers.LMSDiscreteScheduler(
        prediction_type=prediction, timestep_spacing="trailing"
    )
    _compare(scheduler, NAMES[prediction], lms(k), steps, "ve", order=k)


@pytest.mark.parametrize("steps", STEPS)
def test_ipndm(steps: int) -> None:
    """On levels that it is given; its own begin without signal, and there it takes x0 for zero."""
    sigmas = np.geomspace(40.0, 0.05, steps)
    scheduler = diffusers.IPNDMScheduler(trained_betas=[*(sigmas / np.hypot(1, sigmas)), 0.0])
    scheduler.set_timesteps(steps)
    process = VP()
    model = mixture_model(process, V(), dtype=torch.float64)
    x = noise()
    for t, own in zip(scheduler.timesteps, process.time(sigmas), strict=True):
        x = scheduler.step(model.net(x, torch.full((COUNT,), own)), t, x).prev_sample
    begin = noise() * np.hypot(1, sigmas[0])
    found = run(model, build(SOLVERS["ipndm4"], sigmas), SEEDS, start=begin)
    assert (found - x).abs().max().item() < 1e-4


@pytest.mark.parametrize("prediction", list(NAMES))
@pytest.mark.parametrize("eta", [0.3, 0.7])
@pytest.mark.parametrize("steps", STEPS)
def test_some_of_the_ancestral_noise(steps: int, eta: float, prediction: str) -> None:
    scheduler = _ddim(prediction_type=prediction, timestep_spacing="trailing")
    _compare(scheduler, NAMES[prediction], ddim(eta), steps, "scaled", eta=eta)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (diffusers.EDMEulerScheduler, "euler"),
        (diffusers.EDMDPMSolverMultistepScheduler, "dpmpp_2m"),
    ],
    ids=["euler", "dpmpp_2m"],
)
@pytest.mark.parametrize("steps", STEPS)
def test_preconditioned_as_in_edm(steps: int, make: Make, name: str) -> None:
    """On their own levels, Karras's, which theirs keep in single precision."""
    scheduler = make()
    scheduler.set_timesteps(steps)
    *sigmas, last = scheduler.sigmas.double().tolist()
    assert (len(sigmas), last) == (steps, 0)
    assert sigmas == pytest.approx(GRIDS["karras"](EDM(), steps).tolist(), rel=1e-5)
    model = mixture_model(EDM(), Raw(0.5), dtype=torch.float64)
    start = sigmas[0] * noise()
    found = run(model, build(SOLVERS[name], sigmas), SEEDS, start=start)
    assert (found - _theirs(scheduler, model, start)).abs().max().item() < 1e-5


def test_zero_terminal_snr() -> None:
    scheduler = _ddim(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
    )
    assert scheduler.alphas_cumprod[-1] == 0
    _compare(scheduler, V(), SOLVERS["ddim"], 20, "scaled")


def test_noise_prediction_without_signal_is_refused() -> None:
    scheduler = _ddim(rescale_betas_zero_snr=True, timestep_spacing="trailing")
    process = _process(scheduler)
    model = mixture_model(process, Eps())
    plan = build(SOLVERS["ddim"], GRIDS["trailing"](process, 10))
    with pytest.raises(PlanError, match="signal is zero") as caught:
        run(model, plan, SEEDS)
    assert "sigma_max" in caught.value.hint
    assert model.clock.run == 0


@pytest.mark.parametrize("steps", [3, 10, 50])
def test_trailing_times_are_theirs(steps: int) -> None:
    scheduler = _ddim(timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    process = _process(scheduler)
    ours = process.time(GRIDS["trailing"](process, steps))
    assert np.abs(ours - scheduler.timesteps.numpy()).max() <= (0 if 1000 % steps == 0 else 1)
