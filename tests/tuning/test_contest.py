from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hasten.core.process import EDM
from hasten.errors import OutputError
from hasten.methods.calibrate import ROUGH, Calibrate
from hasten.recipe import Recipe
from hasten.tuning.contest import CLEAR, Contest, looks
from hasten.tuning.judging import edges
from hasten.tuning.settings import Settings
from hasten.tuning.space import Candidate, Scored


class Session:
    """Knows the truth about every candidate, and counts how often it is asked."""

    def __init__(self, truth: dict[str, float], seeds: int = 512, se: float = 0.4) -> None:
        self.truth, self.seeds, self.se = truth, range(seeds), se
        self.asked: list[tuple[str, int]] = []
        self.recipes: list[Recipe] = []

    def judge(self, recipe: Recipe, label: str, count: int) -> dict[str, Any]:
        self.asked.append((label, count))
        self.recipes.append(recipe)
        if label not in self.truth:
            raise OutputError("not a number", where=label)
        value, se = self.truth[label], self.se * (512 / count) ** 0.5
        ratio = {"value": 1 + value}
        return {"contrast": value, "se": se, "n": count, "critical": 1.645, "ratio": ratio}


def scored(steps: int) -> Scored:
    candidate = Candidate.stock("ddim", "karras", steps)
    plan = candidate.spec.resolve(EDM())
    return Scored(candidate, plan, float(steps), 0.1, 1)


def contest(session: Session) -> Contest:
    settings = Settings(search_samples=512, samples=1000)
    return Contest(session, settings)  # type: ignore[arg-type]


FIELD = [scored(steps) for steps in range(1, 13)]
LABELS = [each.label for each in FIELD]


def test_the_best_is_found_and_few_are_looked_at_closely() -> None:
    session = Session(dict(zip(LABELS, (2.0, 1.5, -3.0, 1.0, -0.5, *[3.0] * 7), strict=True)))
    court = contest(session)
    best = court.hold(FIELD)
    assert [each.label for each in best] == [LABELS[2], LABELS[4]]
    assert court.good(best[0])
    assert not court.good(best[1])  # nearly within, but a finalist like it often fails
    assert court.ratio(best[0]) == -2.0
    counts = [len([1 for _, count in session.asked if count == n]) for n in looks(512)]
    assert counts == [12, 2, 2, 2]


@pytest.mark.parametrize(("seeds", "early"), [(512, {64, 128}), (128, {64}), (64, set())])
def test_methods_are_rough_in_the_first_looks_but_not_in_the_last(
    seeds: int, early: set[int]
) -> None:
    whole, rough = Calibrate(2000), Calibrate(ROUGH)
    field = []
    for each in FIELD[:2]:
        candidate = dataclasses.replace(each.candidate, recipe=each.recipe.also((whole,)))
        field.append(dataclasses.replace(each, candidate=candidate))
    session = Session({each.label: -3.0 for each in field}, seeds)
    court = contest(session)
    best = court.hold(field)
    asked = zip(session.asked, session.recipes, strict=True)
    used = {(count, *recipe.methods) for (_, count), recipe in asked}
    assert used == {(n, rough if n in early else whole) for n in looks(seeds)}
    assert all(court.good(each) for each in best)
    assert [each.recipe for each in best] == [each.recipe for each in field]


def test_nothing_is_hopeless_on_rough_looks() -> None:
    candidate = dataclasses.replace(
        FIELD[0].candidate, recipe=FIELD[0].recipe.also((Calibrate(2000),))
    )
    only = dataclasses.replace(FIELD[0], candidate=candidate)
    session = Session({only.label: 20.0})
    assert contest(session).hold([only]) == [only]
    assert [count for _, count in session.asked] == [64, 128, 256]  # plain methods: 64 alone


def test_what_may_still_be_the_best_goes_on_but_no_more_than_half() -> None:
    session = Session(dict.fromkeys(LABELS, -3.0))
    contest(session).hold(FIELD)
    counts = [len([1 for _, count in session.asked if count == n]) for n in looks(512)]
    assert counts == [12, 6, 3, 2]


def test_a_hopeless_field_costs_one_look() -> None:
    session = Session(dict.fromkeys(LABELS, 20.0))
    court = contest(session)
    best = court.hold(FIELD)
    assert len(session.asked) == len(FIELD)
    assert court.comfort(best[0]) < CLEAR
    assert not any(map(court.good, best))


def test_what_leaves_the_numbers_loses() -> None:
    session = Session({LABELS[1]: -3.0})
    court = contest(session)
    assert court.hold(FIELD[:2])[0] is FIELD[1]
    assert not court.good(FIELD[0])
    assert court.comfort(FIELD[0]) == 0.0


def test_nobody_and_equals() -> None:
    session = Session(dict.fromkeys(LABELS, -3.0))
    court = contest(session)
    assert court.hold([]) == []
    assert court.hold([FIELD[0], FIELD[0]]) == [FIELD[0]]
    assert not court.known(FIELD[1])


@pytest.mark.parametrize(
    ("count", "expected"),
    [(50, [50]), (64, [64]), (200, [64, 128, 200]), (1000, [64, 128, 256, 512, 768, 1000])],
)
def test_looks_end_where_blocks_end(count: int, expected: list[int]) -> None:
    assert edges(count) == expected
    assert set(looks(count)) <= set(expected)
    assert looks(count)[-1] == count
