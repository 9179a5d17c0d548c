from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import gammaln

from hasten.data.gflash import spots
from hasten.data.gflash.medium import PBWO4, W_SI

RINGS = np.array([[0.5, 0.3, 0.2], [0.2, 0.1, 0.7]])
"""Two layers of two rings and what is beside."""
ENERGIES = np.array([5.0, 2.0])
SECTORS = 3


def spot_by_spot(rng: np.random.Generator, mean: np.ndarray, shape: float) -> np.ndarray:
    """Cells [layers, sectors * rings + 1] of a shower whose spots are placed one after another."""
    out = np.zeros((2, SECTORS * 2 + 1))
    for layer in range(2):
        for _ in range(max(rng.poisson(mean[layer]), 1)):
            ring = rng.choice(3, p=RINGS[layer])
            cell = 6 if ring == 2 else rng.integers(SECTORS) * 2 + ring
            out[layer, cell] += 1 if math.isinf(shape) else rng.gamma(shape)
        out[layer] *= ENERGIES[layer] / out[layer].sum()
    return out


@pytest.mark.parametrize("shape", [0.7, math.inf])
def test_it_is_the_law_of_spots_placed_one_by_one(shape: float) -> None:
    n, mean = 3000, np.array([4.0, 1.0])
    rng = np.random.default_rng(5)
    slow = np.array([spot_by_spot(rng, mean, shape) for _ in range(n)])
    fast = np.empty_like(slow)
    for i in range(n):
        cells, beside = spots.scatter(rng, ENERGIES, mean, RINGS, SECTORS, shape)
        fast[i] = np.concatenate([cells.reshape(2, -1), beside[:, None]], 1)
    # means, second moments, empty cells, and two cells of one layer together: 44 comparisons of
    # two samples each, the largest of which is beyond 4.5 sigma once in 3,000 times
    for what in (
        lambda x: x,
        lambda x: x * x,
        lambda x: x == 0,
        lambda x: x[..., :1] * x[..., 1:],
    ):
        one, other = what(slow).astype(float), what(fast).astype(float)
        error = np.sqrt((one.var(0) + other.var(0)) / n)
        assert (abs(one.mean(0) - other.mean(0)) <= 4.5 * error + 1e-12).all()


@pytest.mark.parametrize("shape", [0.7, 3.0, math.inf])
@pytest.mark.parametrize("mean", [0.5, 6.0])
def test_moments_of_a_cell(shape: float, mean: float) -> None:
    """N spots share the energy by a Dirichlet law, and each of them is in a cell with chance p.

    So a cell has p on average and the variance p (1 - p) (a + 1) / (N a + 1), or / N if all weigh
    the same; N is Poisson, but at least 1.
    """
    n, sectors = 100_000, 2
    one = np.ones(n)
    cells, beside = spots.scatter(
        np.random.default_rng(6), one, mean * one, np.tile(RINGS[0], (n, 1)), sectors, shape
    )
    counts = np.arange(1, 60)
    chances = np.exp(counts * math.log(mean) - mean - gammaln(counts + 1))
    chances[0] += math.exp(-mean)
    parts = 1 / counts if math.isinf(shape) else (shape + 1) / (counts * shape + 1)
    for found, p in ((cells[:, 0, 0], 0.25), (cells[:, 1, 1], 0.15), (beside, 0.2)):
        assert found.mean() == pytest.approx(p, abs=4.5 * found.std() / math.sqrt(n))
        square = (found - p) ** 2
        expected = p * (1 - p) * (chances @ parts)
        assert square.mean() == pytest.approx(expected, abs=4.5 * square.std() / math.sqrt(n))


@pytest.mark.parametrize("shape", [0.05, 0.7, 3.0, math.inf])
def test_every_layer_keeps_its_energy(shape: float) -> None:
    rng = np.random.default_rng(0)
    energies = rng.gamma(1, size=40) * np.geomspace(1e-12, 1e6, 40)
    rings = np.tile(RINGS, (20, 1))
    cells, beside = spots.scatter(rng, energies, np.geomspace(1e-9, 1e4, 40), rings, 4, shape)
    assert min(cells.min(), beside.min()) >= 0
    np.testing.assert_allclose(cells.sum((1, 2)) + beside, energies, rtol=1e-12)


def test_a_layer_without_a_spot_is_given_one() -> None:
    layers, sectors = 30_000, 3
    rings = np.tile(RINGS[:1], (layers, 1))
    cells, beside = spots.scatter(
        np.random.default_rng(1), np.ones(layers), np.zeros(layers), rings, sectors
    )
    assert ((cells == 1).sum((1, 2)) + (beside == 1) == 1).all()
    counts = np.append(cells.sum(0).ravel(), beside.sum())  # sectors x rings, then beside
    expected = layers * np.append(np.tile(RINGS[0, :2] / sectors, sectors), RINGS[0, 2])
    assert ((counts - expected) ** 2 / expected).sum() < 24.1  # chi2 of 6, 5e-4


def test_a_layer_without_energy_stays_empty() -> None:
    energies = np.array([0.0, 1.0])
    rng = np.random.default_rng(2)
    for mean in (0.0, 50.0):
        cells, beside = spots.scatter(rng, energies, np.full(2, mean), RINGS, SECTORS, 0.7)
        assert cells[0].sum() == beside[0] == 0
        assert cells[1].sum() + beside[1] == pytest.approx(1)


class Zeros:
    """Chance at its least likely: no spots, and Gamma numbers too small for a float32."""

    def poisson(self, mean, size=None):
        return np.zeros(np.shape(mean) if size is None else size, np.int64)

    def standard_gamma(self, shape, dtype):
        return np.zeros(len(shape), dtype)

    def random(self, size):
        return np.zeros(size)

    def integers(self, high, size):
        return np.zeros(size, np.int64)


def test_a_spot_that_weighs_nothing_divides_by_nothing() -> None:
    cells, beside = spots.scatter(Zeros(), ENERGIES, ENERGIES, RINGS, SECTORS, 0.7)
    np.testing.assert_allclose(cells[:, 0, 0], ENERGIES)
    assert cells.sum() + beside.sum() == pytest.approx(ENERGIES.sum())


def test_numbers_of_spots() -> None:
    # 10.3 / .11 = 93.6 a GeV in W-Si; 93 ln 68.36 = 392.9 in lead tungstate
    np.testing.assert_allclose(spots.number(W_SI, np.array([1.0])), 93.636, rtol=1e-4)
    np.testing.assert_allclose(spots.number(PBWO4, np.array([1.0])), 392.90, rtol=1e-4)
    decade = np.array([10.0, 100.0])
    for medium, power in ((W_SI, 0.959), (PBWO4, 0.876)):
        first, second = spots.number(medium, decade)
        assert math.log10(second / first) == pytest.approx(power)


def test_spots_begin_earlier_or_later_than_the_energy() -> None:
    one = np.ones(1)
    T, alpha = spots.profile(W_SI, 8 * one, 5 * one)  # noqa: N806
    np.testing.assert_allclose([T[0] / 8, alpha[0] / 5], [0.950726, 1.032468], rtol=1e-5)
    T, alpha = spots.profile(PBWO4, 8 * one, 5 * one)  # noqa: N806
    np.testing.assert_allclose([T[0] / 8, alpha[0] / 5], [0.842923, 0.867322], rtol=1e-5)
    # in a homogeneous medium spots of the earliest showers would have no maximum
    assert spots.profile(PBWO4, one, 1.1 * one)[1][0] == 1.1
