from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hasten.errors import BudgetError, DataError
from hasten.measure.physics.separation import equal_bins, from_counts, from_spectra, separation

Draw = Callable[[np.random.Generator, int], np.ndarray]
LAWS: dict[str, Draw] = {
    "continuous": lambda rng, n: rng.standard_normal(n),
    "heavy tails": lambda rng, n: rng.standard_cauchy(n),
    "often nothing": lambda rng, n: np.maximum(rng.standard_normal(n), 0),
    "counts": lambda rng, n: rng.poisson(3, n).astype(float),
}


def test_identities() -> None:
    x = np.random.default_rng(0).standard_normal(3000)
    same = separation(x, x)
    assert same.plain == pytest.approx(0, abs=1e-12)
    assert same.corrected.value == pytest.approx(-same.floor)
    above, below = np.full(500, x.max() + 1e-9), np.full(500, x.min() - 1e-9)
    for apart in (x + 100, x - 100, above, below):
        found = separation(apart, x)
        assert found.plain == pytest.approx(1)
        assert found.corrected.low > 0.9
    assert separation(3 * x + 2, 3 * x + 2 + 0.5).plain == separation(x, x + 0.5 / 3).plain
    half = from_counts([30, 10, 0], [10, 30, 0])
    assert half.plain == pytest.approx(0.25)  # (1/2)(1/2)^2 (1 + 1)
    assert half.bins == 2


def test_it_grows_with_the_difference() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal(4000)
    found = [separation(rng.standard_normal(4000) + s, x).corrected.value for s in (0, 0.2, 1, 4)]
    assert found == sorted(found)
    # two normals a distance d apart: S = 1/2 int (p - q)^2 / (p + q), here by quadrature at d = 1
    z = np.linspace(-9, 10, 20_001)
    p, q = (np.exp(-((z - m) ** 2) / 2) / np.sqrt(2 * np.pi) for m in (0, 1))
    exact = 0.5 * np.sum((p - q) ** 2 / (p + q)) * (z[1] - z[0])
    assert found[2] == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("n", "m"), [(1000, 1000), (500, 4000), (3000, 600)])
def test_the_floor_is_what_chance_makes(law: str, n: int, m: int) -> None:
    rng, draw = np.random.default_rng(2), LAWS[law]
    found = [separation(draw(rng, n), draw(rng, m)) for _ in range(400)]
    plain = np.array([each.plain for each in found])
    floor = np.mean([each.floor for each in found])
    error = plain.std() / 20
    assert abs(plain.mean() - floor) < 4 * error + 0.02 * floor
    covers = np.mean([each.corrected.low <= 0 <= each.corrected.high for each in found])
    assert covers > 0.94
    reach = np.mean([each.corrected.high - each.corrected.low for each in found]) / 2 / 1.96
    assert 0.9 < reach / plain.std() < 1.4


def test_intervals_cover_a_difference_too() -> None:
    rng = np.random.default_rng(3)
    truth = separation(rng.standard_normal(10**6) + 0.3, rng.standard_normal(10**6)).corrected.value
    found = [
        separation(rng.standard_normal(1500) + 0.3, rng.standard_normal(3000)).corrected
        for _ in range(400)
    ]
    assert np.mean([each.value for each in found]) == pytest.approx(truth, rel=0.05)
    assert np.mean([each.low <= truth <= each.high for each in found]) > 0.91


def test_a_value_that_takes_a_bin_gets_one() -> None:
    x = np.concatenate([np.zeros(700), np.linspace(1, 2, 300)])
    cuts = equal_bins(x, 10)
    counts = np.bincount(np.searchsorted(cuts, x), minlength=len(cuts) + 1)
    assert sorted(counts[counts > 0])[-1] == 700
    assert counts.sum() == 1000
    middle = np.concatenate([np.zeros(300), np.linspace(1, 2, 300), np.full(400, 3.0)])
    cuts = equal_bins(middle, 10)
    counts = np.bincount(np.searchsorted(cuts, middle))
    assert {300, 400} <= set(counts.tolist())
    # one more or one fewer of nothing is seen as just that
    fewer = np.concatenate([np.zeros(600), np.linspace(1, 2, 400)])
    wanted = 0.5 * (0.1**2 / 1.3 + 0.1**2 / 0.7)
    assert separation(fewer, x, bins=10).plain == pytest.approx(wanted, rel=0.1)
    inner = [np.linspace(0, 1, 455), np.full(400, 2.0), np.linspace(3, 4, 145)]
    x = np.concatenate(inner)
    assert 400 in np.bincount(np.searchsorted(equal_bins(x, 10), x))
    even = np.arange(3000.0)
    cuts = equal_bins(even, 30)
    assert set(np.bincount(np.searchsorted(cuts, even))[1:].tolist()) == {100}


def test_what_cannot_be_separated_is_refused() -> None:
    with pytest.raises(BudgetError, match="cannot fill 30 bins"):
        separation(np.zeros(1000), np.zeros(149))
    with pytest.raises(BudgetError):
        separation(np.zeros(149), np.zeros(1000))
    with pytest.raises(DataError, match="not finite"):
        separation(np.array([np.nan]), np.zeros(1000))
    constant = separation(np.zeros(10), np.zeros(1000), bins=2)
    assert (constant.plain, constant.floor, constant.bins) == (0, 0, 1)
    facts = constant.to_dict()
    assert facts["corrected"]["n"] == 10


def test_entries_of_one_shower_go_together() -> None:
    """The floor of spectra is between showers: entries that come in clumps separate by chance."""
    rng = np.random.default_rng(4)
    law = np.array([0.1, 0.2, 0.3, 0.4])

    def spectra(n: int) -> np.ndarray:
        each = rng.dirichlet(30 * law, n)  # a shower's own shares, of more or fewer entries
        counts = rng.poisson(np.exp(rng.uniform(np.log(4), np.log(400), n)))
        return np.stack([rng.multinomial(k, p) for k, p in zip(counts, each, strict=True)])

    found = [from_spectra(spectra(300), spectra(500)) for _ in range(300)]
    plain = np.array([each.plain for each in found])
    floor = np.mean([each.floor for each in found])
    assert plain.mean() == pytest.approx(floor, rel=0.15)
    loose = 3 / 4 * (1 / 300 + 1 / 500) / 86  # if all 86 entries a shower were independent
    assert floor > 4 * loose
    assert np.mean([each.corrected.low <= 0 <= each.corrected.high for each in found]) > 0.93
    with pytest.raises(BudgetError, match="0 entries"):
        from_spectra(np.zeros((5, 3)), np.ones((5, 3)))


def test_spectra_of_one_entry_are_histograms() -> None:
    rng = np.random.default_rng(5)
    a, b = (rng.integers(0, 6, n) for n in (700, 900))
    lone = from_spectra(np.eye(6)[a], np.eye(6)[b])
    counts = from_counts(np.bincount(a, minlength=6), np.bincount(b, minlength=6))
    assert lone.plain == pytest.approx(counts.plain)
    assert lone.floor == pytest.approx(counts.floor, rel=0.01)
    assert lone.corrected.high == pytest.approx(counts.corrected.high, rel=0.02)
    assert counts.floor == pytest.approx(5 / 4 * (1 / 700 + 1 / 900), rel=0.01)
    assert counts.bins == 6
