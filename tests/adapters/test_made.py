"""Showers to calibrate with: of the true ones' energies, and as the codec would get them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from calo import shower_model, showers, told
from hasten.adapters import made
from hasten.adapters.showers import Showers
from hasten.models.calibration import Calibration
from hasten.models.scale import conserve
from hasten.solvers import sample, stock_plan


def test_energies_are_those_of_the_true_showers_at_even_ranks() -> None:
    codec = told(shower_model(), 3000).codec
    assert isinstance(codec, Showers)
    assert codec.true is not None
    unit = codec.energies.unit(showers(3000)[1])
    parts = list(made.batches(codec.true, 520))
    assert [len(each) for each, _ in parts] == [50] * 10 + [20]
    found = torch.cat([each for each, _ in parts])
    assert float(found.mean()) == pytest.approx(float(unit.mean()), abs=1e-3)
    ranks = (torch.arange(520) + 0.5) / 520
    torch.testing.assert_close(found, unit.quantile(ranks), atol=5e-3, rtol=0)
    seeds = [seed for _, some in parts for seed in some]
    assert seeds == list(range(made.FIRST_SEED, made.FIRST_SEED + 520))


def test_numbers_are_those_that_become_showers_before_any_calibration() -> None:
    model = shower_model()
    codec = model.codec
    assert isinstance(codec, Showers)
    plan, seeds = stock_plan(model.process, "euler", "karras", 2), range(5, 9)
    unit = torch.linspace(-1, 1, 4)
    incident = codec.energies.of_unit(unit).clamp(1e3, 1e5)
    found = made.numbers(model, codec, plan, unit, seeds)
    encoded = codec.encode(incident, seeds)
    assert encoded is not None
    totals = codec.totals(encoded)
    flat = found.reshape(*totals.shape, -1)
    cells = conserve(codec.scale.inverse(flat), totals, codec.scale.threshold, flat).flatten(1)
    torch.testing.assert_close(cells, sample(model, plan, seeds, incident), rtol=1e-4, atol=1e-3)
    table = torch.linspace(0, 8, 64).square().repeat(2, 3, 1)
    mapped = dataclasses.replace(codec, calibration=Calibration(8.0, table, 1.0))
    again = made.numbers(model.replace(codec=mapped), mapped, plan, unit, seeds)
    assert torch.equal(again, found)
