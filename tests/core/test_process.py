from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from hasten.core.process import (
    EDM,
    SIGMA_CAP,
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
    as_tensor,
)
from hasten.errors import ModelError, PlanError

BETAS = np.linspace(1e-4, 0.02, 1000)
TABLE = DiscreteVP.from_betas(BETAS)
BETWEEN = DiscreteVP.from_betas(BETAS, continuous=True)
COSINE = np.minimum(
    1
    - (np.cos((np.arange(1, 1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2)
    / (np.cos((np.arange(1000) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2),
    0.999,
)
CONTINUOUS = [VP(), VP(Law.LINEAR), BETWEEN, EDM(), Flow(), Flow(time_scale=1000.0)]
PREDICTIONS = [Eps(), X0(), V(), Velocity()]


def _levels(process: Process) -> np.ndarray:
    return np.geomspace(process.sigma_min, process.sigma_max, 200)


@pytest.mark.parametrize("process", CONTINUOUS, ids=repr)
def test_round_trips(process: Process) -> None:
    sigma = _levels(process)
    there = process.t_of_sigma(sigma)
    assert process.sigma_of_t(there) == pytest.approx(sigma, rel=1e-10)
    t = np.linspace(there[0], there[-1], 200)
    assert process.t_of_sigma(process.sigma_of_t(t)) == pytest.approx(t, rel=1e-10)
    assert process.sigma_of_time(process.time(sigma)) == pytest.approx(sigma, rel=1e-10)


@pytest.mark.parametrize("process", [*CONTINUOUS, TABLE], ids=repr)
def test_everything_is_monotone(process: Process) -> None:
    sigma = _levels(process)
    if process is TABLE:
        sigma = TABLE.table
    assert (np.diff(process.time(sigma)) > 0).all()
    assert (np.diff(process.t_of_sigma(sigma)) > 0).all()
    assert (np.diff(process.alpha(sigma)) <= 0).all()


@pytest.mark.parametrize("process", [VP(), VP(Law.LINEAR), TABLE], ids=repr)
def test_variance_is_preserved(process: Process) -> None:
    sigma = _levels(process)
    total = process.alpha(sigma) ** 2 + process.noise_std(sigma) ** 2
    assert total == pytest.approx(np.ones(200), rel=1e-14)


def test_flow_mixes_linearly() -> None:
    sigma = _levels(Flow())
    t = Flow().t_of_sigma(sigma)
    assert Flow().alpha(sigma) == pytest.approx(1 - t, rel=1e-9)
    assert Flow().noise_std(sigma) == pytest.approx(t)


@pytest.mark.parametrize("t", [1e-4, 0.01, 0.3, 0.9, 1.0])
def test_linear_law_is_the_integral_of_beta(t: float) -> None:
    integral = quad(lambda s: 0.1 + s * 19.9, 0, t)[0]
    alpha = math.exp(-integral / 2)
    expected = math.sqrt(-math.expm1(-integral)) / alpha
    assert VP(Law.LINEAR).sigma_of_t(np.array(t)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("t", [1e-6, 0.01, 0.3, 0.9, 0.99])
def test_cosine_law_is_equation_17(t: float) -> None:
    def f(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    abar = f(t) / f(0)
    expected = math.sqrt((1 - abar) / abar)
    # the paper's formula itself loses digits near t = 0
    assert VP().sigma_of_t(np.array(t)) == pytest.approx(expected, rel=1e-7)


def test_table_is_the_products_of_the_variances() -> None:
    abar = np.cumprod(1 - BETAS)
    assert np.sqrt(1 / (1 + TABLE.table**2)) == pytest.approx(np.sqrt(abar), rel=1e-12)
    assert TABLE.time(TABLE.table) == pytest.approx(np.arange(1000))
    assert TABLE.sigma_of_time(np.array([0, 500, 999])) == pytest.approx(TABLE.table[[0, 500, 999]])
    assert TABLE.sigma_min == TABLE.table[0]
    assert TABLE.sigma_max == TABLE.table[-1]


def test_table_snaps_and_the_continuous_one_does_not() -> None:
    near = TABLE.table * 1.0001
    assert (TABLE.snap(near) == TABLE.table).all()
    assert (BETWEEN.snap(near) == near).all()
    assert TABLE.snap(np.array([0.0, 1e9, 1e-9])) == pytest.approx(
        [0, TABLE.sigma_max, TABLE.sigma_min]
    )
    half = np.sqrt(TABLE.table[300] * TABLE.table[301])
    assert TABLE.time(half) in (300, 301)
    assert BETWEEN.time(half) == pytest.approx(300.5)


def test_terminal_level_without_signal_is_held_at_the_cap() -> None:
    abar = np.cumprod(1 - BETAS)
    process = DiscreteVP((*abar.tolist(), 0.0))
    assert process.sigma_max == SIGMA_CAP
    assert process.time(np.array(SIGMA_CAP)) == 1000


def test_little_signal_is_not_mistaken_for_none() -> None:
    """The cosine table ends at sigma = 2e4, and nets that predict noise are trained there."""
    process = DiscreteVP.from_betas(COSINE)
    assert process.abar[-1] < 1 / (1 + SIGMA_CAP**2)
    assert process.time(np.array(process.sigma_max)) == 999
    assert np.isfinite(Eps().coefficients(process, np.array(process.sigma_max))).all()


def test_flow_net_is_told_one_at_the_cap() -> None:
    assert Flow(time_scale=1000.0).time(np.array(SIGMA_CAP)) == 1000
    assert Flow().time(np.array(SIGMA_CAP / 2)) < 1
    assert Flow().sigma_of_time(np.array(1.0)) == SIGMA_CAP


@pytest.mark.parametrize(
    "make",
    [
        lambda: EDM(sigma_min=0.0),
        lambda: EDM(sigma_min=80.0),
        lambda: VP(sigma_max=1e6),
        lambda: Flow(sigma_min=-1.0),
        lambda: DiscreteVP((0.5,)),
        lambda: DiscreteVP((0.5, 0.6)),
        lambda: DiscreteVP((1.0, 0.6)),
        lambda: DiscreteVP.from_betas(np.array([0.1, -0.1])),
    ],
)
def test_what_is_no_process(make: object) -> None:
    with pytest.raises(ModelError):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("process", [VP(), TABLE, Flow(), EDM()], ids=repr)
@pytest.mark.parametrize("prediction", [*PREDICTIONS, Raw(0.7)], ids=repr)
def test_x0_is_recovered_exactly(process: Process, prediction: Prediction) -> None:
    rng = np.random.default_rng(0)
    sigma = np.geomspace(0.02, 70, 40)
    x0, eps = rng.standard_normal((2, 40))
    alpha, noise = process.alpha(sigma), process.noise_std(sigma)
    a, b = prediction.mixture(alpha, noise)
    output = a * x0 + b * eps
    _, skip, out = prediction.coefficients(process, sigma)
    assert skip * (x0 + sigma * eps) + out * output == pytest.approx(x0, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=repr)
def test_nets_read_the_process_own_coordinates(prediction: Prediction) -> None:
    sigma = np.array([0.1, 3.0])
    scale, _, _ = prediction.coefficients(VP(), sigma)
    assert scale == pytest.approx(1 / np.sqrt(1 + sigma**2))


def test_raw_is_the_preconditioning_of_edm() -> None:
    """Table 1 of Karras et al. 2022."""
    s, d = np.array([0.01, 1.0, 50.0]), 0.5
    scale, skip, out = Raw(d).coefficients(EDM(), s)
    assert scale == pytest.approx(1 / np.sqrt(s**2 + d**2))
    assert skip == pytest.approx(d**2 / (s**2 + d**2))
    assert out == pytest.approx(s * d / np.sqrt(s**2 + d**2))


def test_raw_is_v_up_to_sign_for_unit_data() -> None:
    s = np.geomspace(0.01, 50, 9)
    raw, v = Raw(1.0).coefficients(EDM(), s), V().coefficients(VP(), s)
    assert raw[0] == pytest.approx(v[0])
    assert raw[1] == pytest.approx(v[1])
    assert raw[2] == pytest.approx(-v[2])


def test_noise_prediction_is_refused_at_the_cap_only() -> None:
    levels = np.array([SIGMA_CAP, 1.0])
    with pytest.raises(PlanError, match="signal is zero"):
        Eps().coefficients(Flow(), levels)
    Eps().coefficients(Flow(), levels * 0.99)
    for prediction in (X0(), V(), Velocity()):
        assert all(np.isfinite(c).all() for c in prediction.coefficients(Flow(), levels))


def test_numbers_become_tensors_that_broadcast() -> None:
    like = torch.zeros(3, 1, 2, 2, dtype=torch.float64)
    assert as_tensor(np.float64(2.5), like).shape == ()
    assert as_tensor(np.arange(3.0), like).shape == (3, 1, 1, 1)
    assert as_tensor(np.arange(3.0), like).dtype == torch.float64
