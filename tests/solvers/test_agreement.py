"""Agreement with the schedulers of diffusers, on their own time steps, to 1e-4.

The same exact denoiser is called by their loop and by ours. They compute coefficients in single
precision, which is all that should differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from hasten.core.model import Model
from hasten.core.process import X0, DiscreteVP, Eps, Flow, Prediction, Process, V, Velocity
from hasten.errors import PlanError
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
    lms,
    run,
    unipc,
)

# their tensors become arrays in a way that numpy 2 is about to drop
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]

SEEDS = range(16)
NAMES: dict[str, Prediction] = {"epsilon": Eps(), "v_prediction": V(), "sample": X0()}


def _noise() -> Tensor:
    return torch.randn(16, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


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
    """Noise levels of a scheduler's time steps, without the repetitions of two-stage methods."""
    times = np.array([int(t) for t in dict.fromkeys(scheduler.timesteps.tolist())])
    return explicit(process, process.sigma_of_time(times))


def _compare(
    scheduler: Any, prediction: Prediction, solver: Solver, steps: int, start: str
) -> None:
    scheduler.set_timesteps(steps)
    process = _process(scheduler)
    model = mixture_model(process, prediction, dtype=torch.float64)
    sigmas = _levels(scheduler, process)
    assert len(sigmas) == steps
    noise = _noise()
    x_hat = noise * np.sqrt(1 + sigmas[0] ** 2)
    expected = _theirs(scheduler, model, noise if start == "scaled" else x_hat)
    found = run(model, build(solver, sigmas), SEEDS, start=x_hat)
    assert (found - expected).abs().max().item() < 1e-4


def _unipc(order: int) -> Callable[..., Any]:
    def make(**facts: Any) -> Any:
        return diffusers.UniPCMultistepScheduler(solver_order=order, solver_type="bh2", **facts)

    return make


def _dpmpp(**facts: Any) -> Any:
    return _multistep(2)(**facts)


def _multistep(order: int) -> Callable[..., Any]:
    def make(**facts: Any) -> Any:
        return diffusers.DPMSolverMultistepScheduler(
            algorithm_type="dpmsolver++", solver_order=order, solver_type="midpoint", **facts
        )

    return make


def _deis(order: int) -> Callable[..., Any]:
    def make(**facts: Any) -> Any:
        return diffusers.DEISMultistepScheduler(solver_order=order, **facts)

    return make


def _bh1(**facts: Any) -> Any:
    return diffusers.UniPCMultistepScheduler(
        solver_order=3, solver_type="bh1", final_sigmas_type="sigma_min", **facts
    )


def _ddim(**facts: Any) -> Any:
    return diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=True, **facts)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear"])
@pytest.mark.parametrize("prediction", list(NAMES))
@pytest.mark.parametrize(
    ("make", "name", "start"),
    [
        (_ddim, "ddim", "scaled"),
        (_dpmpp, "dpmpp_2m", "scaled"),
        (_unipc(2), "unipc2", "scaled"),
        (_unipc(3), "unipc3", "scaled"),
        (diffusers.EulerDiscreteScheduler, "euler", "ve"),
        (diffusers.HeunDiscreteScheduler, "heun", "ve"),
    ],
    ids=lambda value: value if isinstance(value, str) and value not in ("scaled", "ve") else "",
)
@pytest.mark.parametrize("steps", [5, 10, 20])
def test_variance_preserving(
    make: Callable[..., Any], name: str, start: str, prediction: str, schedule: str, steps: int
) -> None:
    scheduler = make(
        prediction_type=prediction, beta_schedule=schedule, timestep_spacing="trailing"
    )
    _compare(scheduler, NAMES[prediction], SOLVERS[name], steps, start)


@pytest.mark.parametrize("prediction", list(NAMES))
@pytest.mark.parametrize(
    ("make", "solver"),
    [
        (_multistep(3), lambda lower: dpmpp_3m(lower_final=lower)),
        (_deis(2), lambda lower: exponential(2, noise=True, lower_final=lower)),
        (_deis(3), lambda lower: exponential(3, noise=True, lower_final=lower)),
        (_bh1, lambda _: unipc(3, "bh1")),
    ],
    ids=["dpmpp_3m", "deis2", "deis3", "unipc3_bh1"],
)
@pytest.mark.parametrize("steps", [5, 10, 20])
def test_solvers_that_end_at_a_level_of_their_own(
    make: Callable[..., Any], solver: Callable[[bool], Solver], prediction: str, steps: int
) -> None:
    """DEIS there never goes to 0, B1 of UniPC cannot; and orders fall at the end if steps < 15."""
    scheduler = make(prediction_type=prediction, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    process = _process(scheduler)
    model = mixture_model(process, NAMES[prediction], dtype=torch.float64)
    sigmas = [*_levels(scheduler, process), float(scheduler.sigmas[-1])]
    context = Run[Tensor](sigmas, model.denoise)
    ours = context.steps(solver(steps < 15).step, _noise() * np.sqrt(1 + sigmas[0] ** 2))
    expected = _theirs(scheduler, model, _noise()) * np.sqrt(1 + sigmas[-1] ** 2)
    assert (ours - expected).abs().max().item() < 1e-4


@pytest.mark.parametrize("k", [2, 4])
def test_lms(k: int) -> None:
    scheduler = diffusers.LMSDiscreteScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    process = _process(scheduler)
    model = mixture_model(process, Eps(), dtype=torch.float64)
    sigmas = _levels(scheduler, process)
    x_hat = _noise() * sigmas[0]
    expected = _theirs(scheduler, model, x_hat, order=k)
    found = run(model, build(lms(k), sigmas), SEEDS, start=x_hat)
    assert (found - expected).abs().max().item() < 1e-4


@pytest.mark.parametrize("prediction", list(NAMES))
def test_ddpm_with_small_variance(prediction: str) -> None:
    scheduler = diffusers.DDPMScheduler(
        prediction_type=prediction,
        variance_type="fixed_small",
        clip_sample=False,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(20)
    process = _process(scheduler)
    model = mixture_model(process, NAMES[prediction], dtype=torch.float64)
    sigmas = _levels(scheduler, process)
    theirs, ours = (torch.Generator().manual_seed(3) for _ in range(2))
    expected = _theirs(scheduler, model, _noise(), generator=theirs)

    def draw(high: float, low: float) -> Tensor:
        return torch.randn(16, 2, dtype=torch.float64, generator=ours)

    context = Run[Tensor]([*sigmas, 0.0], model.denoise, draw)
    found = context.steps(SOLVERS["ancestral"].step, _noise() * np.sqrt(1 + sigmas[0] ** 2))
    assert (found - expected).abs().max().item() < 1e-4


def test_flow_euler() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=np.linspace(1, 0.1, 10).tolist())
    process = Flow(time_scale=1000.0)
    model = mixture_model(process, Velocity(), dtype=torch.float64)
    x = _noise()
    for t in scheduler.timesteps:
        out = model.net(x, t.double().expand(len(x)))
        x = scheduler.step(out, t, x).prev_sample
    sigmas = GRIDS["trailing"](process, 10)
    found = run(model, build(SOLVERS["euler"], sigmas), SEEDS, start=_noise() * sigmas[0])
    assert (found - x).abs().max().item() < 1e-4


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize(
    ("make", "name"), [(_dpmpp, "dpmpp_2m"), (_unipc(2), "unipc2"), (_unipc(3), "unipc3")]
)
def test_flow_multistep(make: Callable[..., Any], name: str, shift: float) -> None:
    scheduler = make(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    if name == "dpmpp_2m":
        scheduler.set_timesteps(12)
    else:
        scheduler.set_timesteps(sigmas=np.linspace(0.99, 0.05, 12))
    t = scheduler.sigmas[:-1].double().numpy()
    model = mixture_model(Flow(), Velocity(), dtype=torch.float64)
    x = _noise()
    for i, time in enumerate(scheduler.timesteps):
        # their integer time steps are rounded; the net is told the truth
        out = model.net(x, torch.full((len(x),), t[i], dtype=torch.float64))
        x = scheduler.step(out, time, x).prev_sample
    sigmas = t / (1 - t)
    start = _noise() / (1 - t[0])
    found = run(model, build(SOLVERS[name], sigmas), SEEDS, start=start)
    assert (found - x).abs().max().item() < 1e-4


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
