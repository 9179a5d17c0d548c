from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from hasten.data.geometry import SIW, SIW_FINE, Geometry, Layer
from hasten.data.gflash import (
    DS2_FITTED,
    DS2_LIKE,
    HIGH,
    LOW,
    PBWO4,
    PRESETS,
    STRICT,
    GFlash,
    Trace,
    law,
    longitudinal,
    radial,
)
from hasten.errors import DataError

COARSE = Geometry.regular("coarse", (45, 2, 2), 20.0, 0.0, pitch=3.4)
"""Few cells, where only layers are of interest."""


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def at(gev: float, count: int) -> np.ndarray:
    return np.full(count, 1000.0 * gev)


@pytest.fixture(scope="module")
def strict() -> dict[float, Trace]:
    """The published law at four energies. What is compared below has at most 1 % of statistical
    error with these numbers of showers."""
    return {gev: STRICT.trace(at(gev, n), rng(3)) for gev, n in NUMBERS.items()}


NUMBERS = {1.0: 800, 10.0: 500, 100.0: 500, 1000.0: 250}


# depth ---------------------------------------------------------------------------------------


def test_mean_depths_follow_the_drawn_gamma_profiles() -> None:
    n, gev = 2500, 50.0
    trace = GFlash(COARSE).trace(at(gev, n), rng(0))
    shares = longitudinal.shares(trace.T, trace.alpha, GFlash(COARSE).depths)
    mean = 1000 * gev * shares
    # given T and alpha, layers are independent Gamma numbers of variance c^2 dE
    variance = 1000 * 0.11**2 * mean
    pulls = ((trace.layers - mean).sum(0)) / np.sqrt(variance.sum(0))
    assert (pulls**2).sum() < 84.5  # chi2 of 45, 3e-4
    # and the drawn T and alpha are those of the law
    moments = longitudinal.moments(STRICT.medium, np.log(at(gev, 1) / STRICT.medium.critical))
    error = 4 * moments.sigma_T[0] / math.sqrt(n)
    assert np.log(trace.T).mean() == pytest.approx(moments.ln_T[0], abs=error)


def test_variance_of_a_layer_is_c_squared_times_its_energy() -> None:
    n = 3000
    trace = GFlash(COARSE).trace(at(50, n), rng(1))
    mean = 50 * longitudinal.shares(trace.T, trace.alpha, GFlash(COARSE).depths)  # GeV
    rest = trace.layers / 1000 - mean
    ratio = (rest**2).sum(0) / mean.sum(0) / 0.11**2
    busy = mean.mean(0) > 0.3  # Gamma laws of 25 and more: near enough normal for the error below
    assert busy.sum() > 15
    np.testing.assert_allclose(ratio[busy], 1, atol=4.5 * math.sqrt(2.3 / n))


def test_sampling_resolution_is_recovered() -> None:
    n = 2500
    for gev in (2.0, 20.0):
        total = GFlash(COARSE).trace(at(gev, n), rng(2)).layers.sum(1) / (1000 * gev)
        found = total.std() / total.mean() * math.sqrt(gev)
        # n showers know a sigma to 1 / sqrt(2 n) = 1.4 %; rear leakage adds less than that
        assert found == pytest.approx(0.11, rel=4 / math.sqrt(2 * n))


# width ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stretch", [1.0, 0.7])
def test_rings_have_what_the_radial_profile_gives_them(stretch: float) -> None:
    """Whatever its spots, a layer's energy is shared among rings in the profile's proportions."""
    n, gev = 1500, 20.0
    mesh = Geometry.regular("mesh", (30, 1, 4), 3.0, 0.0, pitch=4.0)
    coarse = GFlash(mesh, stretch=stretch)
    trace = coarse.trace(at(gev, n), rng(20))
    middles = (np.arange(30) + 0.5) * 4.0 / coarse.medium.x0
    moments = longitudinal.moments(coarse.medium, np.log(at(gev, n) / coarse.medium.critical))
    tau = radial.scaled_depth(
        middles,
        trace.T[:, None],
        trace.alpha[:, None],
        stretch * np.exp(moments.ln_alpha)[:, None],
    )
    profile = radial.profile(coarse.medium, tau, np.full((n, 1), gev))
    edges = np.arange(5) * 3.0 / coarse.medium.moliere
    expected = trace.layers[:, :, None] * radial.rings(profile, edges)
    found = np.concatenate([trace.cells.reshape(n, 30, 4), trace.beside[:, :, None]], 2)
    pulls = (found - expected)[:, 2:12].sum(1)  # ten layers about the maximum
    assert (abs(pulls.mean(0)) < 4.5 * pulls.std(0) / math.sqrt(n)).all()


# energy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_every_layer_keeps_its_energy(preset: str) -> None:
    energies = np.geomspace(LOW, HIGH, 30)
    trace = PRESETS[preset].trace(energies, rng(4))
    read = trace.cells.reshape(30, 45, -1).sum(2, dtype=float)
    # cells are float32, which know nothing below 1e-38
    np.testing.assert_allclose(read + trace.beside, trace.layers, rtol=1e-6, atol=1e-30)
    assert trace.cells.min() >= 0


def test_a_large_crystal_reads_all_energy() -> None:
    """120 layers of 0.57 X0 and 9 m across."""
    large = Geometry.regular("large", (120, 1, 60), 75.0, 0.0, pitch=5.1)
    crystal = GFlash(large, PBWO4)
    energies = np.geomspace(1e3, 1e6, 300)
    ratio = crystal.draw(energies, rng(5)).sum(1, dtype=float) / energies
    assert ratio.mean() == pytest.approx(1, abs=1e-4)
    assert ratio.max() <= 1 + 1e-6
    # single spots far out at the end of a shower: the tail's radius grows with the depth
    assert ratio.min() > 0.999


def test_the_response_is_a_factor_of_readings() -> None:
    energies = at(30, 20)
    plain, seen = (
        dataclasses.replace(STRICT, response=response).trace(energies, rng(6))
        for response in (1.0, 0.5)
    )
    np.testing.assert_allclose(seen.cells, 0.5 * plain.cells, rtol=1e-6, atol=1e-30)


def test_the_primary_particle_leaves_what_it_is_said_to() -> None:
    energies = at(30, 20)
    without, with_it = (
        dataclasses.replace(STRICT, ionisation=ionisation).trace(energies, rng(6))
        for ionisation in (0.0, 7.0)
    )
    expected = 7 * np.exp(-np.arange(45) * 3.4 / STRICT.medium.x0)
    np.testing.assert_allclose(
        with_it.layers - without.layers, np.tile(expected, (20, 1)), atol=1e-9
    )


def test_stretched_showers_begin_earlier_and_peak_where_they_did() -> None:
    energies = at(30, 50)
    one, other = (
        dataclasses.replace(STRICT, stretch=stretch).trace(energies, rng(7))
        for stretch in (1.0, 0.85)
    )
    np.testing.assert_array_equal(one.T, other.T)
    np.testing.assert_allclose(other.alpha, 0.85 * one.alpha)
    assert (other.layers.mean(0) > one.layers.mean(0))[:3].all()


# expectations worked out by an independent program of the same formulas ----------------------


@pytest.mark.parametrize(
    ("gev", "response", "resolution", "depth", "peak", "hits"),
    [
        (1.0, 0.990, 0.112, 5.7, 3.6, 83),
        (10.0, 0.991, 0.035, 7.8, 6.0, 382),
        (100.0, 0.990, 0.011, 10.1, 8.5, 1234),
        (1000.0, 0.988, 0.0037, 12.4, 10.1, 3191),
    ],
)
def test_table_of_expectations(
    strict: dict[float, Trace],
    gev: float,
    response: float,
    resolution: float,
    depth: float,
    peak: float,
    hits: float,
) -> None:
    cells, n = strict[gev].cells, NUMBERS[gev]
    ratio = cells.sum(1, dtype=float) / (1000 * gev)
    # 4 standard errors of our mean, and 1 of theirs and their last digit
    assert ratio.mean() == pytest.approx(response, abs=4 * ratio.std() / math.sqrt(n) + 0.001)
    assert ratio.std() / ratio.mean() == pytest.approx(resolution, rel=4 / math.sqrt(2 * n))
    layers = cells.reshape(n, 45, -1).sum(2, dtype=float)
    middles = (STRICT.depths[1:] + STRICT.depths[:-1]) / 2
    depths = layers @ middles / layers.sum(1)
    assert depths.mean() == pytest.approx(depth, abs=4 * depths.std() / math.sqrt(n) + 0.06)
    # a maximum is flat: the highest layer of so few showers may be a neighbour of theirs
    step = middles[1] - middles[0]
    assert middles[layers.mean(0).argmax()] == pytest.approx(peak, abs=1.1 * step)
    hit = (cells >= SIW.threshold).sum(1)
    assert hit.mean() == pytest.approx(hits, abs=4 * hit.std() / math.sqrt(n) + 0.006 * hits)


def test_mean_depth_profile_at_100_gev(strict: dict[float, Trace]) -> None:
    expected = [1e-4, 0.015, 0.055, 0.077, 0.070, 0.050, 0.031, 0.017, 0.0085, 0.0041, 0.0019, 8e-4]
    n = NUMBERS[100.0]
    part = strict[100.0].cells.reshape(n, 45, -1).sum(2, dtype=float)[:, :36:3] / 1e5
    error = part.std(0) / math.sqrt(n)
    digits = [0.5e-4, *[0.5e-3] * 7, *[0.5e-4] * 4]
    assert (abs(part.mean(0) - expected) < 4 * error + digits).all()


def test_ring_fractions_at_100_gev(strict: dict[float, Trace]) -> None:
    expected = [0.776, 0.121, 0.048, 0.024, 0.013, 0.008, 0.005, 0.004, 0.003]
    n = NUMBERS[100.0]
    rings = strict[100.0].cells.reshape(n, 45 * 16, 9).sum(1, dtype=float)
    part = rings / rings.sum(1, keepdims=True)
    # of what is read out; rounded to three digits there
    assert (abs(part.mean(0) - expected) < 4 * part.std(0) / math.sqrt(n) + 6e-4).all()


@pytest.mark.parametrize(
    ("medium", "pitch", "expected"),
    [(STRICT.medium, 3.4, (0.91, 0.97)), (PBWO4, 5.1, (0.88, 0.96))],
)
def test_containment_at_20_gev(medium, pitch: float, expected: tuple[float, float]) -> None:
    """Within one and two Moliere radii; the textbook says 90 and 95 %."""
    wide = Geometry.regular("wide", (45, 1, 200), medium.moliere / 2, 0.0, pitch=pitch)
    cells = GFlash(wide, medium).draw(at(20, 150), rng(8)).reshape(150, 45, 200)
    within = np.cumsum(cells.sum((0, 1), dtype=float)) / cells.sum(dtype=float)
    # a standard error is .002 and the expectations have two digits
    np.testing.assert_allclose(within[[1, 3]], expected, atol=0.009)


def test_silicon_like_readings() -> None:
    """In the measure of published preprocessings: of every cell, the logit of E / 2 E_inc."""
    n = 1500
    energies = 1000 * 1000 ** ((np.arange(n) + 0.5) / n)  # log-uniform without its fluctuation
    showers = DS2_LIKE.draw(energies, rng(9)).astype(float)
    x = 1e-6 + (1 - 2e-6) * showers / (2 * energies[:, None])
    logit = np.log(x / (1 - x))
    # standard errors .003, .002 and .001; an independent program has -12.97, 1.85 and .22
    assert logit.mean() == pytest.approx(-12.97, abs=0.02)
    assert logit.std() == pytest.approx(1.85, abs=0.015)
    assert (showers > 0).mean() == pytest.approx(0.22, abs=0.006)
    # what is read of a shower, less the side's leakage
    assert (showers.sum(1) / energies).mean() == pytest.approx(0.778 * 0.99, abs=0.004)


# cells ---------------------------------------------------------------------------------------


def test_no_sector_is_preferred(strict: dict[float, Trace]) -> None:
    n = NUMBERS[100.0]
    sectors = strict[100.0].cells.reshape(n, 45, 16, 9).sum((1, 3), dtype=float)
    part = sectors / sectors.sum(1, keepdims=True) - 1 / 16
    # exchangeable numbers that sum to 0: variance of their means is that of one, over n
    chi2 = n * (part.mean(0) ** 2).sum() / (part.var() * 16 / 15)
    assert 2.5 < chi2 < 40.0  # chi2 of 15, 5e-4 on either side
    hits = (strict[100.0].cells.reshape(n, 45, 16, 9) > 0).sum((1, 3)).astype(float)
    hits -= hits.mean(1, keepdims=True)
    chi2 = n * (hits.mean(0) ** 2).sum() / (hits.var() * 16 / 15)
    assert 2.5 < chi2 < 40.0


def test_finer_cells_read_the_same_showers() -> None:
    n = 150
    fine = dataclasses.replace(STRICT, geometry=SIW_FINE)
    one, other = STRICT.draw(at(20, n), rng(10)), fine.draw(at(20, n), rng(11))
    rings = one.reshape(n, -1, 9).sum(1, dtype=float) / 20_000
    pairs = other.reshape(n, -1, 9, 2).sum((1, 3), dtype=float) / 20_000
    error = np.sqrt((rings.var(0) + pairs.var(0)) / n)
    assert (abs(rings.mean(0) - pairs.mean(0)) < 4.5 * error).all()


def test_cells_below_the_threshold_are_not_read_out() -> None:
    energies = at(5, 40)
    raw = DS2_LIKE.draw(energies, rng(12), threshold=0)
    read = DS2_LIKE.draw(energies, rng(12))
    assert ((raw > 0) & (raw < SIW.threshold)).any()
    np.testing.assert_array_equal(read, np.where(raw >= SIW.threshold, raw, 0))
    assert not ((read > 0) & (read < SIW.threshold)).any()
    np.testing.assert_array_equal(raw, DS2_LIKE.trace(energies, rng(12)).cells)
    higher = DS2_LIKE.draw(energies, rng(12), threshold=1.0)
    np.testing.assert_array_equal(higher, np.where(raw >= 1, raw, 0))


# chance --------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_showers_however_they_are_split() -> None:
    energies = 1000 * 1000 ** rng(13).random(60)
    whole = DS2_LIKE.draw(energies, rng(14))
    assert whole.dtype == np.float32
    assert whole.shape == (60, 6480)
    np.testing.assert_array_equal(whole, DS2_LIKE.draw(energies, rng(14)))
    for parts in ((1, 2, 57), (29, 31), (60,)):
        same, cuts = rng(14), np.cumsum((0, *parts))
        pieces = [DS2_LIKE.draw(energies[a:b], same) for a, b in itertools.pairwise(cuts)]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert not np.array_equal(whole, DS2_LIKE.draw(energies, rng(15)))
    again = rng(14)
    DS2_LIKE.draw(energies, again)
    assert not np.array_equal(whole, DS2_LIKE.draw(energies, again))


def test_batches_are_not_seen_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    energies, told = 1000 * 1000 ** rng(16).random(50), []
    whole = DS2_LIKE.draw(energies, rng(17))
    monkeypatch.setattr(law, "BATCH", 7)
    parts = DS2_LIKE.draw(
        energies, rng(17), progress=lambda done, total: told.append((done, total))
    )
    np.testing.assert_array_equal(whole, parts)
    assert told == [(min(7 * k, 50), 50) for k in range(1, 9)]


def test_showers_of_one_energy_differ() -> None:
    showers = STRICT.draw(at(10, 30), rng(18))
    assert len(np.unique(showers.sum(1))) == 30


# refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0.0, -5.0, math.nan, math.inf, 0.99 * LOW, 1.01 * HIGH])
def test_energies_outside_the_range_are_refused(wrong: float) -> None:
    with pytest.raises(DataError, match=r"cannot be drawn at[^@]*energy 1[^@]*0\.5 and 2000 GeV"):
        STRICT.draw([5000.0, wrong, 1e4], rng(0))


def test_the_ends_of_the_range_can_be_drawn() -> None:
    for preset in PRESETS.values():
        showers = preset.draw([LOW, HIGH], rng(19))
        assert np.isfinite(showers).all()
        assert (showers.sum(1) > 0).all()
    assert STRICT.draw([], rng(0)).shape == (0, 6480)


def test_energies_are_a_list() -> None:
    for wrong in (5000.0, [[5000.0]]):
        with pytest.raises(DataError, match="shape"):
            STRICT.draw(wrong, rng(0))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: GFlash(Geometry("odd", (Layer((0, 1), 1), Layer((0, 1), 2)), 0.0, pitch=1.0)),
        lambda: GFlash(Geometry.regular("flat", (3, 4, 5), 1.0, 0.0)),
        lambda: GFlash(response=0),
        lambda: GFlash(spots=-1),
        lambda: GFlash(spots=math.inf),
        lambda: GFlash(shape=0),
        lambda: GFlash(shape=math.nan),
        lambda: GFlash(stretch=0),
        lambda: GFlash(ionisation=-1),
    ],
)
def test_a_law_that_cannot_be_is_refused(wrong) -> None:
    with pytest.raises(DataError, match="what to do"):
        wrong()


def test_presets() -> None:
    assert {"strict": STRICT, "ds2-like": DS2_LIKE, "ds2-fitted": DS2_FITTED} == PRESETS
    assert GFlash() == STRICT
