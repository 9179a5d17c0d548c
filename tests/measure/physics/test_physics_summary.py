from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from made_showers import SMALL, showers

from hasten.errors import BudgetError, DataError
from hasten.measure.physics.features import ShowerFeatures
from hasten.measure.physics.observables import observe
from hasten.measure.physics.slices import energy_slices
from hasten.measure.physics.summary import Physics, measure_physics


@cache
def features() -> ShowerFeatures:
    return ShowerFeatures.fit(*showers(2500, seed=20), SMALL)


@cache
def measured(factor: float) -> Physics:
    cells, energies = showers(1300, seed=21)
    return measure_physics(
        factor * cells,
        energies,
        *showers(1500, seed=22),
        SMALL,
        truth=showers(1200, seed=23),
        features=features(),
    )


def test_true_showers_are_as_the_floor() -> None:
    found = measured(1.0)
    assert (found.n, found.m, found.geometry) == (1200, 1500, "small")
    assert found.features == features().name
    for row in (found.judged, found.floor):
        for name, each in row.separations.items():
            assert each.corrected.low < 0.004, name
            assert abs(each.plain - each.floor - each.corrected.value) < 1e-12
        # 12 layers, 4 rings: some of 30 parts are worse than chance, none by much
        assert row.separations["layer energies"].parts[11].n == 1200
        assert row.distance is not None
        assert row.distance.low < 0.1
        assert row.fpd is not None
        assert row.kpd is not None
        assert row.high is None
        assert row.low is None
        assert row.correlation_rms < row.correlation_largest < 0.2
        assert all(each.decided for each in row.slices)
    assert set(found.judged.separations) == set(found.floor.separations)
    assert len(found.judged.separations["ring fractions"].parts) == 4


def test_a_shift_of_the_energy_scale_is_seen_where_it_should_be() -> None:
    clean, found = measured(1.0), measured(1.05)
    row = found.judged
    assert found.floor == clean.floor
    assert row.separations["response"].corrected.low > 0.02
    before = clean.judged.separations["cell energies"].corrected
    assert row.separations["cell energies"].corrected.value > before.value
    for name in ("incident energy", "depth", "radius", "centres 1", "ring fractions"):
        assert row.separations[name].plain == pytest.approx(
            clean.judged.separations[name].plain, abs=3e-4
        )
    assert row.distance is not None
    assert found.floor.distance is not None
    assert row.distance.low > found.floor.distance.high
    for before, after in zip(clean.judged.slices, row.slices, strict=True):
        assert before.response is not None
        assert after.response is not None
        assert after.resolution is not None
        assert after.core is not None
        assert before.resolution is not None
        ratio = after.response.ratio
        assert ratio.value == pytest.approx(1.05 * before.response.ratio.value)
        assert ratio.low < 1.05 < ratio.high + 0.01
        assert after.resolution.judged.value == pytest.approx(before.resolution.judged.value)
        assert after.core.ratio.low < 1.02
        assert after.core.ratio.high > 0.98


def test_everything_is_plain_json() -> None:
    facts = json.loads(json.dumps(measured(1.0).to_dict(), allow_nan=False))
    assert facts["judged"]["separations"]["response"]["corrected"]["n"] == 1200
    assert facts["floor"]["slices"][0]["response"]["ratio"]["value"] > 0.9


def test_the_reference_is_halved_where_there_is_no_other_truth() -> None:
    cells, energies = showers(220, seed=24)
    real, at = showers(401, seed=25)
    found = measure_physics(
        cells, energies, real, at, SMALL, costly=("high", "low"), confidence=0.9
    )
    assert (found.n, found.m, found.features) == (201, 200, "")
    for row in (found.judged, found.floor):
        assert row.high is not None
        assert row.low is not None
        assert row.high.confidence == 0.9
        assert row.high.value == pytest.approx(0.5, abs=0.12)
        assert row.fpd is row.kpd is row.distance is None
    assert not any(each.decided for each in found.judged.slices)  # 40 of 200 in each of five


def test_correlations_are_between_layers() -> None:
    cells, energies = showers(900, seed=26)
    mixed = cells.reshape(900, 12, 24).copy()
    rng = np.random.default_rng(0)
    scale = energies[:, None] / energies.mean()
    for layer in range(12):  # layers of other showers of the same share: no correlation is left
        mixed[:, layer] = (mixed[:, layer] / scale)[rng.permutation(900)] * scale
    found = measure_physics(
        mixed.reshape(900, 288),
        energies,
        *showers(900, seed=27),
        SMALL,
        truth=showers(900, seed=28),
        costly=(),
    )
    assert found.judged.correlation_rms > 3 * found.floor.correlation_rms
    assert found.judged.correlation_largest > 0.5
    shares = [
        np.corrcoef((x.reshape(-1, 12, 24).sum(axis=2) / e[:, None]).T.astype(np.float64))
        for x, e in ((mixed, energies), showers(900, seed=27))
    ]
    apart = np.abs(shares[0] - shares[1])
    assert found.judged.correlation_largest == pytest.approx(apart.max(), rel=1e-4)
    assert found.judged.correlation_rms == pytest.approx(np.sqrt(np.square(apart).mean()), rel=1e-4)


def test_slices_have_true_response_and_resolution() -> None:
    rng = np.random.default_rng(0)
    energies = np.exp(rng.uniform(np.log(1e3), np.log(1e5), 8000))
    cells = np.zeros((8000, SMALL.cells))
    spread = np.where(energies < 1e4, 0.1, 0.02)
    cells[:, 0] = energies * (0.9 + spread * rng.standard_normal(8000))
    truth = observe(cells, energies, SMALL)
    seen = observe(cells * 1.01, energies, SMALL)
    low, high = energy_slices(seen, truth, slices=2)
    assert (low.low, high.high) == pytest.approx((energies.min(), energies.max()))
    assert low.high == pytest.approx(1e4, rel=0.01)
    assert low.n + high.n == low.m + high.m == 8000
    for part, sigma in ((low, 0.1), (high, 0.02)):
        assert part.response is not None
        assert part.resolution is not None
        assert part.core is not None
        assert part.response.reference.value == pytest.approx(0.9, abs=0.005)
        wanted = 1.96 * sigma / np.sqrt(part.m)
        got = (part.response.reference.high - part.response.reference.low) / 2
        assert got == pytest.approx(wanted, rel=0.15)
        assert part.response.ratio.value == pytest.approx(1.01, abs=1e-6)
        for figure in (part.resolution, part.core):
            assert figure.judged.value == pytest.approx(sigma / 0.9, rel=0.06)
            assert figure.ratio.low < 1 < figure.ratio.high
        error = (part.resolution.judged.high - part.resolution.judged.low) / 2 / 1.96
        assert error == pytest.approx(sigma / 0.9 / np.sqrt(2 * part.n), rel=0.2)
    odd = energy_slices(seen.rows(energies > 2e4), truth, slices=2)
    assert not odd[0].decided
    assert odd[0].n == 0
    beyond = observe(cells, energies * 10, SMALL)
    assert sum(part.n for part in energy_slices(beyond, truth)) < 8000  # not counted anywhere


def test_too_few_showers_have_no_fpd() -> None:
    found = measure_physics(*showers(250), *showers(250, 1), SMALL, truth=showers(250, 2))
    assert found.judged.fpd is None  # draws of 83 and 98 features
    assert found.judged.kpd is not None


def test_what_cannot_be_measured_is_refused() -> None:
    cells, energies = showers(200)
    with pytest.raises(DataError, match="no such figure: fid"):
        measure_physics(cells, energies, cells, energies, SMALL, costly=("fid",))
    with pytest.raises(BudgetError, match="100 showers against 100"):
        measure_physics(cells, energies, cells, energies, SMALL)
    other = ShowerFeatures(
        type(SMALL)("other", SMALL.layers, 1.0), features().grouping, features().law
    )
    with pytest.raises(DataError, match="in other, not in small"):
        measure_physics(cells, energies, cells, energies, SMALL, features=other)
