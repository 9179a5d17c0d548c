from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad

from hasten.data.gflash import longitudinal
from hasten.data.gflash.medium import PBWO4, W_SI, Medium


def ln_y(medium: Medium, gev: float, count: int = 1) -> np.ndarray:
    return np.full(count, math.log(1000 * gev / medium.critical))


# worked out from the published numbers with a pocket calculator, at 20 and 100 GeV
@pytest.mark.parametrize(
    ("medium", "gev", "expected"),
    [
        (W_SI, 20, (1.88072, 0.138029, 1.48880, 0.187310, 0.604694)),
        (W_SI, 100, (2.10018, 0.108030, 1.65232, 0.151281, 0.567677)),
        (PBWO4, 20, (1.93455, 0.119854, 1.52765, 0.164736, 0.527142)),
        (PBWO4, 100, (2.14363, 0.0964190, 1.68597, 0.134148, 0.490125)),
    ],
)
def test_published_moments(medium: Medium, gev: float, expected: tuple[float, ...]) -> None:
    law = longitudinal.moments(medium, ln_y(medium, gev))
    found = (law.ln_T, law.sigma_T, law.ln_alpha, law.sigma_alpha, law.rho)
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-5)


@pytest.mark.parametrize("medium", [W_SI, PBWO4])
@pytest.mark.parametrize("gev", [20, 200])
def test_moments_of_drawn_showers(medium: Medium, gev: float) -> None:
    n = 100_000
    law = longitudinal.moments(medium, ln_y(medium, gev, n))
    normal = np.random.default_rng(1).standard_normal((n, 2))
    drawn = np.log(longitudinal.correlated(law, normal))
    # at these energies no guard is met; 4.5 standard errors of a normal law
    for found, mean, sigma in (
        (drawn[0], law.ln_T[0], law.sigma_T[0]),
        (drawn[1], law.ln_alpha[0], law.sigma_alpha[0]),
    ):
        assert found.mean() == pytest.approx(mean, abs=4.5 * sigma / math.sqrt(n))
        assert found.std() == pytest.approx(sigma, rel=4.5 / math.sqrt(2 * n))
    rho = law.rho[0]
    error = 4.5 * (1 - rho**2) / math.sqrt(n)
    assert np.corrcoef(drawn)[0, 1] == pytest.approx(rho, abs=error)


def test_the_first_normal_number_is_what_they_share() -> None:
    # both grow with z1 and part with z2: at rho = 1 they would be one
    law = longitudinal.moments(W_SI, ln_y(W_SI, 100, 2))
    deeper, apart = np.log(longitudinal.correlated(law, np.eye(2))) - np.log(
        longitudinal.correlated(law, np.zeros((2, 2)))
    )
    np.testing.assert_allclose(
        deeper / law.sigma_T, np.sqrt([1 + law.rho[0], 1 - law.rho[0]]) / 2**0.5
    )
    np.testing.assert_allclose(
        apart / law.sigma_alpha, np.sqrt([1 + law.rho[0], 1 - law.rho[0]]) / 2**0.5 * [1, -1]
    )


def test_shares_are_the_integral_of_the_profile() -> None:
    T, alpha = 6.3, 4.2  # noqa: N806
    beta = (alpha - 1) / T

    def density(t: float) -> float:
        return (beta * t) ** (alpha - 1) * beta * math.exp(-beta * t) / math.gamma(alpha)

    edges = np.array([0, 0.5, 2, 6.3, 7, 30])
    found = longitudinal.shares(np.array([T]), np.array([alpha]), edges)[0]
    expected = [quad(density, a, b)[0] for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    fine = np.linspace(0, 90, 9001)
    profile = longitudinal.shares(np.array([T]), np.array([alpha]), fine)[0]
    assert profile.sum() == pytest.approx(1, abs=1e-12)
    assert fine[profile.argmax()] == pytest.approx(T, abs=0.011)
    middles = (fine[1:] + fine[:-1]) / 2
    assert (profile * middles).sum() == pytest.approx(alpha / beta, abs=1e-4)


@pytest.mark.parametrize("medium", [W_SI, PBWO4])
def test_the_mean_of_showers_is_the_published_mean_profile(medium: Medium) -> None:
    """Two fits that know nothing of each other: of single showers and of their average.

    Its maximum goes as ln y plus a constant of the medium.
    """
    edges = np.linspace(0, 30, 601)
    constant = 0.858 if medium.sampling is None else 0.858 + 0.59 * 0.40291 + 0.53 * 0.29577
    for gev in (10, 100):
        n = 4000
        where = ln_y(medium, gev, n)
        normal = np.random.default_rng(2).standard_normal((n, 2))
        drawn = longitudinal.correlated(longitudinal.moments(medium, where), normal)
        mean = longitudinal.shares(*drawn, edges).mean(0)
        T, alpha = longitudinal.average(medium, where[:1])  # noqa: N806
        assert T[0] == pytest.approx(where[0] - constant, abs=1e-4)
        law = longitudinal.shares(T, alpha, edges)[0]
        assert edges[mean.argmax()] == pytest.approx(T[0], abs=0.35)
        # the largest distance of the two cumulative profiles
        assert abs(np.cumsum(mean - law)).max() < 0.02


def test_published_mean_profile() -> None:
    expected = {W_SI: (8.152857, 4.967340), PBWO4: (None, None)}
    T, alpha = longitudinal.average(W_SI, ln_y(W_SI, 100))  # noqa: N806
    np.testing.assert_allclose([T[0], alpha[0]], expected[W_SI], rtol=1e-5)
    y = ln_y(PBWO4, 100)
    T, alpha = longitudinal.average(PBWO4, y)  # noqa: N806
    np.testing.assert_allclose([T[0], alpha[0]], [y[0] - 0.858, 0.21 + 0.526816 * y[0]], rtol=1e-6)


def test_guards_hold_far_below_the_fit() -> None:
    for gev in (1e-3, 0.01, 0.1):
        law = longitudinal.moments(W_SI, ln_y(W_SI, gev))
        assert 0 < law.sigma_T[0] <= 0.5
        assert 0 < law.sigma_alpha[0] <= 0.5
        T, alpha = longitudinal.correlated(law, np.full((1, 2), -3.0))  # noqa: N806
        assert T[0] == 1
        assert alpha[0] == 1.1
        assert np.isfinite(longitudinal.shares(T, alpha, np.array([0.0, 1.0]))).all()
