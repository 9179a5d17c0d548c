"""Where held rows go, as plain combinatorics and by a table of times."""

from __future__ import annotations

import itertools

import pytest

import nets
from hasten.methods.cache import Cache
from hasten.recipe import spell
from hasten.tuning.bench import Bench
from hasten.tuning.seeds import stream
from hasten.tuning.speeds import Speeds
from hasten.tuning.strategies import shapes
from hasten.tuning.strategies.shapes import STALEST, Pattern, near, room, spread, timed
from hasten.tuning.strategies.trial import Space
from hasten.tuning.teacher import converged_plan, teach

GENTLE, STRONG = Cache(depth=0.6), Cache(depth=0.9)


@pytest.fixture(scope="module")
def space() -> Space:
    """A full row takes as long as two that are held gently or four that are held strongly."""
    model = nets.unet()
    teacher = teach(model, converged_plan(model.process, 2), stream(0, "train", 1), None)
    speeds = Speeds(1.0, 10.0, {spell(GENTLE): 5.0, spell(STRONG): 2.5})
    return Space(Bench(model, teacher, teacher, speeds), 4, (GENTLE, STRONG))


def flags(pattern: Pattern) -> str:
    return "".join("F" + "h" * count for count in pattern)


def pattern(text: str) -> Pattern:
    return tuple(map(len, text.split("F")[1:]))


def test_held_rows_are_spread_as_asked() -> None:
    assert spread(4, 4, 0.0) == (1, 1, 1, 1)
    assert spread(2, 4, 2.0) == (0, 0, 0, 2)
    assert spread(2, 4, -2.0) == (2, 0, 0, 0)
    assert max(spread(9, 3, 2.0)) == STALEST


@pytest.mark.parametrize("text", ["F", "FFF", "FhFF", "FhFFhhh", "FhhhFhhhF"])
def test_changes_are_all_that_there_are(text: str) -> None:
    """Against changes of the column itself, letter by letter."""

    def found(changes: object) -> list[str]:
        return sorted(map(flags, changes))  # type: ignore[call-overload]

    def allowed(texts: set[str]) -> list[str]:
        runs = {t: max(map(len, t.split("F"))) for t in texts}
        return sorted(t for t in texts if runs[t] <= STALEST)

    places = range(1, len(text))
    without = {text[:k] + text[k + 1 :] for k in places if text[k] == "h"}
    extra = {t[:k] + "h" + t[k:] for t in (text,) for k in range(1, len(text) + 1)}
    moved = {t[:k] + "h" + t[k:] for t in without for k in range(1, len(t) + 1)} - {text}
    flipped = {k: text[:k] + ("F" if text[k] == "h" else "h") + text[k + 1 :] for k in places}
    own = pattern(text)
    assert found(shapes.thinned(own)) == allowed(without)
    assert found(shapes.thickened(own)) == allowed(extra)
    assert found(shapes.moved(own)) == allowed(moved)
    assert found(shapes.firmed(own)) == allowed({flipped[k] for k in places if text[k] == "h"})
    assert found(shapes.softened(own)) == allowed({flipped[k] for k in places if text[k] == "F"})


def test_as_many_rows_are_held_as_there_is_time_for(space: Space) -> None:
    speeds = space.bench.speeds
    for full, tactic in itertools.product((1, 2, 3, 4), space.options):
        held = room(space, full, tactic)
        assert full * speeds.full + held * speeds.row(tactic) <= 4 * speeds.full
        if held < STALEST * full:
            assert full * speeds.full + (held + 1) * speeds.row(tactic) > 4 * speeds.full
    assert timed(space, (0, 0, 1), GENTLE) == (1, 0, 1)
    assert timed(space, (0, 0, 1), STRONG) == (2, 1, 1)
    assert timed(space, (3, 0, 1), GENTLE) == (1, 0, 1)
    assert timed(space, (1, 0, 0, 1), STRONG) == (0, 0, 0, 0)
    assert timed(space, (1, 0, 0, 0, 0), STRONG) == (0, 0, 0, 0, 0), "too slow, and nothing to drop"


def test_what_is_near_is_full_rows_traded_and_mechanisms_changed(space: Space) -> None:
    plain = set(near(space, (0, 0, 0, 0), None))
    assert {(timed(space, (0, 0, 1), GENTLE), GENTLE), ((2, 1, 1), STRONG)} <= plain
    mixed = set(near(space, (1, 0, 1), GENTLE))
    assert {((0, 1, 1), GENTLE), ((0, 0, 1), GENTLE), ((2, 1, 1), STRONG)} <= mixed
    assert ((0, 0, 0, 0), GENTLE) in mixed, "back to full rows alone"
    assert ((1, 0, 1), GENTLE) not in mixed
