"""Agreement with the schedulers of diffusers that draw noise or take several stages a step.

Their loop and ours are told by the same denoiser at the same noise levels, theirs in the form of
one prediction or another, and are fed the same noise. They compute coefficients in single
precision, which is all that should differ.
"""

from __future__ import annotations

import importlib
import itertools
import math
import sys
import types
from collections.abc import Callable
from typing import Any

import agreement
import diffusers
import numpy as np
import pytest
import torch
from agreement import COUNT, STEPS, Make, noise
from torch import Tensor

from hasten.core.process import VP, X0, Eps, Flow, Prediction, Process, V, Velocity
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

pytestmark = agreement.QUIET

FORMS: dict[str, tuple[Process, Prediction]] = {
    "epsilon": (VP(), Eps()),
    "v_prediction": (VP(), V()),
    "sample": (VP(), X0()),
    "flow_prediction": (Flow(), Velocity()),
}
NO_FLOW = [form for form in FORMS if form != "flow_prediction"]
denoise = mixture_model(dtype=torch.float64).denoise


def _coefficients(form: str, sigma: float) -> tuple[float, float, float]:
    process, prediction = FORMS[form]
    scale, skip, out = prediction.coefficients(process, np.asarray(sigma))
    return float(scale), float(skip), float(out)


def _said(form: str, x_hat: Tensor, sigma: float) -> Tensor:
    """What a net of one form answers; one denoiser for all of them."""
    _, skip, out = _coefficients(form, sigma)
    return (denoise(x_hat, sigma) - skip * x_hat) / out


def _kicks(levels: list[float]) -> dict[tuple[float, float], Tensor]:
    rng = torch.Generator().manual_seed(6)
    return {pair: noise(rng) for pair in itertools.pairwise(levels)}


def _levels(scheduler: Any, form: str, steps: int) -> list[float]:
    """Noise levels of a scheduler's steps in our coordinates, the last included."""
    scheduler.set_timesteps(steps)
    own = scheduler.sigmas.double()
    return (own / (1 - own) if form == "flow_prediction" else own).tolist()


def _theirs(
    scheduler: Any,
    form: str,
    levels: list[float],
    kicks: dict[tuple[float, float], Tensor],
    before: Callable[[int], None] = lambda index: None,
) -> Tensor:
    """Their loop, in the coordinates of their process."""
    x = noise()
    for index, (t, high, low) in enumerate(
        zip(scheduler.timesteps, levels, levels[1:], strict=False)
    ):
        before(index)
        drawn = {"variance_noise": kicks[high, low]} if kicks else {}
        out = _said(form, x / _coefficients(form, high)[0], high)
        x = scheduler.step(out, t, x, **drawn).prev_sample
    return x / float(FORMS[form][0].alpha(np.asarray(levels[-1])))


def _ours(
    solver: Solver, form: str, levels: list[float], kicks: dict[tuple[float, float], Tensor]
) -> Tensor:
    context = Run[Tensor](levels, denoise, lambda high, low: kicks[high, low])
    return context.steps(solver.step, noise() / _coefficients(form, levels[0])[0])


def _make(make: Make, form: str, **facts: Any) -> Any:
    return make(
        prediction_type=form,
        timestep_spacing="trailing",
        use_flow_sigmas=form == "flow_prediction",
        **facts,
    )


@pytest.mark.parametrize("form", list(FORMS))
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
@pytest.mark.parametrize("steps", STEPS)
def test_sde_of_two_evaluations(
    solver: Solver, order: int, kind: str, form: str, steps: int
) -> None:
    scheduler = _make(agreement.multistep(order, "sde-dpmsolver++", kind), form)
    levels = _levels(scheduler, form, steps)
    kicks = _kicks(levels)
    apart = _ours(solver, form, levels, kicks) - _theirs(scheduler, form, levels, kicks)
    assert apart.abs().max().item() < 1e-4


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("steps", STEPS)
def test_sde_of_three_evaluations_but_for_a_sign(form: str, steps: int) -> None:
    """In the last term of theirs a half is subtracted that should be added.

    As h tends to 0 the published weight of the second difference vanishes, and theirs becomes -1.
    With one difference less in every step of third order, ours are theirs.
    """
    scheduler = _make(agreement.multistep(3, "sde-dpmsolver++"), form)
    levels = _levels(scheduler, form, steps)
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

    expected = _theirs(scheduler, form, levels, kicks)
    signed = Solver("theirs", step, 1, 1, "")  # type: ignore[arg-type]
    assert (_ours(signed, form, levels, kicks) - expected).abs().max().item() < 1e-4
    assert (_ours(ours, form, levels, kicks) - expected).abs().max().item() > 1e-3


@pytest.mark.parametrize("form", NO_FLOW)
@pytest.mark.parametrize("steps", STEPS)
def test_noise_prediction_of_two_evaluations(form: str, steps: int) -> None:
    """Their code makes noise of every prediction but a flow's, for which it raises ValueError."""
    scheduler = _make(
        agreement.multistep(2, "dpmsolver"),
        form,
        final_sigmas_type="sigma_min",
        lower_order_final=False,
    )
    levels = _levels(scheduler, form, steps)
    apart = _ours(SOLVERS["dpm_2m"], form, levels, {}) - _theirs(scheduler, form, levels, {})
    assert apart.abs().max().item() < 1e-4


@pytest.mark.parametrize("steps", [6, 9, 15])
@pytest.mark.parametrize(
    ("algorithm", "name"), [("dpmsolver++", "dpmpp_fast"), ("dpmsolver", "dpm_fast")]
)
@pytest.mark.parametrize("form", NO_FLOW)
def test_fast_is_their_single_step_scheduler(
    algorithm: str, name: str, form: str, steps: int
) -> None:
    """On levels at the thirds and halves of blocks, where ours asks the net, in log sigma.

    Lu's way to two thirds is their type "heun", and his way from there to the end "midpoint".
    """
    scheduler = diffusers.DPMSolverSinglestepScheduler(
        algorithm_type=algorithm,
        solver_order=3,
        prediction_type=form,
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

    expected = _theirs(scheduler, form, levels, {}, choose)
    assert (_ours(SOLVERS[name], form, [*ends, last], {}) - expected).abs().max().item() < 1e-4


@pytest.mark.parametrize("form", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("steps", STEPS)
def test_sde_with_two_stages(form: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their scheduler needs torchsde for its noise alone, and here the noise is ours.

    It raises NotImplementedError when the net predicts x0, and knows no flows.
    """
    monkeypatch.setitem(sys.modules, "torchsde", types.ModuleType("torchsde"))
    theirs = importlib.import_module("diffusers.schedulers.scheduling_dpmsolver_sde")
    scheduler = theirs.DPMSolverSDEScheduler(prediction_type=form, timestep_spacing="trailing")
    levels = list(dict.fromkeys(_levels(scheduler, form, steps)))
    places = [*levels, *(math.sqrt(s * t) for s, t in itertools.pairwise(levels))]
    # so finely resolved that the middle of a short step halves it to what is asked for below
    path = Brownian(range(COUNT), (2,), depth=24)

    def kick(high: float, low: float) -> Tensor:
        # a level of theirs that rounding moves would be elsewhere on a path that is nowhere smooth
        high, low = (min(places, key=lambda s: abs(s - float(own))) for own in (high, low))
        return path.increment(high, low).double()

    scheduler.noise_sampler = kick
    x = expected = noise() * levels[0]
    for index, t in enumerate(scheduler.timesteps):
        s = levels[(index + 1) // 2]
        sigma = s if index % 2 == 0 else math.sqrt(levels[index // 2] * s)
        expected = scheduler.step(_said(form, expected, sigma), t, expected).prev_sample
    found = Run[Tensor](levels, denoise, kick).steps(dpmpp_sde().step, x)
    assert (found - expected).abs().max().item() < 1e-4
