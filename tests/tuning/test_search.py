"""What the cheap stage proposes, on a small U-ViT that can hold its blocks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import nets
from hasten.applying import apply
from hasten.core.model import Model
from hasten.measure.moments import Gaussian
from hasten.measure.reading import Reading
from hasten.methods.cache import Cache
from hasten.recipe import Recipe, spell
from hasten.tuning.bench import Bench
from hasten.tuning.journal import Journal
from hasten.tuning.search import Search
from hasten.tuning.seeds import stream
from hasten.tuning.settings import Settings
from hasten.tuning.speeds import Speeds
from hasten.tuning.teacher import Teacher, converged_plan, teach

TACTIC = Cache(depth=0.6)


@pytest.fixture(scope="module")
def small() -> tuple[Model, Teacher]:
    model = nets.uvit()
    seeds = stream(0, "train", 8)
    cond = None if model.classes is None else torch.arange(8) % model.classes.count
    return model, teach(model, converged_plan(model.process, 12), seeds, cond)


def search(small: tuple[Model, Teacher], journal: Path, trials: int = 400) -> Search:
    model, teacher = small
    bench = Bench(model, teacher, teacher, Speeds(1.0, 10.0, {spell(TACTIC): 2.0}))
    settings = Settings(trials=trials, seeds=8)
    return Search(bench, Journal(journal), settings, [TACTIC], lambda _share, _message: None)


def test_what_is_learned_comes_first_and_is_nearer(
    small: tuple[Model, Teacher], tmp_path: Path
) -> None:
    found = search(small, tmp_path / "trials.jsonl").fitted(3)
    learned, *refined = found
    assert all(learned.error <= each.error for each in refined)
    assert learned.plan != refined[0].plan
    assert learned.recipe.plan == learned.plan  # its rows are what a user would apply
    assert learned.plan.nfe == 3


def test_held_plans_are_tried_plain_fitted_and_learned(
    small: tuple[Model, Teacher], tmp_path: Path
) -> None:
    lab = search(small, tmp_path / "trials.jsonl")
    base = lab.fitted(3)[0]
    found = lab.held(base, 28.0)
    assert found
    assert all(any(each.candidate.held) and each.seconds < 28.0 for each in found)
    assert {each.candidate.fitted for each in found} == {True, False}
    plain = [each for each in found if not each.candidate.fitted]
    assert found[0].error < min(each.error for each in plain)


def test_a_search_that_goes_on_proposes_the_same(
    small: tuple[Model, Teacher], tmp_path: Path
) -> None:
    journal = tmp_path / "trials.jsonl"
    first = search(small, journal)
    before = [first.fitted(3), first.held(first.fitted(3)[0], 28.0)]
    spent = first.bench.evaluations
    second = search(small, journal)
    assert [second.fitted(3), second.held(second.fitted(3)[0], 28.0)] == before
    assert second.bench.evaluations == 0 < spent
    assert second.evaluations == first.evaluations


class Session:
    """Reads the samples themselves, and wants them wider than the model makes them."""

    def __init__(self, model: Model) -> None:
        self.model, self.labels = model, list[str]()
        wanted = np.eye(3)
        self.reference = SimpleNamespace(gaussian=Gaussian(np.full(3, 0.1), wanted))

    def reading(self, recipe: Recipe, label: str, count: int, *, model: Model) -> Reading:
        self.labels.append(label)
        seeds = range(min(count, 64))
        cond = None if self.model.classes is None else torch.arange(64) % self.model.classes.count
        with apply(model, recipe) as fast:
            samples = fast.sample(seeds, cond).flatten(1)
        return Reading(torch.stack([samples.mean(1), samples.std(1), samples[:, 0]], 1))


def test_an_aimed_plan_costs_trials_and_is_remembered(
    small: tuple[Model, Teacher], tmp_path: Path
) -> None:
    journal, session = tmp_path / "trials.jsonl", Session(small[0])
    lab = search(small, journal)
    base = lab.fitted(2)[0]
    before = lab.trials
    (found,) = lab.aimed(base, session)  # type: ignore[arg-type]
    assert found.plan != base.plan
    assert found.recipe.plan == found.plan
    assert found.label == base.label
    assert lab.trials - before >= len(session.labels) > 4
    again, other = Session(small[0]), search(small, journal)
    assert other.aimed(other.fitted(2)[0], again) == [found]  # type: ignore[arg-type]
    assert not again.labels
    assert other.trials == lab.trials
    poor = search(small, tmp_path / "poor.jsonl", trials=12)
    assert poor.aimed(poor.fitted(2)[0], session) == []  # type: ignore[arg-type]


def test_the_budget_ends_the_proposals(small: tuple[Model, Teacher], tmp_path: Path) -> None:
    lab = search(small, tmp_path / "trials.jsonl", trials=6)
    assert lab.fitted(3)
    assert lab.trials == 6
    assert lab.held(lab.fitted(3)[0] if lab.left else lab.stock(3)[0], 28.0) == []
    assert lab.stopped_by == "trials"
