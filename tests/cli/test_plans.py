from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from hasten import cli
from hasten.cli import talk
from hasten.core.plan import from_dict
from hasten.core.process import VP
from hasten.loading import BUNDLED, load
from hasten.recipe import PlanSpec, Recipe
from hasten.report import svg
from hasten.solvers import stock_plan

RECIPES = sorted(BUNDLED.glob("*/recipes/*.toml"))


def plan(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["plan", *(str(word) for word in words)])


def failed(result: Result, *said: str) -> None:
    assert result.exit_code == talk.USAGE, result.output
    for word in said:
        assert word in result.stderr, result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) < 5


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A recipe with explicit rows."""
    path = tmp_path / "rows.toml"
    path.write_text(Recipe(stock_plan(VP(), "dpmpp_2m", "karras", 5)).dumps())
    return path


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A recipe in the short form."""
    path = tmp_path / "short.toml"
    path.write_text(Recipe(PlanSpec("unipc2", "karras", 6)).dumps())
    return path


@pytest.mark.parametrize("command", ["", "adaptive", "aim", "diff", "find", "plot", "show"])
def test_every_command_has_help(command: str) -> None:
    result = plan(*command.split(), "--help")
    assert result.exit_code == talk.OK
    assert "Usage:" in result.stdout


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_json_has_the_exact_rows_of_the_recipes_that_come_along(path: Path) -> None:
    model = path.parts[-3]
    result = plan("show", path.stem, model, "--format", "json")
    assert result.exit_code == talk.OK, result.output
    expected = Recipe.loads(path.read_text()).resolve(load(model).process)
    found = from_dict(json.loads(result.stdout))
    assert found == expected
    assert found.fingerprint() == expected.fingerprint()


def test_show_ends_with_the_sample_and_the_totals(rows: Path) -> None:
    result = plan("show", rows)
    assert result.exit_code == talk.OK, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        *("row", "step", "sigma", "log-SNR", "input", "x", "=", "outputs", "reuse")
    ]
    assert lines[1].split() == ["0", "0", "80", "-8.76", "start", "0", "full"]
    assert lines[6].split() == ["end", "0", "out[4]", "1"]
    made = Recipe.loads(rows.read_text()).plan
    assert not isinstance(made, PlanSpec)
    assert f"fingerprint      {made.fingerprint()}" in lines
    assert "evaluations      5: 5 full" in lines
    with_model = plan("show", rows, "fashion-unet").stdout.splitlines()
    assert "net's time" in with_model[0]
    assert with_model[-5:] == lines[-5:]


def test_a_short_form_needs_a_model(short: Path) -> None:
    for name in (short, "dpmpp_2m:karras:12"):
        failed(plan("show", name), "no rows yet", "name the MODEL as well", str(name))
    assert "unipc2 karras 6" in plan("show", short, "mixture").stdout
    assert "ddim uniform 3" in plan("show", "ddim:uniform:3", "mixture").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fast"], ["no such file", "MODEL", "solver:grid:steps"]),
        (["fasst", "fashion-unet"], ["no such recipe", "did you mean fast?"]),
        (["ddmi:karras:4", "mixture"], ["unknown solver 'ddmi'", "did you mean 'ddim'?"]),
        (["ddim:karas:4", "mixture"], ["unknown grid 'karas'", "ddim:karas:4"]),
        (["ddim:karras:x", "mixture"], ["'x' is no number of steps"]),
        (["ddim:karras:0", "mixture"], ["0 steps", "at least 1"]),
        (["ddim:ays_svd:5", "fashion-unet"], ["begins at sigma = 700", "ddim:ays_svd:5"]),
        (["ddim:karras:4", "fashion-nothing"], ["no such model"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_what_cannot_be_a_plan_is_refused_in_words(words: list[str], said: list[str]) -> None:
    failed(plan("show", *words), *said)
    failed(plan("diff", words[0], *words), *said)


def test_a_broken_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text('hasten = 1\n[plan]\nsolver = "ddim"\ngird = "karras"\n')
    failed(plan("show", path), "gird", str(path))


def test_a_plan_is_the_same_as_itself(rows: Path) -> None:
    result = plan("diff", "ddim:uniform:10", "ddim:uniform:10", "mixture")
    assert result.exit_code == talk.OK, result.output
    assert "the same in all 10 rows" in result.stdout
    found = json.loads(plan("diff", rows, rows, "--format", "json").stdout)
    assert found["equal"] is True
    assert found["differences"] == []
    assert found["a"] == found["b"]


def test_a_changed_noise_level_is_named_and_is_a_finding(rows: Path, tmp_path: Path) -> None:
    made = Recipe.loads(rows.read_text())
    sigma = from_dict(made.to_dict()["plan"]).rows[2].sigma
    other = tmp_path / "other.toml"
    other.write_text(rows.read_text().replace(repr(sigma), "2.5"))
    result = plan("diff", rows, other)
    assert result.exit_code == talk.FINDING, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["where", "sigma"]
    assert lines[1].split() == ["step", "2", f"{sigma:.4g}", "->", "2.5"]
    assert "differences  1 of 5 rows differ: sigma in 1" in lines
    result = plan("diff", rows, other, "--format", "json")
    assert result.exit_code == talk.FINDING
    found = json.loads(result.stdout)
    assert found["equal"] is False
    assert found["differences"] == [
        {"step": 2, "evaluation": 0, "only": None, "sigma": [sigma, 2.5], "coefficients": []}
    ]


def test_coefficients_in_json(rows: Path) -> None:
    found = json.loads(
        plan("diff", rows, "ddim:karras:5", "fashion-unet", "--format", "json").stdout
    )
    # the first two rows of DPM-Solver++ 2M are DDIM's
    assert [entry["step"] for entry in found["differences"]] == [2, 3, 4]
    first = found["differences"][0]["coefficients"]
    assert {c["term"] for c in first} == {"out of step 0", "out of step 1"}
    assert all(c["size"] == abs(c["a"] - c["b"]) for c in first)


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_pictures_are_written_whole(form: str, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / f"plan.{form}"
    result = plan("plot", rows, "ddim:uniform:50", "-m", "mixture", "-o", out)
    assert result.exit_code == talk.OK, result.output
    assert result.stdout.strip() == str(out)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert out.stat().st_size > 10_000
    if form == "png":
        with Image.open(out) as image:
            image.verify()


def test_a_picture_that_fails_leaves_the_old_one(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "plan.png"
    out.write_bytes(b"old")
    files = {path.name for path in tmp_path.iterdir()}
    failed(plan("plot", rows, "nothing", "-o", out), "no such file", "nothing")

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(svg, "standalone", full)
    assert plan("plot", rows, "-o", out).exit_code == talk.USAGE
    assert out.read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == files


def test_pictures_need_a_known_kind_of_file_and_rows(rows: Path, tmp_path: Path) -> None:
    failed(plan("plot", rows, "-o", tmp_path / "plan.gif"), ".gif", ".png, .svg or .pdf")
    failed(plan("plot", rows, "-o", tmp_path), "unknown kind of file")
    failed(plan("plot", "ddim:karras:4", "-o", tmp_path / "a.png"), "name the MODEL as well")
    assert not (tmp_path / "a.png").exists()
    assert plan("plot").exit_code == talk.USAGE


def test_find_searches_and_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "found.toml"
    words = ("find", "mixture", "-n", 4, "-s", "gits", "--trials", 12, "-o", path)
    first = plan(*words)
    assert first.exit_code == 0, first.output
    assert "off the shelf" in first.stdout
    again = plan(*words, "--format", "json")
    facts = json.loads(again.stdout)
    assert facts["trials"] == 12
    assert facts["recipe"] == str(path)
    assert facts["found"]["error"] + 2 * facts["difference_se"] < facts["stock"]["error"]
    assert facts["difference"] == pytest.approx(facts["found"]["error"] - facts["stock"]["error"])
    recipe = Recipe.loads(path.read_text())
    assert recipe.about["strategy"] == "gits"
    assert recipe.resolve(load("mixture").process).nfe == facts["found"]["rows"] == 4
    failed(plan(*words[:3], 5, *words[4:]), "another model or with other settings", "found.trials")
    failed(plan("find", "mixture", "-n", 4, "-s", "luck", "-o", path), "luck", "joint")


def test_aim_moves_a_plan_to_real_samples(tmp_path: Path) -> None:
    source, path = tmp_path / "mine.py", tmp_path / "aimed.toml"
    source.write_text("import nets\n\n\ndef make():\n    return nets.uvit()\n")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "real.npz", images=rng.integers(0, 256, (500, 16, 16), dtype=np.uint8))
    words = ("aim", f"{source}:make", "-r", "dpmpp_2m:trailing:2", "-n", 100, "--rounds", 1)
    words = (*words, "--reference", tmp_path / "real.npz", "-o", path)
    first = plan(*words)
    assert first.exit_code == 0, first.output
    assert "before" in first.stdout
    assert "aimed at all of it" in " ".join(first.stderr.split())
    facts = json.loads(plan(*words, "--format", "json").stdout)
    assert facts["after"]["value"] < facts["before"]["value"]
    recipe = Recipe.loads(path.read_text())
    assert recipe.about["distance"] == pytest.approx(facts["after"]["value"])
    assert recipe.about["distance_before"] == pytest.approx(facts["before"]["value"])
    words = ("aim", f"{source}:make", "-r", "dpmpp_2m:trailing:2")
    failed(plan(*words, "-o", tmp_path / "none.toml"), "nothing to aim at", "--reference")
    assert not (tmp_path / "none.toml").exists()
