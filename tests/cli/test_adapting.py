"""``hasten plan adaptive``: what it writes is the plan that the pilot batch took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import hasten
from hasten.cli import app
from hasten.solvers import pilot
from hasten.tuning.seeds import drawn_conditions

SEEDS = range(5, 9)


def adaptive(*words: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["plan", "adaptive", *words])
    return found.exit_code, found.stdout, found.stderr


def test_the_recipe_makes_the_samples_of_the_pilot(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    words = ["--order", "2", "--rtol", "0.2", "--pilot", "4", "--seed", "5", "-o", str(path)]
    code, out, err = adaptive("fashion-uvit", *words, "--format", "json")
    assert code == 0, err
    model = hasten.load("fashion-uvit")
    cond = drawn_conditions(model)(SEEDS)
    found = pilot(model, SEEDS, cond, order=2, rtol=0.2)
    recipe = hasten.Recipe.loads(path.read_text())
    plan = recipe.resolve(model.process)
    facts = json.loads(out)
    assert facts["steps"] == len(found.sigmas)
    assert facts["evaluations"] == plan.nfe < 2 * len(found.sigmas)
    assert facts["recipe"] == str(path)
    assert [row.sigma for row in plan.rows if row.slot == 0] == list(found.sigmas)
    x0 = hasten.solvers.run(model, plan, SEEDS, cond)
    torch.testing.assert_close(x0, found.x0, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--rtol", "0"], "a tolerance is positive"),
        (["--rtol", "1e-6", "--atol", "1e-7", "--most", "9"], "9 evaluations do not suffice"),
        (["--rtol", "1e-6", "--most", "9"], "or a larger --most"),
        (["--order", "4"], "Invalid value for '--order'"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    tmp_path: Path, words: list[str], says: str
) -> None:
    code, _, err = adaptive("mixture", *words, "-o", str(tmp_path / "own.toml"))
    assert code
    assert says in err
    assert not (tmp_path / "own.toml").exists()
