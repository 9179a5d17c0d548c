"""The solver with a decision for every step is the others where its decisions are all theirs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hasten.core.model import Model
from hasten.errors import PlanError
from hasten.models.mixture import mixture_model
from hasten.solvers import SOLVERS, Run, Solver, build, exponential, unipc
from hasten.solvers.exponential import adams_weights, phi
from hasten.solvers.mixed import Decision, mixed

LEVELS = np.geomspace(80, 0.05, 7)


@pytest.fixture(scope="module")
def model() -> Model:
    return mixture_model(dtype=torch.float64)


@pytest.mark.parametrize(
    ("decision", "solver"),
    [
        (Decision(1), SOLVERS["ddim"]),
        (Decision(1, noise=True), SOLVERS["ddim"]),
        *((Decision(p), exponential(p, lower_final=False)) for p in (2, 3, 4)),
        *((Decision(p, True), exponential(p, noise=True, lower_final=False)) for p in (2, 3, 4)),
    ],
    ids=str,
)
def test_equal_decisions_are_a_known_solver(decision: Decision, solver: Solver) -> None:
    one = build(mixed([decision] * 7), LEVELS)
    other = build(solver, LEVELS)
    for a, b in zip(one.rows, other.rows, strict=True):
        assert a.input.start == pytest.approx(b.input.start, rel=1e-12)
        assert dict(a.input.outputs) == pytest.approx(dict(b.input.outputs), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize(("order", "slope"), [(1, 2), (2, 3)])
def test_a_corrector_raises_the_order_by_one(
    model: Model, order: int, slope: int, noise: bool
) -> None:
    net, start = model.net, 10.0 * torch.randn(16, 2, dtype=torch.float64)

    def end(solver: Solver, n: int) -> torch.Tensor:
        levels = np.geomspace(10.0, 0.05, n + 1).tolist()
        denoise = lambda x, sigma: net.denoise(x, torch.tensor(sigma, dtype=torch.float64))  # noqa: E731
        return Run(levels, denoise).steps(solver.step, start)

    exact = end(unipc(3, lower_final=False), 2560)

    def error(n: int) -> float:
        found = end(mixed([Decision(order, noise, True)] * n), n)
        return float((found - exact).square().mean().sqrt())

    slopes = -np.diff(np.log2([error(n) for n in (160, 320, 640)]))
    assert slopes == pytest.approx([slope] * 2, abs=0.15)


def test_a_relaxed_slope_is_a_slope_times_a_factor() -> None:
    places, z = [0.0, -0.7, -1.9], -0.8
    values = np.array([0.3, 1.1, -0.4])
    slope = np.linalg.solve(np.vander(places, increasing=True), values)[1]
    plain = adams_weights(places, z) @ values
    relaxed = adams_weights(places, z, relax=0.2) @ values
    assert relaxed - plain == pytest.approx(0.2 * slope * phi(2, z))
    assert adams_weights([0.0], z, relax=0.2) == pytest.approx(adams_weights([0.0], z))


def test_decisions_are_checked() -> None:
    with pytest.raises(PlanError, match="order 5"):
        Decision(5)
    with pytest.raises(PlanError, match="3 decisions for 7 steps"):
        build(mixed([Decision()] * 3), LEVELS)
