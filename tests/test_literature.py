from __future__ import annotations

from pathlib import Path

import pytest

from hasten.applying import apply
from hasten.core.process import EDM
from hasten.errors import RecipeError
from hasten.literature import plans, published
from hasten.loading import load
from hasten.models.mixture import mixture_model
from hasten.recipe import Recipe

NFE = {
    "ddim-50": 50,
    "heun-18": 35,
    "dpmpp-2m-20": 20,
    "unipc-10": 10,
    "deepcache-5": 50,
    "ays-10": 10,
}


def test_the_plans_are_these() -> None:
    assert set(plans()) == set(NFE)


@pytest.mark.parametrize("name", list(NFE))
def test_a_published_plan_is_short_and_says_where_it_is_from(name: str) -> None:
    text = Path(plans()[name]).read_text()
    assert len(text.splitlines()) < 10
    recipe = published(name)
    assert recipe == Recipe.loads(text) == Recipe.loads(recipe.dumps())
    assert "arXiv" in str(recipe.about["paper"])
    assert recipe.resolve(EDM()).nfe == NFE[name]


@pytest.mark.parametrize("name", list(NFE))
def test_it_samples_the_mixture_or_says_why_not(name: str) -> None:
    model, recipe = mixture_model(), published(name)
    if name == "deepcache-5":
        (obstacle,) = recipe.obstacles(model)
        assert "nothing to hold" in obstacle.what
        return
    with apply(model, recipe) as fast:
        samples = fast.sample(range(400))
    centres = model.net.get_parameter("means")
    near = (samples[:, None] - centres).norm(dim=-1).min(1).values
    assert near.median().item() < 0.8  # of standard normals about the centres it would be 1.2


def test_deepcache_is_its_outermost_branch() -> None:
    """What is held is the input of the last block, so one block of each resolution's ends runs."""
    model, recipe = load("fashion-unet"), published("deepcache-5")
    assert recipe.obstacles(model) == []
    (method,) = recipe.methods
    cut = method.cut(model)  # type: ignore[attr-defined]
    assert cut.held == ("up_blocks.2.resnets.0",)
    plan = recipe.resolve(model.process)
    assert [i for i, entry in enumerate(plan.reuse) if entry.full] == list(range(0, 50, 5))


def test_unknown_names_are_told_the_nearest() -> None:
    with pytest.raises(RecipeError, match="unic-10") as caught:
        published("unic-10")
    assert "unipc-10" in caught.value.hint
