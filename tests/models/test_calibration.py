from __future__ import annotations

import re

import pytest
import torch

from hasten.errors import BudgetError
from hasten.models.calibration import ENERGIES, LEVELS, Calibration, check_enough

QUARTERS = torch.tensor([0.25, 0.75])


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
    true, true_unit = sample(6000, 0, 0)
    made, unit = sample(6000, 0.15, 1)
    map_ = Calibration.fit(made, unit, true, true_unit)
    fresh, fresh_unit = sample(6000, 0.15, 2)
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
    map_ = Calibration.fit(true, unit, true, unit)
    found = map_(true, unit)
    hits = true > 1
    assert float((found - true)[hits].abs().mean()) < 0.05
    assert (found[true == 0] < 0.5).all()


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
    map_ = Calibration.fit(true[:, :1] + 0.3, unit, true[:, :1], unit)
    assert float((map_(true[:, :1] + 0.3, unit) - true[:, :1]).abs().mean()) < 0.05


def test_too_few_showers_are_refused() -> None:
    true, unit = sample(300, 0, 0)
    more = sample(6000, 0, 0)
    for sides in ((true, unit, *more), (*more, true, unit)):
        with pytest.raises(BudgetError, match="300 showers are too few"):
            Calibration.fit(*sides)


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
