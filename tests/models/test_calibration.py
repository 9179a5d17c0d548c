from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from hasten.errors import BudgetError
from hasten.models.calibration import (
    ENERGIES,
    LEVELS,
    POINTS,
    REACH,
    Calibration,
    Spread,
    check_enough,
)

QUARTERS = torch.tensor([0.25, 0.75])
GAP = 1.0
KNOTS = torch.linspace(-1, 1, ENERGIES)


def sample(count: int, blur: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers with an atom at 0 and a narrow peak that moves with ring and energy."""
    rng = torch.Generator().manual_seed(seed)
    unit = 2 * torch.rand(count, generator=rng) - 1
    shape = (count, 2, 4, 3)
    peak = 2 + 0.5 * torch.arange(3) + 0.1 * unit[:, None, None, None]
    numbers = peak + 0.1 * torch.randn(shape, generator=rng)
    numbers = torch.where(torch.rand(shape, generator=rng) < 0.3, numbers, torch.zeros(()))
    return numbers + blur * torch.randn(shape, generator=rng), unit


def test_a_calibrated_sample_is_spread_as_the_true_one_in_every_ring_and_at_every_energy() -> None:
    true, true_unit = sample(24_000, 0, 0)
    made, unit = sample(24_000, 0.15, 1)
    map_ = Calibration.fit(made, unit, Spread.of(true, true_unit, GAP))
    fresh, fresh_unit = sample(24_000, 0.15, 2)
    found = map_(fresh, fresh_unit)
    for ring in range(3):
        for low in (-1.0, 0.0):
            a, b, c = (
                numbers[(given >= low) & (given < low + 1)][..., ring].flatten()
                for numbers, given in ((found, fresh_unit), (true, true_unit), (fresh, fresh_unit))
            )
            assert float((a > 1).float().mean()) == pytest.approx(
                float((b > 1).float().mean()), abs=0.01
            )
            # the blur is gone from what is not a reading, and the order is as it was
            assert float(a[a < 0.5].abs().mean()) < 0.1 * float(c[a < 0.5].abs().mean())
            # the middle of the peak: a few lie in the jump from nothing to it
            widths = [peak[peak > 1].quantile(QUARTERS).diff() for peak in (a, b, c)]
            assert float(widths[0]) == pytest.approx(float(widths[1]), rel=0.05)
            assert float(widths[2]) > 1.6 * float(widths[1])
    order = fresh[..., 0].flatten(1).argsort(dim=1)
    assert (found[..., 0].flatten(1).gather(1, order).diff(dim=1) >= -1e-5).all()


def test_a_model_that_is_right_is_left_alone() -> None:
    true, unit = sample(6000, 0, 0)
    map_ = Calibration.fit(true, unit, Spread.of(true, unit, GAP))
    found = map_(true, unit)
    assert float(((found > 0) != (true > 0)).float().mean()) < 1e-4
    assert float((found - true)[true > 0].abs().mean()) < 0.02


def test_mixed_maps_turn_into_readings_at_a_mixture_of_the_places() -> None:
    """Readings begin at another number at every energy, and are to begin at the gap."""
    rng = torch.Generator().manual_seed(0)
    places = torch.tensor([0.6, 1.0, 1.4, 1.8])
    which = torch.arange(2000) % ENERGIES
    place = places[which].reshape(-1, 1, 1, 1)
    depth = 4 * torch.rand((2000, 2, 4, 1), generator=rng)
    dark = torch.rand(depth.shape, generator=rng) < 0.6
    true = torch.where(dark, torch.zeros(()), GAP + depth)
    made = torch.where(dark, place * depth / 4, place + depth)
    map_ = Calibration.fit(made, KNOTS[which], Spread.of(true, KNOTS[which], GAP))
    numbers = torch.linspace(-0.5, 6, 2001)
    for unit in torch.linspace(-1, 1, 13):
        found = map_(numbers.reshape(1, -1, 1, 1), unit.reshape(1)).flatten()
        assert not ((found > 0) & (found < GAP)).any()
        first = float(numbers[found > 0].min())
        assert first == pytest.approx(float(np.interp(unit, KNOTS, places)), abs=0.03)


def test_what_is_below_the_gap_is_no_reading() -> None:
    map_ = Calibration(8.0, torch.linspace(0, 8, LEVELS).repeat(ENERGIES, 1, 1), GAP)
    numbers = torch.tensor([-1.0, 0.5, 0.99, 1.01, 3.0]).reshape(1, 5, 1, 1)
    expected = torch.tensor([0.0, 0.0, 0.0, 1.01, 3.0])
    torch.testing.assert_close(map_(numbers, torch.zeros(1)).flatten(), expected)


def test_energies_at_even_ranks_are_spread_as_those_of_the_showers() -> None:
    rng = torch.Generator().manual_seed(0)
    unit = 2 * torch.rand(5000, generator=rng).square() - 1  # more at small energies
    numbers = sample(5000, 0, 0)[0]
    spread, ranks = Spread.of(numbers, unit, GAP), torch.linspace(0.01, 0.99, 50)
    for count in (500, 1000, 3000):
        found = spread.unit(count)
        assert len(found) == count
        assert (found.diff() >= 0).all()
        assert float((found.quantile(ranks) - unit.quantile(ranks)).abs().max()) < 0.01
        assert float(found.mean()) == pytest.approx(float(unit.mean()), abs=1e-3)


def test_a_spread_knows_the_quantiles_of_every_ring_and_energy() -> None:
    numbers, unit = sample(4000, 0, 0)
    spread = Spread.of(numbers, unit, GAP)
    for energy, knot in enumerate(KNOTS):
        near = (unit - knot).abs() <= REACH * 2 / (ENERGIES - 1)
        for ring in range(3):
            part = numbers[near][..., ring].flatten().double().numpy()
            lit = np.sort(part[part > 0])
            ranks = np.linspace(0, 1, 400)
            found, dark = spread.quantiles(energy, ring, ranks)
            assert dark == pytest.approx(float((part == 0).mean()), abs=1e-6)
            assert (found[ranks <= dark] == 0).all()
            above = found[ranks > dark]
            assert (above >= GAP).all()
            assert (np.diff(found) >= 0).all()
            # back to the ranks: the same, to what lies between two of the points
            for value, rank in zip(above[:-1], ranks[ranks > dark], strict=False):
                step = spread.high / (POINTS - 1)
                low, high = (np.searchsorted(lit, value + off) / len(lit) for off in (-step, step))
                assert dark + (1 - dark) * low - 1e-3 <= rank <= dark + (1 - dark) * high + 1e-3


def test_no_quantile_lies_between_nothing_and_the_weakest_reading() -> None:
    rng = torch.Generator().manual_seed(0)
    numbers = GAP + 3 * torch.rand((1000, 2, 4, 1), generator=rng).square()
    numbers[:, 0, 0] = GAP  # many are as weak as can be
    numbers = torch.where(torch.rand(numbers.shape, generator=rng) < 0.5, numbers, 0.0)
    spread = Spread.of(numbers, KNOTS[torch.arange(1000) % ENERGIES], GAP)
    _, dark = spread.quantiles(0, 0, np.zeros(1))
    found, _ = spread.quantiles(0, 0, dark + np.geomspace(1e-7, 1e-2, 50))
    assert (found >= GAP).all()
    assert found[0] == pytest.approx(GAP, abs=1e-3)


def test_a_spread_is_known_by_all_it_says() -> None:
    spread = Spread.of(*sample(2000, 0, 0), GAP)
    above, units = spread.above.clone(), spread.units.clone()
    above[0, 0, 1000] += 1e-6
    units[3] += 1e-6
    others = [
        Spread(spread.high, 0.9, spread.above, spread.units),
        Spread(spread.high + 1e-6, GAP, spread.above, spread.units),
        Spread(spread.high, GAP, above, spread.units),
        Spread(spread.high, GAP, spread.above, units),
    ]
    assert len({repr(each) for each in (spread, *others)}) == 5
    assert repr(Spread.of(*sample(2000, 0, 0), GAP)) == repr(spread)
    table = torch.zeros(2, 1, 4)
    assert repr(Calibration(1.0, table)) != repr(Calibration(1.0, table, GAP))


def test_maps_rise_and_are_mixed_between_energies() -> None:
    table = torch.linspace(0, 8, LEVELS).repeat(ENERGIES, 1, 1)
    table[-1] += 1  # at the greatest energy everything is one more
    map_ = Calibration(8.0, table)
    numbers = torch.full((3, 1, 1, 1), 4.0)
    unit = torch.tensor([-1.0, 1 - 1 / (ENERGIES - 1), 1.0])
    torch.testing.assert_close(map_(numbers, unit).flatten(), torch.tensor([4.0, 4.5, 5.0]))
    beyond = map_(torch.full((1, 1, 1, 1), 9.5), torch.tensor([1.0]))
    assert float(beyond) == pytest.approx(10.5)


def test_a_single_layer_can_be_calibrated() -> None:
    true, unit = sample(4000, 0, 0)
    map_ = Calibration.fit(true[:, :1] + 0.3, unit, Spread.of(true[:, :1], unit, GAP))
    assert float((map_(true[:, :1] + 0.3, unit) - true[:, :1]).abs().mean()) < 0.05


def test_too_few_showers_are_refused() -> None:
    true, unit = sample(300, 0, 0)
    enough = Spread.of(*sample(6000, 0, 0), GAP)
    with pytest.raises(BudgetError, match="300 showers are too few"):
        Calibration.fit(true, unit, enough)
    with pytest.raises(BudgetError, match="300 showers are too few"):
        Spread.of(true, unit, GAP)


def test_how_many_showers_it_takes_is_said_from_the_energies_themselves() -> None:
    unit = torch.linspace(-1, 1, 300)
    with pytest.raises(BudgetError) as told:
        check_enough(unit)
    words = re.search("about ([0-9,]+) showers", str(told.value))
    assert words is not None
    enough = int(words[1].replace(",", ""))
    check_enough(torch.linspace(-1, 1, enough))
    assert enough < 1000
    with pytest.raises(BudgetError, match="of all energies"):
        check_enough(torch.full((5000,), -1.0))
