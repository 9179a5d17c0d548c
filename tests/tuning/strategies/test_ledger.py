"""A search that repeats itself, under a ledger."""

from __future__ import annotations

import dataclasses

import pytest

from hasten.core.process import VP
from hasten.solvers import stock_plan
from hasten.tuning.space import Candidate, Scored
from hasten.tuning.strategies.ledger import Ledger
from hasten.tuning.strategies.trial import Care, Search, Trial

PLAN = stock_plan(VP(), "ddim", "logsnr", 2)


def trial(steps: int) -> Trial:
    return Trial(Candidate.stock("ddim", "logsnr", steps))


def come_to(which: Trial, error: float) -> Scored:
    return Scored(which.candidate, PLAN, 1.0, error, 0)


def test_only_new_trials_are_passed_on_and_the_search_is_told_of_all() -> None:
    told = list[list[float]]()

    def search() -> Search:
        for batch in ([2, 3, 2], [3, 2], [4, 2]):
            told.append([each.error for each in (yield [trial(steps) for steps in batch])])

    ledger = Ledger()
    once = ledger.once(search())
    assert next(once) == [trial(2), trial(3)]
    assert once.send([come_to(trial(2), 0.2), come_to(trial(3), 0.3)]) == [trial(4)]
    with pytest.raises(StopIteration):
        once.send([come_to(trial(4), 0.4)])
    assert told == [[0.2, 0.3, 0.2], [0.3, 0.2], [0.4, 0.2]]
    assert [each.error for each in ledger.outcomes] == [0.2, 0.3, 0.4]
    assert ledger.entries[2][0] == trial(4)
    assert trial(4) in ledger
    assert trial(5) not in ledger
    assert list(ledger.once(search())) == [], "another search need not ask again"


def test_what_is_done_for_a_candidate_and_where_learning_begins_make_a_trial() -> None:
    ledger, plain = Ledger(), trial(2)
    rows = (PLAN.rows[0], dataclasses.replace(PLAN.rows[1], sigma=0.5))
    lower = dataclasses.replace(PLAN, rows=rows)
    others = [
        Trial(plain.candidate, Care.REFINE),
        Trial(plain.candidate, Care.LEARN, PLAN),
        Trial(plain.candidate, Care.LEARN, lower),
        Trial(plain.candidate, seeds=4),
    ]

    def search() -> Search:
        yield [plain, *others, *others]

    assert next(ledger.once(search())) == [plain, *others]


def test_a_budget_that_ends_within_a_batch_leaves_the_rest_untried() -> None:
    told = list[int]()

    def search() -> Search:
        told.append(len((yield [trial(2), trial(3), trial(4)])))
        yield [trial(3)]

    ledger = Ledger()
    once = ledger.once(search())
    next(once)
    assert once.send([come_to(trial(2), 0.2)]) == [trial(3)]
    assert told == [1]
    assert len(ledger) == 1
