"""Searches of plans on the analytic mixture, from beginning to end."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import nets
from hasten.applying import apply
from hasten.core.model import Model
from hasten.core.plan import FULL
from hasten.core.process import DiscreteVP, Eps
from hasten.errors import BudgetError, RecipeError, RunError
from hasten.methods.cache import Cache
from hasten.models.mixture import mixture_model
from hasten.recipe import Recipe, spell
from hasten.tuning import find as finding
from hasten.tuning.find import Plans, find_plan
from hasten.tuning.seeds import drawn_conditions, stream
from hasten.tuning.space import Candidate
from hasten.tuning.speeds import Speeds
from hasten.tuning.strategies import STRATEGIES, Space, Strategy, Trial
from hasten.tuning.strategies.trial import Search
from hasten.tuning.teacher import converged_plan

SPEEDS = Speeds(1.0, 10.0, {})


@pytest.fixture(scope="module")
def model() -> Model:
    return mixture_model()


def find(model: Model, journal: Path, strategy: str = "usf", trials: int = 60) -> Plans:
    return find_plan(
        model, 5, strategy=strategy, trials=trials, speeds=SPEEDS, journal=journal / "trials.jsonl"
    )


@pytest.mark.parametrize(
    ("strategy", "most"),
    [("joint", 0.02), ("learned", 0.02), ("gits", 0.06), ("usf", 0.08), ("autodiffusion", 0.25)],
)
def test_every_strategy_reaches_what_is_known_of_it(
    model: Model, tmp_path: Path, strategy: str, most: float
) -> None:
    plans = find(model, tmp_path, strategy, 200)
    found, stock = plans.errors
    assert found.mean() < most
    assert len(found) == len(stock) == 128
    assert plans.best.plan.nfe == 5
    if strategy != "autodiffusion":  # with DDIM alone it is behind the best solvers
        assert found.mean() < 0.7 * stock.mean()
    assert plans.trials <= 200


def test_a_search_that_was_cut_off_ends_the_same(model: Model, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = find(model, tmp_path / "whole")
    lines = (tmp_path / "whole" / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "trials.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]) + b'{"key": "9')
    again = find(model, tmp_path)
    assert again.recipe == whole.recipe
    assert np.array_equal(again.errors, whole.errors)
    assert (again.trials, again.evaluations) == (whole.trials, whole.evaluations)
    assert whole.evaluations >= 60 * 96  # the first row of a plan, on every trajectory
    other = (tmp_path / "trials.jsonl").read_bytes().splitlines()
    assert [line.split(b'"clock"')[0] for line in other] == [
        line.rstrip().split(b'"clock"')[0] for line in lines
    ]


def test_what_cannot_be_searched_is_refused(model: Model, tmp_path: Path) -> None:
    journal = tmp_path / "trials.jsonl"
    with pytest.raises(RecipeError, match="strategy"):
        find_plan(model, 5, strategy="luck", journal=journal)
    with pytest.raises(BudgetError, match="0 evaluations"):
        find_plan(model, 0, journal=journal)
    with pytest.raises(BudgetError, match="0 trials"):
        find_plan(model, 5, trials=0, journal=journal)
    find(model, tmp_path, "gits", 2)
    with pytest.raises(RunError, match="another model or with other settings"):
        find(model, tmp_path, "usf", 2)


TABLE = DiscreteVP.from_betas(np.array([0.1, 0.2, 0.3, 0.4, 0.5]))
"""Five noise levels: no plan of eight evaluations, and of nine that of Heun alone."""


def find_short(evaluations: int, strategy: str, folder: Path) -> Plans:
    return find_plan(
        mixture_model(TABLE, Eps()),
        evaluations,
        strategy=strategy,
        trials=5,
        speeds=SPEEDS,
        journal=folder / "trials.jsonl",
    )


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_net_of_few_levels_is_not_searched_for_many(strategy: str, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="no stock sampler takes 8") as caught:
        find_short(8, strategy, tmp_path)
    assert "fewer evaluations" in caught.value.hint
    assert not any(tmp_path.iterdir()), "said before anything is computed"


# AutoDiffusion may as well take fewer steps than there is time for
@pytest.mark.parametrize("strategy", ["joint", "sequential", "learned", "gits", "usf"])
def test_a_search_that_can_try_nothing_says_so(strategy: str, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="no plan of 9 evaluations could be tried") as caught:
        find_short(9, strategy, tmp_path)
    assert caught.value.where == strategy
    assert "fewer evaluations" in caught.value.hint


def too_slow(space: Space, rng: np.random.Generator) -> Search:
    """One plan, of one evaluation more than there is time for."""
    yield [Trial(Candidate.stock("ddim", "karras", space.evaluations + 1))]


def test_a_search_that_tries_nothing_of_use_says_so(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "STRATEGIES", {"slow": Strategy("slow", too_slow, "", "")})
    with pytest.raises(BudgetError, match="of 1 plans tried none") as caught:
        find(model, tmp_path, "slow")
    assert caught.value.where == "slow"
    assert "more trials" in caught.value.hint


def test_one_evaluation_is_enough(model: Model, tmp_path: Path) -> None:
    for strategy in STRATEGIES:
        plans = find_plan(
            model,
            1,
            strategy=strategy,
            trials=5,
            speeds=SPEEDS,
            journal=tmp_path / f"{strategy}.jsonl",
        )
        assert plans.best.plan.nfe == 1


def under(model: Model, label: int, journal: Path) -> Plans:
    return find_plan(
        model,
        2,
        strategy="gits",
        trials=3,
        speeds=SPEEDS,
        conditions=lambda seeds: torch.full((len(seeds),), label),
        journal=journal,
    )


def test_searches_with_other_classes_do_not_share_what_they_know(tmp_path: Path) -> None:
    model = nets.uvit()
    alone = under(model, 1, tmp_path / "alone" / "1.jsonl")
    under(model, 0, tmp_path / "0.jsonl")
    assert np.array_equal(under(model, 1, tmp_path / "1.jsonl").errors, alone.errors)
    with pytest.raises(RunError, match="another model or with other settings"):
        under(model, 1, tmp_path / "0.jsonl")


def far(plans: Plans, model: Model, guidance: float, count: int = 128) -> float:
    """Mean RMSE of a found recipe to the converged samples, both by the public way of sampling."""
    seeds = stream(0, "plan-fresh", count)
    cond = drawn_conditions(model)(seeds)
    exact = Recipe(converged_plan(model.process))
    ends = []
    for recipe in (plans.recipe, exact):
        with apply(model, recipe, guidance=guidance) as fast:
            ends.append(fast.sample(seeds, cond))
    return float((ends[0] - ends[1]).square().flatten(1).mean(1).sqrt().mean())


def test_a_guided_search_is_judged_under_its_guidance(tmp_path: Path) -> None:
    model = mixture_model(labels=(0, 0, 1, 1))
    plans = find_plan(
        model, 5, trials=60, guidance=2.0, speeds=SPEEDS, journal=tmp_path / "trials.jsonl"
    )
    assert plans.errors[0].mean() == pytest.approx(far(plans, model, 2.0), rel=1e-3)
    assert plans.errors[0].mean() < plans.errors[1].mean()
    # a plan for guided samples is not one for others: the weight was there all along
    assert far(plans, model, 1.0) != pytest.approx(plans.errors[0].mean(), rel=0.05)


def only_held(space: Space, rng: np.random.Generator) -> Search:
    """What the joint search proposes first that holds rows, and nothing else."""
    search = STRATEGIES["joint"].propose(space, rng)
    batch = next(search)
    while not any(any(trial.candidate.held) for trial in batch):
        batch = search.send([space.bench.score(trial.candidate, 1) for trial in batch])
    yield [trial for trial in batch if any(trial.candidate.held)]


def test_held_rows_of_a_found_plan_are_held_when_it_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tactic = dataclasses.replace(nets.uvit(), name="toy"), Cache(depth=0.6)
    holding = Strategy("held", only_held, "", "", reuses=True)
    monkeypatch.setattr(finding, "STRATEGIES", {"held": holding})
    monkeypatch.setattr(finding, "tactics", lambda _: [tactic])
    for name in ("TRAIN", "VALID", "FRESH"):
        monkeypatch.setattr(finding, name, 8)
    plans = find_plan(
        model,
        4,
        strategy="held",
        trials=12,
        speeds=Speeds(0.0, 10.0, {spell(tactic): 2.5}),
        journal=tmp_path / "trials.jsonl",
    )
    assert plans.recipe.methods == (tactic,)
    assert any(not entry.full for entry in plans.best.plan.reuse)
    assert plans.errors[0].mean() == pytest.approx(far(plans, model, 1.0, 8), rel=1e-3)
    # without the mechanism the same rows end elsewhere
    rows = [dataclasses.replace(row, reuse=FULL) for row in plans.best.plan.rows]
    full = Recipe(dataclasses.replace(plans.best.plan, rows=tuple(rows)))
    seeds = range(4)
    cond = drawn_conditions(model)(seeds)
    with apply(model, plans.recipe) as fast:
        held = fast.sample(seeds, cond)
    with apply(model, full) as slow:
        assert not torch.allclose(slow.sample(seeds, cond), held, atol=1e-3)
