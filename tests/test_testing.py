"""The conformance kit must refuse tactics that break the contract, each by the right check."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest

from hasten.core.edit import Wrapped
from hasten.core.method import Aspect, Needs, Obstacle, Stage, Tactic, knob
from hasten.testing import TacticConformance
from nets import points

KIT = TacticConformance()


class Wrap(Wrapped):
    """Applies a function to what the net returns; it is told how often it was called."""

    def __init__(self, inner, change, clock):
        super().__init__(inner)
        self.change, self.clock, self.calls = change, clock, 0

    def forward(self, *args, **kwargs):
        self.calls += 1
        return self.change(self.inner(*args, **kwargs), self.calls, self.clock)


@dataclass(frozen=True)
class Broken(Tactic):
    name, stage, touches, needs, paper = "broken", Stage.CACHE, Aspect.DEPTH, Needs(), ""
    reuses = True

    level: float = knob(1.0, low=0.0, high=1.0, help="whether to do it")

    def change(self, out, calls, clock):
        return out * (1 - 0.1 * self.level)

    def obstacles(self, model):
        return []

    def attach(self, model, edit):
        edit.wrap("", lambda inner: Wrap(inner, self.change, model.clock))

    @classmethod
    def neutral(cls):
        return cls(level=0.0)


class NeverNeutral(Broken):
    def change(self, out, calls, clock):
        return out * 0.9

    name, stage, touches, needs, paper = "never", Stage.CACHE, Aspect.DEPTH, Needs(), ""


class Idle(Broken):
    def change(self, out, calls, clock):
        return out

    name, stage, touches, needs, paper = "idle", Stage.CACHE, Aspect.DEPTH, Needs(), ""


class Counting(Broken):
    def change(self, out, calls, clock):
        return out * (1 + calls / 100)

    name, stage, touches, needs, paper = "counting", Stage.CACHE, Aspect.DEPTH, Needs(), ""


class Mixing(Broken):
    def change(self, out, calls, clock):
        return out - 0.1 * out.mean(0, keepdim=True)

    name, stage, touches, needs, paper = "mixing", Stage.CACHE, Aspect.DEPTH, Needs(), ""


class Patching(Broken):
    def attach(self, model, edit):
        model.net.inner.layers[1] = copy.deepcopy(model.net.inner.layers[0])

    name, stage, touches, needs, paper = "patching", Stage.CACHE, Aspect.DEPTH, Needs(), ""


class Unsuited(Broken):
    def obstacles(self, model):
        return [Obstacle("it never fits")]

    name, stage, touches, needs, paper = "unsuited", Stage.CACHE, Aspect.DEPTH, Needs(), ""


@pytest.mark.parametrize(
    ("kind", "check", "sentence"),
    [
        (NeverNeutral, KIT.test_neutral_is_the_plain_model, "neutral setting changes"),
        (Idle, KIT.test_it_does_something, "changes nothing"),
        (Counting, KIT.test_runs_do_not_leak_into_each_other, "depends on the runs before"),
        (Mixing, KIT.test_samples_do_not_depend_on_the_batch, "depend on the batch"),
        (Patching, KIT.test_undo_restores_everything, "leaves modules, hooks or modes"),
        (Unsuited, KIT.test_nothing_is_in_the_way, "it never fits"),
        (Broken, KIT.test_all_full_is_the_plain_model, "all-full column changes"),
        (Counting, KIT.test_held_on_the_same_input_is_full, "output differs"),
        (Idle, KIT.test_held_evaluations_are_cheaper, "products"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_kit_refuses(kind, check, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check(points(), kind())


def test_the_kit_admits_what_is_right_about_it():
    model = points()
    KIT.test_every_end_of_its_ranges_constructs(Broken())
    KIT.test_nothing_is_in_the_way(model, Broken())
    KIT.test_neutral_is_the_plain_model(model, Broken())
    KIT.test_it_does_something(model, Broken())
    KIT.test_undo_restores_everything(model, Broken())
    KIT.test_runs_do_not_leak_into_each_other(model, Broken())
    KIT.test_samples_do_not_depend_on_the_batch(model, Broken())
    KIT.test_a_deep_copy_is_independent(model, Broken())
