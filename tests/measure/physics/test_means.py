from __future__ import annotations

import numpy as np
import pytest
import torch
from made_showers import ODD, SMALL, showers

from hasten.measure.physics.features import ShowerFeatures
from hasten.measure.physics.means import BY_LAYER, mean_columns, to_sums
from hasten.measure.physics.observables import observe
from hasten.measure.reading import Reading


@pytest.fixture(scope="module")
def reading() -> Reading:
    features = ShowerFeatures.fit(*showers(600, seed=30), SMALL)
    cells, energies = showers(300, seed=31)  # more than are read at a time
    return features.read(torch.from_numpy(cells), torch.from_numpy(energies))


def test_means_are_those_of_single_showers(reading: Reading) -> None:
    cells, energies = showers(300, seed=31)
    seen = observe(cells, energies, SMALL)
    assert reading.means is not None
    held = {k: reading.means[:, a:b].numpy() for k, (a, b) in mean_columns(SMALL).items()}
    grid = cells.reshape(300, 12, 6, 4).astype(np.float64)
    wanted = {
        "image": (grid.sum(axis=2) / energies[:, None, None]).reshape(300, -1),
        "sectors": grid.sum(axis=(1, 3)) / grid.sum(axis=(1, 2, 3))[:, None],
        "centres 1": seen.centres[..., 0],
        "centres 2": seen.centres[..., 1],
        "radii": seen.radii,
        "widths 1": seen.widths[..., 0],
        "widths 2": seen.widths[..., 1],
        "radial widths": seen.spreads,
    }
    assert list(held) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(held[name][0], values.mean(axis=0), atol=1e-7, err_msg=name)
        spread = values.std(axis=0, ddof=1)
        np.testing.assert_allclose(held[name][2], spread, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(held[name][1], spread / 300**0.5, atol=1e-6, err_msg=name)
    by_layer = held["image"][0].reshape(12, 4).sum(axis=1)
    np.testing.assert_allclose(by_layer, (seen.layers / energies[:, None]).mean(axis=0), rtol=1e-6)
    assert held["sectors"][0].sum() == pytest.approx(1, abs=1e-3)  # empty showers have no share


def test_the_error_of_a_spread_holds_for_laws_with_tails() -> None:
    rng = np.random.default_rng(0)
    draws = rng.exponential(2.0, (400, 500)) + 5  # so many samples of 500
    sums = np.stack([(draws**power).sum(axis=1) for power in (1, 2, 3, 4)])
    means = Reading(torch.zeros(500, 1), sums=torch.from_numpy(sums)).means
    assert means is not None
    mean, error, spread, wide = means.numpy()
    assert error.mean() == pytest.approx(mean.std(), rel=0.1)
    # the fourth moment of 500 draws is known to a tenth, and lies low more often than high
    assert wide.mean() == pytest.approx(spread.std(), rel=0.15)
    assert wide.mean() > 1.5 * spread.mean() / 1000**0.5  # what a normal law would have
    still = Reading(torch.zeros(3, 1), sums=torch.tensor([[6.0], [12.0], [24.0], [48.0]]).double())
    assert still.means is not None
    assert still.means[:, 0].tolist() == [2, 0, 0, 0]


def test_layers_that_differ_have_no_image() -> None:
    places = mean_columns(ODD)
    assert places["image"] == places["sectors"] == (0, 0)
    assert [b - a for a, b in places.values()][2:] == [3] * len(BY_LAYER)
    cells = np.random.default_rng(0).gamma(1.0, 1.0, (5, ODD.cells))
    assert to_sums(observe(cells, np.full(5, 20.0), ODD)).shape == (4, places["radial widths"][1])


def test_sums_add_up_unless_some_are_missing(reading: Reading) -> None:
    twice = Reading.joined([reading, reading])
    assert twice.means is not None
    assert reading.means is not None
    np.testing.assert_allclose(twice.means[0], reading.means[0], atol=1e-12)
    earlier = reading._replace(sums=None)  # as an earlier version kept it
    assert Reading.joined([reading, earlier]).means is None
    assert Reading.joined([earlier, earlier]).means is None
