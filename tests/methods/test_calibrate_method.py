"""Calibrate: maps of a recipe's own, made of its samples as they come out with all of it on."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from calo import ENERGIES, SCALE, SMALL, shower_model, showers, told
from hasten.adapters.cells import Cells
from hasten.adapters.showers import Showers
from hasten.applying import apply
from hasten.core.model import Model
from hasten.errors import MethodError
from hasten.methods.cache import Cache
from hasten.methods.calibrate import Calibrate
from hasten.models.calibration import Calibration
from hasten.models.mixture import mixture_model
from hasten.recipe import PlanSpec, Recipe

SPEC, HELD = (PlanSpec("euler", "karras", 4, reuse=reuse) for reuse in ("full", "every:2"))
CACHE, CALIBRATE = Cache(depth=0.3, hold="output"), Calibrate(500)


@pytest.fixture
def model() -> Model:
    """A model that makes far too many hits, and knows how true showers are spread."""
    plain = shower_model()
    codec = plain.codec
    assert isinstance(codec, Showers)
    for name, parameter in plain.net.named_parameters():
        if ".steer." in name:
            torch.nn.init.normal_(parameter, std=0.5)  # or the gates would hide what is held
    return told(plain.replace(codec=dataclasses.replace(codec, centre=2.0)))


def made(model: Model, recipe: Recipe, incident: Tensor) -> Tensor:
    with apply(model, recipe) as fast:
        return fast.sample(range(len(incident)), incident)


def maps(model: Model, recipe: Recipe) -> Tensor:
    with apply(model, recipe) as fast:
        codec = fast.model.codec
    assert isinstance(codec, Showers)
    assert codec.calibration is not None
    return codec.calibration.table


def test_there_are_about_as_many_hits_as_in_true_showers(model: Model) -> None:
    cells, incident = showers(400)
    true = float((cells > 0).float().mean())
    before, after = (
        float((made(model, Recipe(SPEC, methods), incident) > 0).float().mean())
        for methods in ((), (CALIBRATE,))
    )
    assert abs(after - true) < 0.2 * abs(before - true)


def test_what_does_not_know_true_showers_is_refused_in_words(model: Model) -> None:
    assert CALIBRATE.obstacles(model) == []
    codec = model.codec
    assert isinstance(codec, Showers)
    alone = model.replace(codec=Cells(SMALL, ENERGIES, SCALE, 0.4, 1.2))
    for other in (mixture_model(), alone):
        with pytest.raises(MethodError, match="only what a shower model with a layer model"):
            CALIBRATE.require(other)
    maps = Calibration(8.0, torch.linspace(0, 8, 64).repeat(2, 3, 1), SCALE.gap)
    untold = model.replace(codec=dataclasses.replace(codec, true=None, calibration=maps))
    with pytest.raises(MethodError, match="how the cells of true showers are spread") as caught:
        made(untold, Recipe(SPEC, (CALIBRATE,)), torch.tensor([2e3]))
    assert "hasten calibrate FOLDER --data" in caught.value.hint


@pytest.mark.parametrize("showers", [100, 50_000])
def test_the_number_of_showers_has_bounds(showers: int) -> None:
    with pytest.raises(MethodError, match="out of range"):
        Calibrate(showers)


def test_maps_are_made_with_what_is_attached(model: Model) -> None:
    held = maps(model, Recipe(HELD, (CALIBRATE, CACHE)))
    whole = maps(model, Recipe(SPEC, (CALIBRATE,)))
    neutral = maps(model, Recipe(HELD, (CALIBRATE, Cache.neutral())))
    assert torch.equal(neutral, whole)
    assert float((held - whole).abs().mean()) > 1e-3


def test_what_is_attached_still_works_under_the_maps(model: Model) -> None:
    """Wrapped modules go by the clock of the model they were attached to."""
    incident = torch.logspace(3, 5, 20)
    with apply(model, Recipe(HELD, (CACHE, CALIBRATE))) as fast:
        held, codec = fast.sample(range(20), incident), fast.model.codec
    with apply(model.replace(codec=codec), Recipe(HELD, (CACHE,))) as fast:
        assert torch.equal(fast.sample(range(20), incident), held)
    with apply(model.replace(codec=codec), Recipe(SPEC)) as fast:
        assert not torch.equal(fast.sample(range(20), incident), held)


def test_the_model_given_is_left_as_it_was(model: Model) -> None:
    before, net, clock = repr(model.codec), model.net, model.clock
    made(model, Recipe(HELD, (CACHE, CALIBRATE)), torch.tensor([2e3]))
    assert (repr(model.codec), model.net, model.clock) == (before, net, clock)


def test_maps_for_all_do_not_change_those_of_a_recipe(model: Model) -> None:
    codec = model.codec
    assert isinstance(codec, Showers)
    common = Calibration(8.0, torch.linspace(0, 8, 64).square().repeat(2, 3, 1), SCALE.gap)
    mapped = model.replace(codec=dataclasses.replace(codec, calibration=common))
    recipe = Recipe(SPEC, (CALIBRATE,))
    assert torch.equal(maps(model, recipe), maps(mapped, recipe))


def test_progress_is_told(model: Model) -> None:
    heard = list[tuple[int, int]]()
    with apply(model, Recipe(SPEC, (Calibrate(510),)), progress=lambda *given: heard.append(given)):
        pass
    assert heard == [(done, 510) for done in (*range(50, 501, 50), 510)]
