"""Orders of convergence on an exactly known denoiser, in double precision.

Twice the steps must divide the error by 2^order. The four-point mixture is smooth enough between
sigma = 10 and 0.05 that 160 steps and more show the asymptotic order.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from hasten.models.mixture import MixtureNet, mixture_model
from hasten.solvers import (
    SOLVERS,
    Evaluation,
    Run,
    Solver,
    deis_t,
    dpmpp_3m,
    exponential,
    ipndm,
    ipndm_v,
    lms,
    unipc,
)

HIGH, LOW, POINTS = 10.0, 0.05, 24


def _net() -> MixtureNet:
    net = mixture_model(dtype=torch.float64).net
    assert isinstance(net, MixtureNet)
    return net


def _denoise(x: Tensor, sigma: float) -> Tensor:
    return _net_cached().denoise(x, torch.tensor(sigma, dtype=torch.float64))


@functools.cache
def _net_cached() -> MixtureNet:
    return _net()


@functools.cache
def _flow() -> tuple[Tensor, object]:
    """Starting points at `HIGH`, and the exact trajectory as a function of log sigma."""
    rng = np.random.default_rng(1)
    start = HIGH * rng.standard_normal((POINTS, 2))

    def slope(u: float, x: np.ndarray) -> np.ndarray:
        points = torch.from_numpy(x.reshape(POINTS, 2))
        return x - _denoise(points, float(np.exp(u))).numpy().ravel()

    ends = (np.log(HIGH), np.log(LOW))
    solution = solve_ivp(
        slope, ends, start.ravel(), method="DOP853", rtol=1e-12, atol=1e-13, dense_output=True
    )
    return torch.from_numpy(start), solution


def _exact(sigma: float) -> Tensor:
    start, solution = _flow()
    if sigma == HIGH:
        return start
    if sigma == LOW:
        return torch.from_numpy(solution.y[:, -1].reshape(POINTS, 2))  # type: ignore[attr-defined]
    return torch.from_numpy(solution.sol(np.log(sigma)).reshape(POINTS, 2))  # type: ignore[attr-defined]


def _grid(kind: str, n: int) -> list[float]:
    if kind == "logsnr":
        levels = np.geomspace(HIGH, LOW, n + 1)
    else:
        levels = np.linspace(HIGH ** (1 / 7), LOW ** (1 / 7), n + 1) ** 7
    levels[0], levels[-1] = HIGH, LOW
    return levels.tolist()


def _error(solver: Solver, kind: str, n: int, history: int = 0) -> float:
    """RMSE at the end; ``history`` exact evaluations precede the first step."""
    levels = _grid(kind, n)
    run = Run[Tensor](levels[history:], _denoise)
    for sigma in levels[:history]:
        x = _exact(sigma)
        run.past.append(Evaluation(sigma, x, _denoise(x, sigma)))
    x = run.steps(solver.step, _exact(levels[history]))
    return (x - _exact(LOW)).square().mean().sqrt().item()


CASES = [
    pytest.param(SOLVERS["ddim"], 0, id="ddim"),
    pytest.param(SOLVERS["heun"], 0, id="heun"),
    pytest.param(SOLVERS["dpm_2"], 0, id="dpm_2"),
    pytest.param(SOLVERS["dpm_3"], 0, id="dpm_3"),
    pytest.param(SOLVERS["dpmpp_2s"], 0, id="dpmpp_2s"),
    pytest.param(SOLVERS["dpmpp_3s"], 0, id="dpmpp_3s"),
    # two steps at the end, of orders 2 and 1, whatever came before
    pytest.param(SOLVERS["dpm_fast"], 0, id="dpm_fast"),
    pytest.param(SOLVERS["dpmpp_fast"], 0, id="dpmpp_fast"),
    pytest.param(SOLVERS["dpmpp_2m"], 0, id="dpmpp_2m"),
    pytest.param(dpmpp_3m(lower_final=False), 0, id="dpmpp_3m"),
    pytest.param(exponential(2, lower_final=False), 0, id="dpmpp_2m_exact"),
    pytest.param(exponential(3, lower_final=False), 2, id="dpmpp_3m_exact"),
    pytest.param(exponential(2, noise=True, lower_final=False), 0, id="deis2"),
    pytest.param(exponential(3, noise=True, lower_final=False), 2, id="deis3"),
    pytest.param(SOLVERS["dpm_2m"], 0, id="dpm_2m"),
    pytest.param(deis_t(2, lower_final=False), 0, id="deis2_t"),
    pytest.param(deis_t(3, lower_final=False), 2, id="deis3_t"),
    pytest.param(lms(2), 0, id="lms2"),
    pytest.param(lms(3), 0, id="lms3"),
    # the low-order start shows here (slope 2.9 of 4), so the history is given
    pytest.param(lms(4), 3, id="lms4"),
    pytest.param(ipndm(2), 0, id="ipndm2"),
    pytest.param(ipndm(3), 0, id="ipndm3"),
    pytest.param(ipndm(4), 0, id="ipndm4"),
    pytest.param(ipndm_v(), 2, id="ipndm3_v"),
    pytest.param(unipc(1, lower_final=False), 0, id="unipc1"),
    pytest.param(unipc(2, lower_final=False), 0, id="unipc2"),
    pytest.param(unipc(3, lower_final=False), 0, id="unipc3"),
    pytest.param(unipc(1, "bh1", lower_final=False), 0, id="unipc1_bh1"),
    pytest.param(unipc(2, "bh1", lower_final=False), 0, id="unipc2_bh1"),
    pytest.param(unipc(3, "bh1", lower_final=False), 0, id="unipc3_bh1"),
]


MEASURED = {("dpmpp_3m_exact", "karras"): 3.1}
"""Where the specification's table of slopes differs from the theory: it comes from above."""


@pytest.mark.parametrize("kind", ["logsnr", "karras"])
@pytest.mark.parametrize(("solver", "history"), CASES)
def test_order(solver: Solver, history: int, kind: str) -> None:
    errors = [_error(solver, kind, n, history) for n in (160, 320, 640)]
    slopes = -np.diff(np.log2(errors))
    tolerance = 0.15 if solver.order < 4 else 0.3
    order = MEASURED.get((solver.name, kind), solver.order)
    assert slopes == pytest.approx([order] * 2, abs=tolerance)
