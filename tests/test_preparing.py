"""What a recipe has prepared is found again, and only where nothing it follows from has changed."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from calo import shower_model, told
from hasten.adapters.showers import Showers
from hasten.applying import apply
from hasten.core.method import Artifact, Given
from hasten.core.model import Model
from hasten.errors import StaleArtifact, WeightsError
from hasten.loading import BUNDLED, load
from hasten.methods.cache import Cache
from hasten.methods.calibrate import Calibrate
from hasten.preparing import ARTIFACTS, CACHE
from hasten.recipe import PlanSpec, Recipe
from hasten.tuning.space import finishing
from hasten.tuning.teacher import converged_plan

RECIPE = Recipe(PlanSpec("euler", "karras", 2), (Calibrate(500),))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache" / ARTIFACTS


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Plans that something is prepared for from now on."""
    found, real = list[str](), Calibrate.prepare

    def counting(self: Calibrate, given: Given) -> Artifact:
        found.append(given.plan.label)
        return real(self, given)

    monkeypatch.setattr(Calibrate, "prepare", counting)
    return found


@pytest.fixture
def model() -> Model:
    return told(shower_model())


def used(model: Model, recipe: Recipe = RECIPE, store: Path | None = None, seed: int = 0) -> Tensor:
    with apply(model, recipe, store=store, seed=seed) as fast:
        return fast.sample([1, 2, 3], torch.tensor([2e3, 1e4, 5e4]))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_recipe_is_prepared_once(model: Model, prepared: list[str], cache: Path) -> None:
    first = used(model)
    (name,) = files(cache)
    assert name.startswith("calibrate-")
    assert torch.equal(used(model), first)
    assert len(prepared) == 1
    assert torch.equal(used(model.replace(name="the same", card={"about": "more"})), first)
    renamed = dataclasses.replace(RECIPE, about={"speedup": 2.0})
    assert torch.equal(used(model, renamed), first)
    assert len(prepared) == 1


def test_it_is_prepared_again_whenever_something_it_follows_from_changes(
    model: Model, prepared: list[str], cache: Path
) -> None:
    used(model)
    net = copy.deepcopy(model.net)
    next(net.parameters()).data[0] += 1e-3
    codec = model.codec
    assert isinstance(codec, Showers)
    assert codec.true is not None
    higher = dataclasses.replace(codec.true, high=codec.true.high + 0.1)
    others: list[tuple[Model, Recipe, int]] = [
        (model, Recipe(PlanSpec("euler", "karras", 3), RECIPE.methods), 0),
        (model, dataclasses.replace(RECIPE, methods=(Calibrate(550),)), 0),
        (model, dataclasses.replace(RECIPE, methods=(Cache.neutral(), *RECIPE.methods)), 0),
        (model, RECIPE, 1),
        (model.replace(net=net), RECIPE, 0),
        (model.replace(codec=dataclasses.replace(codec, true=higher)), RECIPE, 0),
        (model.replace(codec=dataclasses.replace(codec, centre=0.5)), RECIPE, 0),
    ]
    for count, (which, recipe, seed) in enumerate(others, 2):
        for _ in range(2):
            used(which, recipe, seed=seed)
            assert len(prepared) == len(files(cache)) == count


def test_what_came_with_a_model_is_taken(
    model: Model, prepared: list[str], cache: Path, tmp_path: Path
) -> None:
    own = tmp_path / "model" / ARTIFACTS
    expected = used(model, store=own)
    assert len(files(own)) == 1
    assert files(cache) == []
    shipped = model.replace(card={"folder": str(tmp_path / "model")})
    assert torch.equal(used(shipped), expected)
    assert len(prepared) == 1
    assert files(cache) == []
    # what is new goes to the user's cache and not to the model's folder
    used(shipped, Recipe(PlanSpec("euler", "karras", 3), RECIPE.methods))
    assert (len(files(own)), len(files(cache)), len(prepared)) == (1, 1, 2)


def test_of_two_the_one_in_the_models_folder_is_taken(
    model: Model, cache: Path, tmp_path: Path
) -> None:
    own = tmp_path / "model" / ARTIFACTS
    expected = used(model, store=own)
    used(model)
    (name,) = files(own)
    (cache / name).write_bytes(b"damaged")
    assert torch.equal(used(model.replace(card={"folder": str(own.parent)})), expected)


def test_what_is_known_is_copied_to_the_store_that_is_asked_for(
    model: Model, prepared: list[str], cache: Path, tmp_path: Path
) -> None:
    used(model)
    store = tmp_path / "elsewhere"
    used(model, store=store)
    assert files(store) == files(cache)
    assert (store / files(store)[0]).read_bytes() == (cache / files(cache)[0]).read_bytes()
    assert len(prepared) == 1


@pytest.mark.parametrize("left", [0, 5, 300, -1])
def test_a_damaged_file_is_said(left: int, model: Model, cache: Path) -> None:
    used(model)
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(WeightsError, match="cannot be read") as caught:
        used(model)
    assert caught.value.where == str(path)
    assert "delete the file" in caught.value.hint
    path.unlink()
    used(model)


def test_other_tensors_are_no_artifact(model: Model, cache: Path) -> None:
    from safetensors.torch import save_file

    used(model)
    (path,) = cache.iterdir()
    save_file({"table": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="cannot be read"):
        used(model)


def test_what_was_prepared_for_another_recipe_is_refused(model: Model, cache: Path) -> None:
    used(model)
    (first,) = cache.iterdir()
    used(model, Recipe(PlanSpec("euler", "karras", 3), RECIPE.methods))
    (second,) = set(cache.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    with pytest.raises(StaleArtifact, match="another recipe or model"):
        used(model, Recipe(PlanSpec("euler", "karras", 3), RECIPE.methods))


@pytest.mark.parametrize("name", ["calo-geant4", "calo-gflash"])
def test_what_bundled_recipes_and_references_need_comes_along(
    name: str, prepared: list[str]
) -> None:
    model = load(name)
    fast = Recipe.loads((BUNDLED / name / "recipes" / "fast.toml").read_text("utf-8"))
    assert any(fast.transforms)
    for recipe in (fast, Recipe(converged_plan(model.process)).also(finishing(model))):
        with apply(model, recipe):
            assert prepared == []
