"""A recipe is aimed at data that the model does not quite meet, and told from fresh seeds."""

from __future__ import annotations

from pathlib import Path

import pytest
import small

from hasten.core.model import Model
from hasten.errors import PlanError
from hasten.measure.verdict import pairing
from hasten.recipe import PlanSpec, Recipe
from hasten.tuning import judging
from hasten.tuning.aiming import Better, aim_recipe
from hasten.tuning.standard import Standard, settle_given

START = Recipe(PlanSpec("dpmpp_2m", "karras", 3))


@pytest.fixture(scope="module")
def toy() -> Model:
    return small.model()


@pytest.fixture(scope="module")
def standard(toy: Model) -> Standard:
    found = settle_given(toy, None, small.real())
    assert found is not None
    return found


def aimed(toy: Model, standard: Standard, folder: Path, recipe: Recipe = START) -> Better:
    return aim_recipe(toy, recipe, standard, samples=200, fresh=600, rounds=2, folder=folder)


def test_fresh_samples_are_nearer_and_nothing_is_sampled_twice(
    toy: Model, standard: Standard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    better = aimed(toy, standard, tmp_path)
    before, after = better.before.distance, better.after.distance
    assert after.corrected + 3 * after.se < before.corrected / 3
    assert better.after.n == 600
    assert better.runs > 8
    assert pairing(better.before.features, better.after.features) > 0.5  # the same noise
    assert better.recipe.resolve(toy.process).nfe == 3

    def never(*_: object) -> None:
        raise AssertionError("sampled again")

    monkeypatch.setattr(judging.np, "savez_compressed", never)
    again = aimed(toy, standard, tmp_path)
    assert again.recipe.fingerprint() == better.recipe.fingerprint()


def test_a_plan_without_numbers_to_move_is_refused(
    toy: Model, standard: Standard, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="noise"):
        aimed(toy, standard, tmp_path, Recipe(PlanSpec("dpmpp_2m_sde", "karras", 3)))
    with pytest.raises(PlanError, match="one evaluation a step"):
        aimed(toy, standard, tmp_path, Recipe(PlanSpec("heun", "karras", 3)))
