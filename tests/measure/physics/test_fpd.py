from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.optimize import curve_fit

from hasten.errors import BudgetError, DataError
from hasten.measure.physics.fpd import fpd, intercept, kpd


def normal(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def test_the_distance_of_gaussians_is_known() -> None:
    mix = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.3, 0.0, 2.0]])
    x, y = normal(6000, 3, 0) @ mix + [0.5, 0, 0], normal(6000, 3, 1)
    y[0] = [6, 6, 6]  # the scales are those of the reference
    a, b = np.cov(x, rowvar=False) / 36, np.cov(y, rowvar=False) / 36
    shift = np.square(x.mean(axis=0) - y.mean(axis=0)).sum() / 36
    exact = shift + np.trace(a + b - 2 * sqrtm(a @ b).real)
    found = fpd(x + 100, y + 100, least=2000, most=6000)
    assert found.value == pytest.approx(exact * (36 / 106**2), rel=0.02)
    found = fpd(torch.from_numpy(x), y, least=2000, most=6000)
    assert found.value == pytest.approx(exact, rel=0.01)
    assert found.low < found.value < found.high
    assert (found.n, found.context["reference_n"], len(found.raw)) == (6000, 6000, 10)


def test_published_sanity_figures() -> None:
    """50,000 + 50,000 of 30 normals: the same law below 5e-4, .1 sigma about 1.57e-2.

    Scaled by the greatest of m normals, s, a shift of .1 in 30 features is 30 (.1 / s)^2, and the
    sample's own error adds the like of a Fréchet distance of samples of n and m. Here 12,000 of 10.
    """
    x, y = normal(12_000, 10, 2), normal(12_000, 10, 3)
    most = np.abs(y).max(axis=0)
    same = fpd(x, y, least=5000, most=12_000).value
    # the mean of |m - m'|^2 is 2 / n a feature, and covariances add as much again and more
    assert 0 <= same < 10 * 4 * (2 / 12_000) / (most**2).mean()
    moved = fpd(x + 0.1, y, least=5000, most=12_000).value
    assert moved == pytest.approx(np.sum((0.1 / most) ** 2), rel=0.25)


def test_draws_of_any_size_say_the_same() -> None:
    x, y = normal(3000, 4, 4) * 1.2, normal(3000, 4, 5)
    small, large = (fpd(x, y, least=k, most=4 * k) for k in (400, 2000))
    assert small.raw[0] > small.raw[-1] > small.value  # small draws see more distance
    assert small.value == pytest.approx(large.value, rel=0.1)
    assert small.raw[0] > 1.1 * small.value
    assert fpd(x, y, least=400, most=800).value == fpd(x, y, least=400, most=800).value


@pytest.mark.parametrize("values", [(1.0, 2.0, 4.1), (0.1, 1.0, 2.3), (3.0, 2.0, 1.1)])
def test_the_line_is_that_of_a_bounded_fit(values: tuple[float, ...]) -> None:
    at = np.array([1.0, 2.0, 3.0])
    bounds = ([0, 0], [np.inf, np.inf])
    wanted, cov = curve_fit(lambda x, a, b: a + b * x, at, np.array(values), bounds=bounds)
    value, error = intercept(at, np.array(values))
    assert value == pytest.approx(wanted[0], abs=1e-5)
    assert error == pytest.approx(np.sqrt(cov[0, 0]), rel=1e-3)


def test_kernel_distance_by_loops() -> None:
    x, y = normal(40, 3, 6), normal(50, 3, 7) + 0.2
    found = kpd(x, y, batches=3, batch=12, seed=5)
    scale, values = np.abs(y).max(axis=0), []
    for number in range(3):
        rng = np.random.default_rng(5 + 1000 * number)
        b, a = (z[rng.choice(len(z), 12)] / scale for z in (y, x))

        def mean(p: np.ndarray, q: np.ndarray, *, apart: bool) -> float:
            pairs = [(i, j) for i in range(12) for j in range(12) if not apart or i != j]
            return float(np.mean([(p[i] @ q[j] / 3 + 1) ** 4 for i, j in pairs]))

        values.append(mean(a, a, apart=True) + mean(b, b, apart=True) - 2 * mean(a, b, apart=False))
    assert found.raw == pytest.approx(values)
    assert found.value == pytest.approx(np.median(values))
    reach = (np.percentile(values, 84) - np.percentile(values, 16)) / 2
    assert found.high - found.value == pytest.approx(reach)


def test_kernel_distance_is_without_bias_and_sees_a_shift() -> None:
    x, y = normal(20_000, 5, 8), normal(20_000, 5, 9)
    same = kpd(x, y, batch=400, batches=40)
    error = np.std(same.raw) / np.sqrt(40)
    assert abs(np.mean(same.raw)) < 4 * error
    assert kpd(x + 0.5, y, batch=1500).low > same.high


def test_unsuitable_features_are_refused() -> None:
    x = normal(100, 4, 0)
    with pytest.raises(DataError, match=r"\(100, 3\) against \(100, 4\)"):
        fpd(x[:, :3], x)
    with pytest.raises(DataError, match="not finite"):
        kpd(x * np.inf, x)
    with pytest.raises(BudgetError, match="covariances of 4"):
        fpd(x, x, least=4, most=50)
    with pytest.raises(BudgetError, match="50 to 50"):
        fpd(x, x, least=50, most=50)
    with pytest.raises(BudgetError):
        kpd(x, x, batch=1)
    flat = x.copy()
    flat[:, 2] = 0  # what is always 0 is not divided by it
    assert np.isfinite(fpd(flat, flat, least=20, most=80).value)
