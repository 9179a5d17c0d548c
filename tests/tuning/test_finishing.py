"""Every arm has its output finished alike, and the search by trajectories does not see it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from calo import shower_model, told
from hasten.core.method import Artifact, Given
from hasten.methods.cache import Cache
from hasten.methods.calibrate import Calibrate
from hasten.recipe import PlanSpec, Recipe, spell
from hasten.tuning.bench import Bench
from hasten.tuning.journal import Journal
from hasten.tuning.search import Search
from hasten.tuning.seeds import stream
from hasten.tuning.settings import Settings
from hasten.tuning.speeds import Speeds
from hasten.tuning.teacher import converged_plan, teach

CACHE = Cache(depth=0.3, hold="output")
GIVEN = Recipe(PlanSpec("heun", "karras", 3))
OWN = Recipe(PlanSpec("euler", "karras", 3), (Calibrate(700),))


@pytest.fixture
def bench() -> Bench:
    model, seeds = told(shower_model()), stream(0, "train", 8)
    energies = torch.logspace(3.1, 4.9, 8)
    teacher = teach(model, converged_plan(model.process, 12), seeds, energies)
    return Bench(model, teacher, teacher, Speeds(1.0, 10.0, {spell(CACHE): 5.0}))


def test_what_is_proposed_has_it_and_what_is_given_stays(bench: Bench, tmp_path: Path) -> None:
    settings = Settings(trials=400, seeds=8, recipes=(GIVEN.to_dict(), OWN.to_dict()))
    journal = Journal(tmp_path / "trials.jsonl")
    search = Search(bench, journal, settings, [CACHE], lambda _share, _message: None)
    stock, family, fitted = search.stock(3), search.family(3), search.fitted(3)
    proposed = [*stock, *family, *fitted, *search.keep(fitted)]
    assert proposed
    assert {each.recipe.methods for each in proposed} == {(Calibrate(),)}
    held = search.held(fitted[0], 28.0)
    assert held
    assert {each.recipe.methods for each in held} == {(CACHE, Calibrate())}
    assert [each.recipe for each in search.given()] == [GIVEN, OWN]


def test_nothing_is_prepared_to_tell_where_a_sample_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: Calibrate, given: Given) -> Artifact:
        raise AssertionError("prepared in vain")

    monkeypatch.setattr(Calibrate, "prepare", never)
    held = Recipe(PlanSpec("euler", "karras", 4, reuse="every:2"), (CACHE,))
    for recipe in (GIVEN, held):
        calibrated = recipe.also((Calibrate(),))
        assert bench.recipe_error(calibrated) == bench.recipe_error(recipe)
        assert bench.sample_errors(calibrated) == bench.sample_errors(recipe)


def test_a_recipe_keeps_what_it_has_of_a_name() -> None:
    assert GIVEN.also((Calibrate(),)).methods == (Calibrate(),)
    assert OWN.also((Calibrate(), CACHE)).methods == (Calibrate(700), CACHE)
    assert GIVEN.also(()) is GIVEN
    both = dataclasses.replace(GIVEN, methods=(Calibrate(), CACHE))
    assert both.ordered == (CACHE, Calibrate())
    assert both.transforms == ([], [Calibrate()])
