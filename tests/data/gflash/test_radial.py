from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.integrate import quad

from hasten.data.gflash import longitudinal, radial
from hasten.data.gflash.medium import LEAD_TUNGSTATE, PBWO4, W_SI, Medium, Sampling

# worked out from the published numbers with a pocket calculator: Rc, Rt and p of W-Si
PUBLISHED = {
    (20, 0.3): (0.0670765, 1.241962, 0.976401),
    (20, 1.0): (0.1231188, 0.575355, 0.900133),
    (20, 2.0): (0.2079814, 0.783468, 0.598581),
    (100, 0.3): (0.0722106, 1.233458, 0.970913),
    (100, 1.0): (0.1282529, 0.587934, 0.885800),
    (100, 2.0): (0.2131155, 0.864130, 0.544015),
}


@pytest.mark.parametrize(("gev", "tau"), PUBLISHED)
def test_published_numbers(gev: float, tau: float) -> None:
    found = radial.profile(W_SI, np.array([tau]), np.array([gev]))
    np.testing.assert_allclose(
        [found.core[0], found.tail[0], found.share[0]], PUBLISHED[gev, tau], rtol=2e-6
    )


def test_the_limit_of_no_layers_is_homogeneous() -> None:
    """Infinitely thin layers of one material sample everything."""
    thin = Medium.layered((LEAD_TUNGSTATE, 1e-9), (LEAD_TUNGSTATE, 1e-9))
    tau, gev = np.linspace(0, 3, 7), np.full(7, 30.0)
    one, other = (radial.profile(medium, tau, gev) for medium in (thin, PBWO4))
    for name in ("core", "tail", "share"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6)


def test_inside_is_the_integral_of_the_density() -> None:
    core, tail, share = 0.13, 0.6, 0.8
    profile = radial.Profile(np.array(core), np.array(tail), np.array(share))

    def density(r: float) -> float:
        return sum(
            weight * 2 * r * radius**2 / (r**2 + radius**2) ** 2
            for weight, radius in ((share, core), (1 - share, tail))
        )

    for r in (0.05, 0.3, 1.0, 4.0):
        assert profile.inside(np.array(r)) == pytest.approx(quad(density, 0, r)[0], rel=1e-8)


def test_a_share_is_a_share_and_radii_are_positive() -> None:
    for medium in (W_SI, PBWO4):
        tau, gev = np.linspace(0, 15, 300)[:, None], np.array([0.5, 5, 50, 500, 2000.0])
        found = radial.profile(medium, tau, gev)
        assert found.share.min() >= 0
        assert found.share.max() <= 1
        assert min(found.core.min(), found.tail.min()) > 0
    # far from the fitted media the formula asks for more than all in the core, or less than none
    for frequency, expected in ((10.0, 1), (0.2, 0)):
        odd = dataclasses.replace(W_SI, sampling=Sampling(frequency, 0.5, 0.1))
        assert radial.profile(odd, np.array([0.8]), np.array([50.0])).share[0] == expected


def test_rings_and_what_is_beside_them_are_all() -> None:
    tau, gev = np.linspace(0, 12, 40), np.full(40, 100.0)
    profile = radial.profile(W_SI, tau, gev)
    edges = np.array([0.2, 0.5, 1, 3])  # with a hole around the axis
    found = radial.rings(profile, edges)
    assert found.shape == (40, 4)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)
    assert found.min() >= 0
    hole = profile.inside(np.array(0.2))
    np.testing.assert_allclose(found[:, -1], hole + 1 - profile.inside(np.array(3.0)), atol=1e-12)


def test_a_shower_has_one_scaled_depth_at_its_mean() -> None:
    law = longitudinal.moments(W_SI, np.full(50, 9.0))
    T, alpha = longitudinal.correlated(  # noqa: N806
        law, np.random.default_rng(0).standard_normal((50, 2))
    )
    mean_alpha = np.exp(law.ln_alpha)
    tau = radial.scaled_depth(T * alpha / (alpha - 1), T, alpha, mean_alpha)
    np.testing.assert_allclose(tau, mean_alpha / (mean_alpha - 1))
    # an average shower's maximum is at 1
    assert radial.scaled_depth(7.0, 7.0, 4.0, 4.0) == pytest.approx(1)
