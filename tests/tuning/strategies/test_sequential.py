"""The sequential search on a small U-ViT that can hold its blocks, from beginning to end."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from driver import answer

import nets
from hasten.core.model import Model
from hasten.methods.cache import Cache
from hasten.recipe import spell
from hasten.solvers import stock_plan
from hasten.tuning.bench import Bench
from hasten.tuning.seeds import stream
from hasten.tuning.speeds import Speeds
from hasten.tuning.strategies import sequential
from hasten.tuning.strategies.learned import LEARNED, REFINED
from hasten.tuning.strategies.trial import Care, Space, Trial
from hasten.tuning.teacher import converged_plan, teach

TACTIC = Cache(depth=0.6)
STEPS = 3
FIELDS = sequential.MORE + 1


@pytest.fixture(scope="module")
def space() -> Space:
    model: Model = nets.uvit()
    cond = torch.arange(8) % 10
    teacher = teach(model, converged_plan(model.process, 8), stream(0, "train", 8), cond)
    bench = Bench(model, teacher, teacher, Speeds(1.0, 10.0, {spell(TACTIC): 2.5}))
    return Space(bench, STEPS, (TACTIC,))


@pytest.fixture(scope="module")
def batches(space: Space) -> list[Sequence[Trial]]:
    search, found = sequential.propose(space, np.random.default_rng(0)), list[Sequence[Trial]]()
    with contextlib.suppress(StopIteration):
        found.append(next(search))
        while True:
            found.append(search.send([answer(space, each, 1) for each in found[-1]]))
    return found


def test_plans_come_first_and_then_what_they_hold(
    space: Space, batches: list[Sequence[Trial]]
) -> None:
    turn = [[each.candidate for each in batch] for batch in batches[: 3 * FIELDS + 1]]
    *plans, last = turn
    assert not any(any(each.held) for batch in plans for each in batch)
    rows = [len(each.held) for batch in plans for each in batch]
    assert set(rows) == set(range(STEPS, STEPS + FIELDS))
    assert rows == sorted(rows)
    assert last
    assert all(any(each.held) and not each.held[0] and space.fits(each) for each in last)
    assert {len(each.held) for each in last} == set(rows)


def test_with_trials_left_the_next_best_beginnings_have_their_turn(
    batches: list[Sequence[Trial]],
) -> None:
    first, rest = batches[: 3 * FIELDS + 1], batches[3 * FIELDS + 1 :]
    turns = REFINED // LEARNED
    assert len(rest) == (turns - 1) * (FIELDS + 1)
    learned = [trial for batch in batches for trial in batch if trial.start is not None]
    assert len({trial.start.fingerprint() for trial in learned if trial.start}) == len(learned)
    assert len(learned) == REFINED * FIELDS
    for k in range(1, turns):
        *plans, last = rest[(k - 1) * (FIELDS + 1) : k * (FIELDS + 1)]
        assert all(trial.care is Care.LEARN for batch in plans for trial in batch)
        assert last
        assert all(any(trial.candidate.held) for trial in last)
        before = {trial.candidate.key() for trial in first[-1]}
        assert before.isdisjoint(trial.candidate.key() for trial in last)


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
