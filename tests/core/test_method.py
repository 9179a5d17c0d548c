"""Methods: conventions are checked when a class is made, ranges when a value is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import pytest

from hasten.core.method import (
    Aspect,
    Needs,
    Obstacle,
    Stage,
    Tactic,
    knob,
    knobs,
    refuse,
)
from hasten.errors import MethodError


@final
@dataclass(frozen=True)
class Dim(Tactic):
    name, stage, touches, needs, paper = "dim", Stage.CACHE, Aspect.DEPTH, Needs(), ""

    level: float = knob(0.5, low=0.0, high=1.0, help="how much")
    mode: str = knob("soft", choices=("soft", "hard"), help="how")
    sites: tuple[str, ...] = ()

    def obstacles(self, model):
        return []

    def attach(self, model, edit):
        pass

    @classmethod
    def neutral(cls):
        return cls(level=0.0)


def test_knobs_are_the_search_space():
    assert list(knobs(Dim)) == ["level", "mode"]
    assert (knobs(Dim)["level"].low, knobs(Dim)["level"].high) == (0.0, 1.0)
    assert knobs(Dim)["mode"].choices == ("soft", "hard")


@pytest.mark.parametrize(
    "wrong", [{"level": 1.5}, {"level": True}, {"level": "much"}, {"level": float("nan")},
              {"mode": "other"}],
)  # fmt: skip
def test_values_outside_the_range_are_refused(wrong):
    with pytest.raises(MethodError, match=f"dim.{next(iter(wrong))}"):
        Dim(**wrong)


def test_ends_of_the_range_construct():
    for key, range_ in knobs(Dim).items():
        for value in range_.choices or (range_.low, range_.high):
            Dim(**{key: value})


def test_a_class_without_its_facts_is_refused():
    with pytest.raises(TypeError, match="stage, touches, needs, paper"):

        class Nameless(Tactic):
            name = "nameless"


def test_a_knob_needs_a_range():
    with pytest.raises(TypeError, match="choices or both"):
        knob(1, help="none", low=0)


def test_refusal_says_every_obstacle():
    refuse("dim", [])
    with pytest.raises(MethodError) as caught:
        refuse("dim", [Obstacle("too dark", "lamp", "light it"), Obstacle("too cold")])
    assert caught.value.what == "dim: too dark; too cold"
    assert (caught.value.where, caught.value.hint) == ("lamp", "light it")
