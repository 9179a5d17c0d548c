"""Formulas of different papers that must be one and the same, in double precision."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

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
    Raw,
    V,
    Velocity,
)
from hasten.models.mixture import MixtureNet, mixture_model
from hasten.solvers import (
    SOLVERS,
    Evaluation,
    Run,
    Solver,
    build,
    churn,
    ddim,
    deis_t,
    dpmpp_2m_sde,
    dpmpp_3m,
    dpmpp_3m_sde,
    dpmpp_sde,
    exponential,
    exponential_sde,
    ipndm,
    ipndm_v,
    lms,
    run,
    unipc,
)
from hasten.solvers.exponential import adams_weights
from hasten.solvers.unipc import SCALES

SIGMAS = np.geomspace(40.0, 0.05, 12)
SEEDS = range(8)


def _sample(process: Process, prediction: Prediction, solver: str = "heun") -> Tensor:
    model = mixture_model(process, prediction, dtype=torch.float64)
    return run(model, build(SOLVERS[solver], SIGMAS), SEEDS)


def _net() -> MixtureNet:
    net = mixture_model(dtype=torch.float64).net
    assert isinstance(net, MixtureNet)
    return net


def _start() -> Tensor:
    return SIGMAS[0] * torch.randn(8, 2, dtype=torch.float64)


def _denoise(x: Tensor, sigma: float) -> Tensor:
    return _net().denoise(x, torch.tensor(sigma, dtype=torch.float64))


def _solve(solver: Solver, x: Tensor, sigmas: np.ndarray) -> Tensor:
    return Run[Tensor](sigmas.tolist(), _denoise).steps(solver.step, x)


def test_first_order_methods_of_five_papers_are_one() -> None:
    start, levels = _start(), [*SIGMAS, 0.0]
    euler = song = lu = flow = start
    flow = start / (1 + levels[0])
    for s, t in itertools.pairwise(levels):
        # Euler in sigma
        euler = euler + (t - s) * (euler - _denoise(euler, s)) / s
        # Song et al., eq. 12, in the coordinates of a variance-preserving process
        a_s, a_t = 1 / math.sqrt(1 + s * s), 1 / math.sqrt(1 + t * t)
        x = a_s * song
        eps = (x - a_s * _denoise(song, s)) / math.sqrt(1 - a_s**2)
        x0 = (x - math.sqrt(1 - a_s**2) * eps) / a_s
        song = (a_t * x0 + math.sqrt(1 - a_t**2) * eps) / a_t
        # Lu et al. 2022b, DPM-Solver++-1
        h = math.log(s / t) if t else math.inf
        lu = (t / s) * lu - math.expm1(-h) * _denoise(lu, s)
        # Euler on the velocity of a rectified flow
        t_s, t_t = s / (1 + s), t / (1 + t)
        velocity = flow / t_s - _denoise(flow * (1 + s), s) / t_s
        flow = flow + (t_t - t_s) * velocity
    ours = run(
        mixture_model(dtype=torch.float64), build(SOLVERS["ddim"], SIGMAS), SEEDS, start=start
    )
    for other in (euler, song, lu, flow):
        assert (ours - other).abs().max().item() < 1e-10


def test_heun_depends_on_the_variable_it_is_done_in() -> None:
    """Unlike Euler's: the identity above is not an accident of the test."""
    s, t = 5.0, 1.0
    x = _start()
    heun = _solve(SOLVERS["heun"], x, np.array([s, t]))
    t_s, t_t = s / (1 + s), t / (1 + t)
    y = x / (1 + s)
    slope = y / t_s - _denoise(x, s) / t_s
    z = y + (t_t - t_s) * slope
    slope = (slope + z / t_t - _denoise(z * (1 + t), t) / t_t) / 2
    assert ((y + (t_t - t_s) * slope) * (1 + t) - heun).abs().max().item() > 1e-3


def _apart(one: Solver, other: Solver, sigmas: np.ndarray = SIGMAS) -> float:
    start = _start()
    return (_solve(one, start, sigmas) - _solve(other, start, sigmas)).abs().max().item()


def test_without_noise_stochastic_solvers_are_the_ordinary_ones() -> None:
    assert _apart(dpmpp_2m_sde(0.0), SOLVERS["dpmpp_2m"]) < 1e-12
    assert _apart(churn(0.0), SOLVERS["heun"]) < 1e-12
    assert _apart(dpmpp_sde(0.0), SOLVERS["dpmpp_2s"]) < 1e-12
    assert _apart(dpmpp_3m_sde(0.0), SOLVERS["dpmpp_3m"]) < 1e-12
    for p in (1, 2, 3):
        assert _apart(exponential_sde(p, 0.0), exponential(p)) < 1e-12


def test_solvers_of_one_evaluation_are_euler() -> None:
    for one in (exponential(1), exponential(1, noise=True), lms(1), ipndm(1), deis_t(1)):
        assert _apart(one, SOLVERS["euler"]) < 1e-12


def test_the_heun_form_of_dpmpp_2m_is_the_exact_one() -> None:
    """Lu et al. 2022b: C = expm1(-h) / h + 1 in place of -expm1(-h) / 2."""
    s0, s1, t = 4.0, 1.5, 0.4
    h, r = math.log(s1 / t), math.log(s0 / s1) / math.log(s1 / t)
    now, before = adams_weights([0.0, -r], -h)
    slope = (math.expm1(-h) / h + 1) / r
    assert h * now == pytest.approx(-math.expm1(-h) + slope, rel=1e-12)
    assert h * before == pytest.approx(-slope, rel=1e-12)


@pytest.mark.parametrize("k", [2, 3])
def test_deis_in_log_sigma_and_in_sigma(k: int) -> None:
    """The same integrals by quadrature as by the formulas of the papers, wide steps included."""
    for levels in (SIGMAS, np.array([80.0, 30.0, 9.0, 0.01, 0.002])):
        own = deis_t(k, math.log, lower_final=False)
        assert _apart(own, exponential(k, noise=True, lower_final=False), levels) < 1e-10
        assert _apart(deis_t(k, float, lower_final=False), lms(k), levels) < 1e-10
    assert _apart(deis_t(k), exponential(k, noise=True)) > 1e-3


@pytest.mark.parametrize("end", [2.0, 0.3, 0.004])
def test_deis_in_the_time_of_a_process_integrates_polynomials_in_it(end: float) -> None:
    """On slopes that are a square in the linear law's time t, three evaluations are exact."""
    from scipy.integrate import quad

    law = VP(Law.LINEAR)

    def slope(sigma: float) -> float:
        return 1 - 0.7 * float(law.t_of_sigma(np.array(sigma))) ** 2

    levels = [9.0, 4.0, 2.5, end]
    context = Run[Tensor](levels[2:], lambda x, sigma: x - sigma * slope(sigma))
    x = torch.ones(1, dtype=torch.float64)
    context.past += [Evaluation(s, x, x - s * slope(s)) for s in levels[:2]]
    found = context.steps(deis_t(3, lower_final=False).step, x) - x
    exact, _ = quad(slope, 2.5, end, epsabs=1e-13, limit=200)
    assert found.item() == pytest.approx(exact, rel=1e-11)


THIRD = 9.0, 5.0, 3.0, 2.0
"""Levels of two evaluations that were made, of the next one, and of the step's end."""


def _third_step(x: Tensor, outputs: Sequence[Tensor], solver: Solver) -> Tensor:
    """A step between the last two levels of `THIRD`; the newest output comes first."""
    s2, s1, s, t = THIRD
    context = Run[Tensor]([s, t], lambda *_: outputs[0])
    context.past += [Evaluation(s2, x, outputs[2]), Evaluation(s1, x, outputs[1])]
    return context.steps(solver.step, x)


def test_weights_of_dpm_solver_with_noise_are_those_of_the_paper() -> None:
    """Lu et al. 2022a in the authors' code, with the whole third term: 2M and 3M on the noise."""
    s2, s1, s, t = THIRD
    x, D0, D1, D2 = torch.randn(4, 8, 2, dtype=torch.float64)  # noqa: N806
    one_step = partial(_third_step, x, (D0, D1, D2))
    h = math.log(s / t)
    r0, r1 = math.log(s1 / s) / h, math.log(s2 / s1) / h
    e0, e1, e2 = (x - D0) / s, (x - D1) / s1, (x - D2) / s2
    first, before = (e0 - e1) / r0, (e1 - e2) / r1
    p1 = math.expm1(h)
    p2 = p1 / h - 1
    p3 = p2 / h - 0.5
    plain = x - t * p1 * e0
    second = (first - before) / (r0 + r1)
    third = plain - t * p2 * (first + r0 * second) - t * p3 * 2 * second
    for solver, paper in (
        (SOLVERS["dpm_2m"], plain - t * p1 / 2 * first),
        (exponential(2, noise=True, lower_final=False), plain - t * p2 * first),
        (exponential(3, noise=True, lower_final=False), third),
    ):
        assert (one_step(solver) - paper).abs().max().item() < 1e-12


@pytest.mark.parametrize("p", [1, 2, 3])
def test_the_scales_of_unipc_differ_by_the_weights_of_one_half(p: int) -> None:
    """So they are solvers of their own at every order, at 3 by its first steps and last alone."""
    assert _apart(unipc(p), unipc(p, "bh1")) > 1e-3
    x, past = _start(), torch.randn(3, 8, 2, dtype=torch.float64)
    levels = SIGMAS.tolist()
    ends = []
    for scale in SCALES:
        context = Run[Tensor](levels[3:], _denoise)
        known = zip(levels[:3], past, strict=True)
        context.past += [Evaluation(s, x, D) for s, D in known]
        ends.append(context.steps(unipc(p, scale, lower_final=False).step, x))
    apart = (ends[0] - ends[1]).abs().max().item()
    assert apart < 1e-10 if p == 3 else apart > 1e-3


def test_ipndm_v_has_the_coefficients_of_diff_sampler() -> None:
    s2, s1, s, t = 9.0, 5.0, 3.0, 2.0
    x, D0, D1, D2 = torch.randn(4, 8, 2, dtype=torch.float64)  # noqa: N806
    context = Run[Tensor]([s, t], lambda *_: D0)
    context.past += [Evaluation(s2, x, D2), Evaluation(s1, x, D1)]
    found = context.steps(ipndm_v().step, x)
    h, h1, h2 = s - t, s1 - s, s2 - s1
    last = (1 - h / (3 * (h + h1)) * h * (h + h1) / (h1 * (h1 + h2))) / 2
    weights = (
        1 + h / (2 * h1) + last,
        -h / (2 * h1) - (1 + h1 / h2) * last,
        h1 / h2 * last,
    )
    slopes = ((x - D0) / s, (x - D1) / s1, (x - D2) / s2)
    paper = x - h * sum(w * e for w, e in zip(weights, slopes, strict=True))
    assert (found - paper).abs().max().item() < 1e-12


@pytest.mark.parametrize(
    ("fast", "parts"),
    [
        ("dpm_fast", ("dpm_3", "dpm_3", "dpm_3", "dpm_2", "ddim")),
        ("dpmpp_fast", ("dpmpp_3s", "dpmpp_3s", "dpmpp_3s", "dpmpp_2s", "ddim")),
    ],
)
def test_fast_is_steps_of_order_3_3_3_2_1(fast: str, parts: tuple[str, ...]) -> None:
    start = x = _start()
    levels = np.append(np.geomspace(SIGMAS[0], 0.05, 5), 0.0)
    for name, pair in zip(parts, itertools.pairwise(levels), strict=True):
        x = _solve(SOLVERS[name], x, np.array(pair))
    assert (_solve(SOLVERS[fast], start, levels) - x).abs().max().item() < 1e-12


@pytest.mark.parametrize("z", [-2.5, -0.3, 1e-3, 0.7, 3.0])
def test_weights_integrate_polynomials_exactly(z: float) -> None:
    from scipy.integrate import quad

    places = [0.0, -0.7, -1.9, -2.4]
    weights = adams_weights(places, z)
    for power in range(4):
        exact, _ = quad(lambda u, k=power: math.exp((1 - u) * z) * u**k, 0, 1, epsabs=1e-13)
        found = sum(w * place**power for w, place in zip(weights, places, strict=True))
        assert found == pytest.approx(exact, rel=1e-10)


def test_the_published_third_order_term_is_half_of_the_exact_one() -> None:
    s2, s1, s, t = THIRD
    x, D0, D1, D2 = torch.randn(4, 8, 2, dtype=torch.float64)  # noqa: N806
    one_step = partial(_third_step, x, (D0, D1, D2))
    h = math.log(s / t)
    r0, r1 = math.log(s1 / s) / h, math.log(s2 / s1) / h
    second = ((D0 - D1) / r0 - (D1 - D2) / r1) / (r0 + r1)  # h^2 D'' / 2
    p3 = (math.expm1(-h) / h + 1) / h - 0.5
    exact = one_step(exponential(3, lower_final=False))
    published = one_step(dpmpp_3m(lower_final=False))
    assert (exact - (published - p3 * second)).abs().max().item() < 1e-12
    assert (exact - published).abs().max().item() > 1e-3


@pytest.mark.parametrize(
    ("solver", "k"), [(ipndm(2), 2), (ipndm(3), 3), (ipndm(4), 4), (ipndm_v(), 3)]
)
def test_ipndm_is_adams_bashforth_on_equal_steps(solver: Solver, k: int) -> None:
    start, levels = _start(), np.linspace(SIGMAS[0], 1.0, 12)
    apart = _solve(solver, start, levels) - _solve(lms(k), start, levels)
    assert apart.abs().max().item() < 1e-10


def test_ddim_without_noise_is_euler() -> None:
    start = _start()
    apart = _solve(ddim(0.0), start, SIGMAS) - _solve(SOLVERS["euler"], start, SIGMAS)
    assert apart.abs().max().item() == 0


TABLE = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 1000), continuous=True)


@pytest.mark.parametrize("solver", ["heun", "unipc3"])
@pytest.mark.parametrize(
    ("process", "prediction"),
    [
        (EDM(), Raw(0.5)),
        (EDM(), Eps()),
        (VP(), Eps()),
        (VP(), V()),
        (VP(Law.LINEAR), X0()),
        (TABLE, V()),
        (TABLE, Eps()),
        (Flow(), Velocity()),
        (Flow(time_scale=1000.0), X0()),
    ],
    ids=repr,
)
def test_the_wrapping_of_a_denoiser_does_not_matter(
    process: Process, prediction: Prediction, solver: str
) -> None:
    plain = _sample(EDM(), X0(), solver)
    assert (_sample(process, prediction, solver) - plain).abs().max().item() < 1e-8


@pytest.mark.parametrize("name", list(SOLVERS))
def test_a_single_step_asks_once_and_believes_the_net(name: str) -> None:
    model = mixture_model(dtype=torch.float64)
    start = _start()
    x0 = run(model, build(SOLVERS[name], [SIGMAS[0]]), SEEDS, start=start)
    assert torch.allclose(x0, _denoise(start, SIGMAS[0]), atol=1e-12)


@pytest.mark.parametrize("name", list(SOLVERS))
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_the_step_to_zero_is_finite(name: str, steps: int) -> None:
    plan = build(SOLVERS[name], np.geomspace(1e4, 1e-3, steps + 1)[:steps])
    x0 = run(mixture_model(Flow(), Velocity()), plan, SEEDS)
    assert x0.isfinite().all()
