"""The sequential search on a small U-ViT that can hold its blocks, from beginning to end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import nets
from hasten.core.model import Model
from hasten.methods.cache import Cache
from hasten.recipe import spell
from hasten.solvers import stock_plan
from hasten.tuning.bench import Bench
from hasten.tuning.seeds import stream
from hasten.tuning.space import Scored
from hasten.tuning.speeds import Speeds
from hasten.tuning.strategies import sequential
from hasten.tuning.strategies.trial import Care, Space, Trial
from hasten.tuning.teacher import converged_plan, teach

TACTIC = Cache(depth=0.6)
STEPS = 3


@pytest.fixture(scope="module")
def space() -> Space:
    model: Model = nets.uvit()
    cond = torch.arange(8) % 10
    teacher = teach(model, converged_plan(model.process, 8), stream(0, "train", 8), cond)
    bench = Bench(model, teacher, teacher, Speeds(1.0, 10.0, {spell(TACTIC): 2.5}))
    return Space(bench, STEPS, (TACTIC,))


def answer(bench: Bench, trial: Trial) -> Scored:
    if trial.care is Care.REFINE:
        return bench.refine(trial.candidate, 1, seeds=8, rounds=1)
    if trial.start is not None:
        return bench.learn(trial.candidate, trial.start, 1, seeds=8, rounds=1)
    return bench.score(trial.candidate, 1)


def test_plans_come_first_and_then_what_they_hold(space: Space) -> None:
    search = sequential.propose(space, np.random.default_rng(0))
    batches = [next(search)]
    while True:
        try:
            batches.append(search.send([answer(space.bench, each) for each in batches[-1]]))
        except StopIteration:
            break
    *plans, last = [[each.candidate for each in batch] for batch in batches]
    assert not any(any(each.held) for batch in plans for each in batch)
    rows = [len(each.held) for batch in plans for each in batch]
    assert set(rows) == set(range(STEPS, STEPS + sequential.MORE + 1))
    assert rows == sorted(rows)
    assert last
    assert all(any(each.held) and not each.held[0] and space.fits(each) for each in last)
    assert {len(each.held) for each in last} == set(rows)


def test_many_rows_are_held_without_listing_all_choices(space: Space) -> None:
    plan = stock_plan(space.bench.model.process, "ddim", "logsnr", 40)
    slow = Space(space.bench, 25, (TACTIC,))
    found = sequential._columns(slow, plan, TACTIC, np.random.default_rng(0))
    assert len({each.key() for each in found}) == len(found) == sequential.COLUMNS
    assert {sum(each.held) for each in found} == {20}  # (40 - 25) * 10 / 7.5
    assert all(slow.fits(each) for each in found)
    again = sequential._columns(slow, plan, TACTIC, np.random.default_rng(0))
    assert again == found


def test_few_choices_are_all_taken() -> None:
    found = sequential._draw_rows(5, 2, 24, np.random.default_rng(0))
    assert sorted(found) == [(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)]
    assert len(sequential._draw_rows(5, 2, 4, np.random.default_rng(0))) == 4
    assert sequential._draw_rows(5, 2, 0, np.random.default_rng(0)) == []
