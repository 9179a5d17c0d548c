from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from calo import NET, saved, told
from hasten import cli
from hasten.adapters.card import save_bundle
from hasten.cli import subjects, talk
from hasten.core.model import Classes, Model
from hasten.core.process import EDM
from hasten.errors import BudgetError, DataError, RecipeError
from hasten.loading import load
from hasten.methods.cache import Cache
from hasten.methods.calibrate import Calibrate
from hasten.models.mixture import mixture_model
from hasten.recipe import PlanSpec, Recipe
from hasten.solvers import sample, stock_plan


@pytest.fixture
def model() -> Model:
    return dataclasses.replace(
        mixture_model(), classes=Classes(3, null=3, names=("Bag", "Coat", "Boot"))
    )


def labels(model: Model, text: str | None, count: int = 5) -> list[int]:
    found: list[int] = subjects.conditions(model, range(count), classes=text).tolist()
    return found


def test_classes_are_taken_in_turn(model: Model) -> None:
    assert labels(model, None) == [0, 1, 2, 0, 1]
    assert labels(model, "2") == [2] * 5
    assert labels(model, "boot, 0") == [2, 0, 2, 0, 2]
    assert labels(model, "none", 2) == [3, 3]


@pytest.mark.parametrize("text", ["4", "shoe", "-1", ""])
def test_unknown_classes_are_refused_by_name(model: Model, text: str) -> None:
    if not text:
        assert labels(model, text) == labels(model, None)
        return
    with pytest.raises(DataError, match="no class") as caught:
        labels(model, text)
    assert "Bag, Coat, Boot" in caught.value.hint


def test_a_model_without_classes_takes_none() -> None:
    assert subjects.conditions(mixture_model(), range(4)) is None


def test_numbers_and_files_as_conditions(model: Model, tmp_path: Path) -> None:
    found = subjects.conditions(model, range(3), cond="10,20.5")
    assert found.tolist() == [10.0, 20.5, 10.0]
    table = np.arange(8.0).reshape(4, 2)
    np.save(tmp_path / "table.npy", table)
    found = subjects.conditions(model, range(3), cond=str(tmp_path / "table.npy"))
    torch.testing.assert_close(found, torch.from_numpy(table[:3]))
    with pytest.raises(DataError, match="4 conditions for 5"):
        subjects.conditions(model, range(5), cond=str(tmp_path / "table.npy"))
    with pytest.raises(DataError, match="neither numbers"):
        subjects.conditions(model, range(5), cond="ten")
    with pytest.raises(DataError, match="more than one kind"):
        subjects.conditions(model, range(5), classes="1", cond="10")


def test_recipes_that_come_with_a_model(model: Model, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    text = 'hasten = 1\n[plan]\nsolver = "heun"\ngrid = "karras"\nsteps = 4\n'
    (tmp_path / "recipes" / "fast.toml").write_text(text)
    assert subjects.open_recipe("fast", model, str(tmp_path)).label == "heun karras 4"
    with pytest.raises(RecipeError, match="no such recipe") as caught:
        subjects.open_recipe("fest", model, str(tmp_path))
    assert "did you mean fast?" in caught.value.hint
    assert "recipes of this model: fast; published plans: ays-10, ddim-50" in caught.value.hint


def test_published_plans_come_after_the_models_own(model: Model, tmp_path: Path) -> None:
    assert subjects.open_recipe("unipc-10", model, "mixture").label == "unipc3 logsnr 10"
    (tmp_path / "recipes").mkdir()
    text = 'hasten = 1\n[plan]\nsolver = "heun"\ngrid = "karras"\nsteps = 4\n'
    (tmp_path / "recipes" / "unipc-10.toml").write_text(text)
    assert subjects.open_recipe("unipc-10", model, str(tmp_path)).label == "heun karras 4"


def test_a_stock_plan_is_a_recipe(model: Model) -> None:
    recipe = subjects.open_recipe("dpmpp_2m:karras:4", model, "mixture")
    assert recipe == Recipe(PlanSpec("dpmpp_2m", "karras", 4))
    assert subjects.standalone("dpmpp_2m:karras:4") == recipe
    assert subjects.standalone("fast") is None
    for text, said in [
        ("dpmpp_2m:karras:x", "no number of steps"),
        ("dpmpp_2:karras:4", "unknown solver"),
        ("heun:karras:1001", "1001 steps"),
    ]:
        with pytest.raises(RecipeError, match=said) as caught:
            subjects.open_recipe(text, model, "mixture")
        assert caught.value.where == text


def test_commands_know_stock_plans(tmp_path: Path) -> None:
    made, plan = tmp_path / "x.npz", "dpmpp_2m:karras:4"
    for words in (
        ["sample", "mixture", "-n", "2", "-r", plan, "-o", made],
        ["check", plan, "mixture"],
    ):
        result = CliRunner().invoke(cli.app, [*map(str, words)])
        assert result.exit_code == talk.OK, result.output
    expected = sample(load("mixture"), stock_plan(EDM(), *plan.split(":")[:2], 4), range(2))
    np.testing.assert_allclose(np.load(made)["samples"], expected.numpy(), atol=1e-6)


def test_methods_may_follow_a_stock_plan(model: Model) -> None:
    spec = PlanSpec("euler", "karras", 3)
    assert subjects.standalone("euler:karras:3+calibrate") == Recipe(spec, (Calibrate(),))
    both = subjects.open_recipe("euler:karras:3+cache+calibrate", model, "mixture")
    assert both == Recipe(spec, (Cache(), Calibrate()))
    for text in ("euler:karras:3+calibrte", "euler:karras:3+"):
        with pytest.raises(RecipeError, match="unknown method") as caught:
            subjects.open_recipe(text, model, "mixture")
        assert caught.value.where == text
        assert "calibrate" in caught.value.hint


def test_check_knows_methods_after_a_stock_plan(tmp_path: Path) -> None:
    text, plain = "euler:karras:3+calibrate", saved(tmp_path)
    said = CliRunner().invoke(cli.app, ["check", text, str(tmp_path)])
    assert said.exit_code == talk.FINDING
    assert "hasten calibrate FOLDER --data" in " ".join(said.output.split())
    save_bundle(tmp_path, told(plain, 700), NET, {})
    said = CliRunner().invoke(cli.app, ["check", text, str(tmp_path)])
    assert said.exit_code == talk.OK, said.output
    assert "calibrate showers=1000" in said.output
    said = CliRunner().invoke(cli.app, ["check", "euler:karras:3+calibrte", str(tmp_path)])
    assert said.exit_code == talk.USAGE
    assert "unknown method 'calibrte'" in said.output


def test_positive() -> None:
    assert subjects.positive(1, "-n") == 1
    with pytest.raises(BudgetError):
        subjects.positive(0, "-n")
