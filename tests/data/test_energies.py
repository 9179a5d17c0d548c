from __future__ import annotations

import math

import numpy as np
import pytest

from hasten.data.energies import LAWS, incident_energies
from hasten.errors import DataError

N = 20_000


def draw(law: str, low: float, high: float, count: int = N) -> np.ndarray:
    return incident_energies(law, count, np.random.default_rng(0), low, high)


def chi2_of_equal_parts(u: np.ndarray) -> float:
    counts = np.histogram(u, 20, (0, 1))[0]
    return float(((counts - N / 20) ** 2 / (N / 20)).sum())


def test_power_is_uniform_in_the_logarithm() -> None:
    energies = draw("power", 1e3, 1e6)
    assert chi2_of_equal_parts(np.log10(energies / 1e3) / 3) < 45.0  # chi2 of 19, 7e-4
    assert (energies < 1e4).mean() == pytest.approx(1 / 3, abs=0.015)
    # a law of the logarithm, so the mean is (high - low) / ln(high / low)
    assert energies.mean() == pytest.approx(999e3 / math.log(1000), rel=0.04)


def test_uniform_is_uniform() -> None:
    energies = draw("uniform", 1e3, 1e6)
    assert chi2_of_equal_parts((energies - 1e3) / 999e3) < 45.0
    assert (energies < 1e5).mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("law", LAWS)
def test_the_range_is_kept(law: str) -> None:
    energies = draw(law, 333.3, 333.4)
    assert energies.min() >= 333.3
    assert energies.max() <= 333.4
    above = math.nextafter(1.5, 2)  # where a product rounds past it
    assert draw(law, 1.5, above).max() <= above
    assert (draw(law, 777.7, 777.7, 5) == 777.7).all()
    assert draw(law, 1.0, 2.0, 0).shape == (0,)
    np.testing.assert_array_equal(draw(law, 1, 9), draw(law, 1, 9))


@pytest.mark.parametrize(
    ("low", "high"), [(2.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (1.0, math.inf), (math.nan, 1.0)]
)
def test_no_range_is_refused(low: float, high: float) -> None:
    with pytest.raises(DataError, match="no range of energies"):
        draw("power", low, high)


def test_no_law_is_refused() -> None:
    with pytest.raises(DataError, match="one of power, uniform"):
        draw("gauss", 1, 2)
    with pytest.raises(DataError, match="-1 energies"):
        draw("power", 1, 2, -1)
