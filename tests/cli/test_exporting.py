from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hasten.integrate.onnx import Written
from test_cli import RECIPE, failed, hasten


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the exporter was told."""
    told: dict[str, Any] = {}

    def write(model: Any, recipe: Any, path: Path, **form: Any) -> Written:
        told.update(form, model=model.name, recipe=recipe.label, path=path)
        return Written(path, ("Mind the seeds.",), 2e-6)

    monkeypatch.setattr("hasten.integrate.onnx.export_onnx", write)
    return told


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_a_graph_is_asked_for_as_told(asked: dict[str, Any], recipe: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.onnx"
    words = ("--noise", "seed", "--order", "r-phi-z", "--units", "GeV", "--columns", 8)
    words += ("--deposits",)
    result = hasten("export", "mixture", "-r", recipe, "--onnx", path, *words, "--seed", 7)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(path)
    assert "Mind the seeds." in result.stderr
    assert "to 2e-06" in result.stderr
    form = {"noise": "seed", "order": "r-phi-z", "units": "GeV", "columns": 8, "seed": 7}
    form["deposits"] = True
    assert {key: asked[key] for key in form} == form
    assert asked["guidance"] == 1.0
    assert "dpmpp_2m" in asked["recipe"]


def test_what_is_not_told_is_left_to_the_library(
    asked: dict[str, Any], recipe: Path, tmp_path: Path
) -> None:
    hasten("export", "mixture", "-r", recipe, "--onnx", tmp_path / "out.onnx")
    assert not {"noise", "seed", "order", "units", "columns", "deposits"} & asked.keys()
    words = ("--noise", "seed", "--seed", "none")
    hasten("export", "mixture", "-r", recipe, "--onnx", tmp_path / "out.onnx", *words)
    assert asked["seed"] is None


def test_combinations_that_mean_nothing_are_refused(
    asked: dict[str, Any], recipe: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out.onnx"
    base = ("export", "mixture", "-r", recipe)
    failed(hasten(*base, "--columns", 8), "--columns", "add --onnx")
    failed(hasten(*base, "--onnx", path, "-o", tmp_path / "out"), "not both")
    failed(hasten(*base, "--onnx", path, "--seed", 1), "--noise seed")
    words = ("--noise", "seed", "--seed", "one")
    failed(hasten(*base, "--onnx", path, *words), "neither a whole number nor none")
    assert asked == {}
    assert not path.exists()


def test_what_only_showers_have_is_refused_in_words(recipe: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.onnx"
    base = ("export", "mixture", "-r", recipe, "--onnx", path)
    failed(hasten(*base, "--columns", 8), "for models of showers")
    failed(hasten(*base, "--order", "r-phi-z"), "only cells in regular layers")
    failed(hasten(*base, "--noise", "seed"), "how many samples")
    failed(hasten(*base, "--deposits"), "only cells of showers have deposits")
    assert not path.exists()
