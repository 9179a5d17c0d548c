"""The joint search: on the analytic mixture, and on a small U-ViT that can hold its blocks."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from driver import carry_out

import nets
from hasten.core.method import Tactic
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.core.process import DiscreteVP, Eps
from hasten.methods.cache import Cache
from hasten.models.mixture import mixture_model
from hasten.recipe import spell
from hasten.tuning.bench import Bench
from hasten.tuning.find import Plans, find_plan
from hasten.tuning.seeds import stream
from hasten.tuning.space import Candidate, Scored
from hasten.tuning.speeds import Speeds
from hasten.tuning.strategies import joint, rounds
from hasten.tuning.strategies.ledger import Ledger
from hasten.tuning.strategies.shapes import pattern_of, patterns
from hasten.tuning.strategies.trial import Care, Search, Space, Trial, best
from hasten.tuning.teacher import Teacher, converged_plan, teach

BUDGET = 120
SPEEDS = Speeds(1.0, 10.0, {})
GENTLE, STRONG = Cache(depth=0.6), Cache(depth=0.9)

Made = Sequence[tuple[Trial, Scored]]


def search(space: Space, most: int = BUDGET, seed: int = 0) -> Made:
    return carry_out(joint.propose(space, np.random.default_rng(seed)), space, most)


def names(made: Made) -> list[object]:
    return [
        (t.care, t.candidate.key(), t.start.fingerprint() if t.start else None) for t, _ in made
    ]


def nearest(made: Made) -> float:
    return best([scored for _, scored in made], 1)[0].error


@pytest.fixture(scope="module")
def mixture(model: Model, train: Teacher) -> Space:
    return Space(Bench(model, train, train, SPEEDS), 5)


@pytest.fixture(scope="module")
def mixed() -> Space:
    """A net that can hold rows, in two strengths."""
    model = nets.uvit()
    teacher = teach(model, converged_plan(model.process, 8), stream(0, "t", 8), torch.arange(8))
    speeds = Speeds(1.0, 10.0, {spell(GENTLE): 5.0, spell(STRONG): 2.5})
    return Space(Bench(model, teacher, teacher, speeds), 4, (GENTLE, STRONG))


@pytest.fixture(scope="module")
def whole(mixture: Space) -> Made:
    return search(mixture)


@pytest.fixture(scope="module")
def held(mixed: Space) -> Made:
    return search(mixed, 90)


def test_the_whole_budget_is_spent_on_different_trials(whole: Made, held: Made) -> None:
    assert (len(whole), len(held)) == (BUDGET, 90)
    for made in (whole, held):
        assert len(set(names(made))) == len(made)


def test_rounds_lead_on_from_the_first_pass(mixture: Space, whole: Made) -> None:
    first = carry_out(joint._first_pass(mixture), mixture)
    assert names(whole)[: len(first)] == names(first)
    assert nearest(whole) < 0.5 * nearest(first)
    learned = [trial for trial, _ in whole[len(first) :] if trial.care is Care.LEARN]
    assert len(learned) > (BUDGET - len(first)) / 3


def test_what_rounds_find_holds_on_other_trajectories(
    mixture: Space, whole: Made, valid: Teacher
) -> None:
    first = carry_out(joint._first_pass(mixture), mixture)
    check = dataclasses.replace(mixture.bench, valid=valid)
    errors = [
        check.recipe_error(best([s for _, s in made], 1)[0].recipe) or 0.0
        for made in (first, whole)
    ]
    assert 0 < errors[1] < 0.6 * errors[0]


def test_a_table_of_few_levels_is_exhausted() -> None:
    """With as many rows as levels there is one grid, and learning comes to an end."""
    model = mixture_model(DiscreteVP.from_betas(np.array([0.1, 0.3, 0.5])), Eps())
    teacher = teach(model, converged_plan(model.process), stream(0, "train", 16), None)
    space = Space(Bench(model, teacher, teacher, SPEEDS), 3)
    made = search(space, 1000)
    assert len(made) < 1000
    assert len(set(names(made))) == len(made)


def test_chance_comes_from_the_generator_alone(
    mixture: Space, mixed: Space, whole: Made, held: Made
) -> None:
    assert names(search(mixture, 60)) == names(whole[:60])
    assert names(search(mixed, 80)) == names(held[:80])
    other = names(search(mixture, 60, seed=1))
    first = len(carry_out(joint._first_pass(mixture), mixture))
    assert other[:first] == names(whole)[:first]
    assert other != names(whole[:60])


def test_a_search_cut_off_in_its_rounds_ends_the_same(tmp_path: Path) -> None:
    def find(folder: Path) -> Plans:
        journal = folder / "trials.jsonl"
        return find_plan(
            mixture_model(), 4, strategy="joint", trials=40, speeds=SPEEDS, journal=journal
        )

    (tmp_path / "whole").mkdir()
    once = find(tmp_path / "whole")
    lines = (tmp_path / "whole" / "trials.jsonl").read_bytes().splitlines(keepends=True)
    cut = next(k for k, line in enumerate(lines) if line.startswith(b'{"key": "30/'))
    (tmp_path / "trials.jsonl").write_bytes(b"".join(lines[:cut]))
    again = find(tmp_path)
    assert again.recipe == once.recipe
    assert np.array_equal(again.errors, once.errors)
    assert (again.trials, again.evaluations) == (40, once.evaluations)


def test_plans_hold_rows_and_stay_in_time(mixed: Space, held: Made) -> None:
    assert all(mixed.fits(trial.candidate) for trial, _ in held)
    tried = {(pattern_of(t.candidate), t.candidate.tactic) for t, _ in held}
    for tactic in mixed.options:
        shapes = set(patterns(mixed, tactic))
        assert shapes
        assert {(shape, tactic) for shape in shapes} <= tried


def test_rounds_learn_plans_of_both_kinds(mixed: Space, held: Made) -> None:
    first = len(carry_out(joint._first_pass(mixed), mixed))
    learned = [trial.candidate for trial, _ in held[first:] if trial.care is Care.LEARN]
    assert {any(each.held) for each in learned} == {False, True}
    begun, news = {_shape(trial) for trial, _ in held[:first] if trial.care is Care.LEARN}, []
    for care, batch in itertools.groupby([t for t, _ in held[first:]], lambda trial: trial.care):
        if care is Care.LEARN:
            news.append({_shape(trial) for trial in batch} - begun)
            begun |= news[-1]
    assert len(news) > 1
    assert all(news), "every round a shape that was not learned"
    numbers = [trial.candidate.recipe.plan for trial, _ in held[first:]]
    levels = {scored.plan.sigmas for trial, scored in held if trial.care is Care.LEARN}
    anew = {plan.sigmas for plan in numbers if isinstance(plan, Plan)}
    assert anew
    assert anew <= levels, "the numbers that learning found"


def _shape(trial: Trial) -> object:
    return pattern_of(trial.candidate), trial.candidate.tactic


def test_around_a_best_that_stays_the_best_everything_has_its_turn(mixed: Space) -> None:
    bench = mixed.bench
    levels = bench.model.process.snap(np.array([40.0, 8.0, 2.0, 0.4]))
    own = Candidate.of("dpmpp_2m", levels, held=[False, False, False, True], tactic=GENTLE)
    centre, tried = bench.score(own, 0), list[Candidate]()

    def worse(trial: Trial) -> Scored:
        tried.append(trial.candidate)
        plan = trial.start or trial.candidate.recipe.resolve(bench.model.process)
        return Scored(trial.candidate, plan, 0.0, 2 * centre.error, len(tried))

    ledger = Ledger()
    known = ledger.once(only([Trial(own)]))
    next(known)
    with pytest.raises(StopIteration):
        known.send([centre])
    going_on = ledger.once(rounds.rounds(mixed, ledger, np.random.default_rng(0)))
    batch = next(going_on)
    while len(tried) < 150:
        batch = going_on.send([worse(trial) for trial in batch])
    keys = {each.key() for each in tried}
    for proposed in (rounds._numbers(mixed, centre), rounds._shapes(mixed, centre)):
        wanted = {each.key() for each in proposed}
        assert len(wanted) > 4
        assert wanted <= keys


def only(batch: Sequence[Trial]) -> Search:
    yield batch


def test_numbers_are_kept_where_other_rows_are_held(mixed: Space) -> None:
    levels = mixed.bench.model.process.snap(np.array([40.0, 8.0, 2.0, 0.4]))

    def found(column: str, evaluations: int) -> set[tuple[str, Tactic | None]]:
        held = [row == "h" for row in column]
        own = Candidate.of("dpmpp_2m", levels, held=held, tactic=GENTLE)
        scored, space = (
            mixed.bench.score(own, 0),
            dataclasses.replace(mixed, evaluations=evaluations),
        )
        numbers = list(rounds._numbers(space, scored))
        for each in numbers:
            assert isinstance(each.recipe.plan, Plan)
            assert each.recipe.plan.with_reuse(scored.plan.reuse).rows == scored.plan.rows
        return {("".join("Fh"[hold] for hold in each.held), each.tactic) for each in numbers}

    columns = "FhFF", "FFhF", "FFFh"
    assert found("FFFF", 4) == set(itertools.product(columns, (GENTLE, STRONG)))
    fewer_or_other = {("FFFF", None), ("FhFF", GENTLE), ("FFhF", GENTLE)}
    more = {("FhFh", GENTLE), ("FFhh", GENTLE)}
    assert found("FFFh", 4) == more | fewer_or_other
    assert found("FFFh", 3) == more, "the others take longer than three evaluations"
