"""The way to the finalists, with a search and a judge that know the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hasten.core.process import EDM
from hasten.methods.cache import Cache
from hasten.tuning.contest import Contest
from hasten.tuning.hunt import WIDEST, Hunt
from hasten.tuning.settings import Settings
from hasten.tuning.space import Candidate, Scored

GOOD, BAD, LOST = -3.0, 0.5, 40.0


def scored(kind: str, solver: str, steps: int, seconds: float) -> Scored:
    candidate = Candidate(Candidate.stock(solver, "karras", steps).recipe, kind=kind)
    plan = candidate.spec.resolve(EDM())
    return Scored(candidate, plan, seconds, 0.1, 1)


class Session:
    """Judges by the kind of a candidate and the number of its evaluations."""

    seeds = range(256)

    def __init__(self, truth: Callable[[Any], float]) -> None:
        self.truth = truth
        self.asked: set[str] = set()

    def sound(self, recipe: Any, label: str) -> bool:
        return recipe.plan.solver != "lms4"

    def judge(self, recipe: Any, label: str, count: int) -> dict[str, Any]:
        self.asked.add(label)
        value = self.truth(recipe.plan)
        ratio = {"value": 1 + value / 10}
        return {"contrast": value, "se": 0.3, "n": count, "critical": 1.645, "ratio": ratio}


class Search:
    """Offers one stock sampler and one of our own for every number of evaluations."""

    def __init__(self, held: Sequence[Scored] = ()) -> None:
        self.scored: list[Scored] = []
        self.levels: list[int] = []
        self.left = True
        self.options = [Cache()] if held else []
        self._held = list(held)

    def stock(self, evaluations: int) -> list[Scored]:
        return [scored("stock", "ddim", evaluations, evaluations)]

    def given(self) -> list[Scored]:
        return []

    def family(self, steps: int) -> list[Scored]:
        self.levels.append(steps)
        return [scored("search", "dpmpp_2m", steps, steps)]

    def fitted(self, _: int) -> list[Scored]:
        return []

    def around(self, _: Sequence[Scored]) -> list[Scored]:
        return []

    def aimed(self, _: Scored, session: Any) -> list[Scored]:
        return []

    def held(self, _: Scored, limit: float) -> list[Scored]:
        return [each for each in self._held if each.seconds < limit]

    def keep(self, chosen: Sequence[Scored]) -> list[Scored]:
        self.scored += chosen
        return list(chosen)


def hunt(
    search: Search, stock_from: int, own_from: int, below: float = BAD, reference: int = WIDEST + 1
) -> Hunt:
    def truth(plan: Any) -> float:
        least = stock_from if plan.solver == "ddim" else own_from
        return GOOD if plan.steps >= least else below

    settings = Settings(search_samples=256, samples=1000, finalists=2)
    contest = Contest(Session(truth), settings)  # type: ignore[arg-type]
    return Hunt(search, contest, settings, reference)  # type: ignore[arg-type]


@pytest.mark.parametrize("least", [1, 2, 5, 8, 9, 13, 27, WIDEST])
def test_the_rival_is_the_fewest_evaluations_that_pass(least: int) -> None:
    rivals = hunt(Search(), least, 1).rivals()
    assert rivals[0].plan.nfe == least
    assert [r.plan.nfe for r in rivals] == sorted(r.plan.nfe for r in rivals)
    assert len(rivals) <= 2


def test_without_a_rival_the_nearest_is_named() -> None:
    rivals = hunt(Search(), WIDEST + 1, 1).rivals()
    assert [r.plan.nfe for r in rivals] == [WIDEST]


@pytest.mark.parametrize("reference", [1, 2, 5, 32])
def test_what_takes_as_long_as_the_speed_reference_is_no_rival(reference: int) -> None:
    widest = max(1, reference - 1)
    assert hunt(Search(), widest, 1, reference=reference).rivals()[0].plan.nfe == widest
    without = hunt(Search(), WIDEST + 1, 1, reference=reference).rivals()
    assert [r.plan.nfe for r in without] == [widest]


@pytest.mark.parametrize(("rival", "own"), [(6, 2), (6, 3), (6, 5), (14, 4), (14, 12)])
def test_the_fewest_steps_of_our_own_are_found(rival: int, own: int) -> None:
    search = Search()
    found = hunt(search, rival, own).ours([scored("stock", "ddim", rival, rival)])
    assert found[0].plan.nfe == own
    assert max(search.levels) < rival


def test_with_no_plan_of_our_own_the_nearest_to_good_are_named() -> None:
    search = Search()
    found = hunt(search, 6, 99).ours([scored("stock", "ddim", 6, 6.0)])
    assert len(found) == 2
    assert all(each.candidate.kind == "search" for each in found)


def test_a_lost_field_is_not_looked_around() -> None:
    class Watched(Search):
        def around(self, best: Sequence[Scored]) -> list[Scored]:
            pytest.fail(f"looked around {best[0].label}")

    hunt(Watched(), 6, 99, below=LOST).ours([scored("stock", "ddim", 6, 6.0)])


def test_held_rows_win_where_they_take_less_time() -> None:
    quick = scored("search", "unipc2", 5, 3.5)
    found = hunt(Search([quick]), 6, 4).ours([scored("stock", "ddim", 6, 6.0)])
    assert [each.seconds for each in found] == [3.5, 4]
    slow = scored("search", "unipc2", 5, 4.5)
    found = hunt(Search([slow]), 6, 4).ours([scored("stock", "ddim", 6, 6.0)])
    assert found[0].seconds == 4


def test_rows_may_be_held_in_the_rivals_plan_too() -> None:
    quick = scored("search", "unipc2", 6, 3.5)

    class Rival(Search):
        def held(self, base: Scored, limit: float) -> list[Scored]:
            return [quick] if base.candidate.kind == "stock" and quick.seconds < limit else []

    search = Rival([quick])
    found = hunt(search, 6, 4).ours([scored("stock", "ddim", 6, 6.0)])
    assert [each.seconds for each in found] == [3.5, 4]


def test_a_given_recipe_that_is_good_leaves_only_fewer_steps_to_look_for() -> None:
    own = scored("search", "unipc2", 3, 3.0)

    class Given(Search):
        def given(self) -> list[Scored]:
            return [own]

    search = Given()
    found = hunt(search, 6, 3).ours([scored("stock", "ddim", 6, 6.0)])
    assert found[0] is own
    assert set(search.levels) == {2}
    search = Given()
    found = hunt(search, 6, 4).ours([scored("stock", "ddim", 6, 6.0)])
    assert own not in found  # it is no good, so the search goes its way
    assert found[0].plan.nfe == 4


def test_given_recipes_are_good_or_not_each_by_itself() -> None:
    plans = [scored("search", "unipc2", steps, float(steps)) for steps in (4, 8, 16)]

    class Given(Search):
        def given(self) -> list[Scored]:
            return plans

    def truth(plan: Any) -> float:
        return GOOD - plan.steps if plan.steps >= 4 else BAD  # the slowest come nearest

    settings = Settings(search_samples=256, samples=1000, finalists=2)
    contest = Contest(Session(truth), settings)  # type: ignore[arg-type]
    found = Hunt(Given(), contest, settings)  # type: ignore[arg-type]
    assert found.ours([scored("stock", "ddim", 30, 30.0)]) == plans[:2]


def test_the_surroundings_of_a_promising_plan_are_looked_at_again() -> None:
    class Hill(Search):
        """Every look around finds a plan one better than before."""

        looks = 0

        def around(self, _: Sequence[Scored]) -> list[Scored]:
            self.looks += 1
            return [scored("search", "dpmpp_2m", 2 + self.looks, 2.0)]

    def looks(near: float) -> int:
        def truth(plan: Any) -> float:
            return {2: near, 3: near, 4: GOOD}.get(plan.steps, GOOD)

        search = Hill()
        settings = Settings(search_samples=256, samples=1000, finalists=2)
        contest = Contest(Session(truth), settings)  # type: ignore[arg-type]
        Hunt(search, contest, settings)._level(2)  # type: ignore[arg-type]
        return search.looks

    assert looks(near=-0.3) == 2  # promising, then good
    assert looks(near=BAD) == 1
    assert looks(near=LOST) == 0


def test_a_level_is_aimed_at_the_data_where_it_is_near_and_not_yet_good() -> None:
    class Archer(Search):
        shots, solver = 0, "unipc2"

        def aimed(self, _: Scored, session: Any) -> list[Scored]:
            self.shots += 1
            return [scored("search", self.solver, 4, 2.0)]

    def shot(near: float, solver: str = "unipc2", aims: bool = True) -> tuple[int, int]:
        def truth(plan: Any) -> float:
            return GOOD if plan.steps >= 4 else near

        search = Archer()
        search.solver = solver
        settings = Settings(search_samples=256, samples=1000, finalists=2)
        contest = Contest(Session(truth), settings)  # type: ignore[arg-type]
        found = Hunt(search, contest, settings, aims=aims)._level(2)  # type: ignore[arg-type]
        return search.shots, len(found)

    assert shot(near=BAD) == (1, 1)
    assert shot(near=BAD, solver="lms4") == (1, 0)  # it has lost in what was not aimed at
    assert shot(near=BAD, aims=False) == (0, 0)  # the same real samples judge
    assert shot(near=LOST) == (0, 0)
    assert shot(near=GOOD) == (0, 1)
