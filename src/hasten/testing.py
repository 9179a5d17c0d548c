"""Conformance kit: what every tactic must satisfy, as tests to inherit.

    class TestMine(TacticConformance):
        @pytest.fixture(params=[...])
        def model(self, request): ...      # a hasten Model it can be used on, in eval mode
        @pytest.fixture
        def tactic(self): ...              # a setting that changes something

Every check raises AssertionError with a sentence. Nothing here needs more than a few evaluations.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hasten.core.edit import Edit
from hasten.core.example import example
from hasten.core.macs import Counter
from hasten.core.method import Tactic, knobs
from hasten.core.model import Model
from hasten.core.plan import FULL, HOLD, Plan, Row
from hasten.solvers import stock_plan
from hasten.solvers.loop import run

SEEDS: Sequence[int] = (3, 1, 4, 15)


class TacticConformance:
    """The contract of a tactic. Subclasses provide ``model`` and ``tactic`` as pytest fixtures."""

    def test_every_end_of_its_ranges_constructs(self, tactic: Tactic) -> None:
        """A search may go to the ends of what a knob states."""
        for key, range_ in knobs(type(tactic)).items():
            for value in range_.choices or (range_.low, range_.high):
                type(tactic)(**{key: value})

    def test_nothing_is_in_the_way(self, model: Model, tactic: Tactic) -> None:
        """The kit is for models it can be used on."""
        _demand(not tactic.obstacles(model), f"obstacles: {tactic.obstacles(model)}")
        _demand(not type(tactic).neutral().obstacles(model), "the neutral setting has obstacles")

    def test_neutral_is_the_plain_model(self, model: Model, tactic: Tactic) -> None:
        """Bit for bit, whatever the reuse column says."""
        plan = pilot(model)
        plain = _play(model, plan)
        with Edit(model) as edit:
            type(tactic).neutral().attach(model, edit)
            _same(_play(model, plan), plain, "the neutral setting changes samples")

    def test_it_does_something(self, model: Model, tactic: Tactic) -> None:
        """No silent no-op: samples change."""
        plain = _play(model, pilot(model))
        with Edit(model) as edit:
            tactic.attach(model, edit)
            changed = _play(model, pilot(model))
        _demand(not torch.equal(changed, plain), "attached, it changes nothing")

    def test_undo_restores_everything(self, model: Model, tactic: Tactic) -> None:
        """Outputs, modules, hooks, parameters and modes, bit for bit."""
        plan, before = pilot(model), _portrait(model)
        plain = _play(model, plan)
        with Edit(model) as edit:
            tactic.attach(model, edit)
            _play(model, plan)
        _demand(_portrait(model) == before, "undoing leaves modules, hooks or modes changed")
        _same(_play(model, plan), plain, "undoing leaves samples changed")

    def test_runs_do_not_leak_into_each_other(self, model: Model, tactic: Tactic) -> None:
        """The same seeds give the same samples, also after other seeds."""
        plan = pilot(model)
        with Edit(model) as edit:
            tactic.attach(model, edit)
            first = _play(model, plan)
            _play(model, plan, seeds=(9, 2))
            _same(_play(model, plan), first, "a run depends on the runs before it")

    def test_samples_do_not_depend_on_the_batch(self, model: Model, tactic: Tactic) -> None:
        """Two batches of two are one of four, to rounding."""
        plan, cond = pilot(model), conditions(model, len(SEEDS))
        with Edit(model) as edit:
            tactic.attach(model, edit)
            whole = _play(model, plan)
            half = len(SEEDS) // 2
            parts = torch.cat(
                [
                    run(model, plan, SEEDS[part], None if cond is None else cond[part])
                    for part in (slice(half), slice(half, None))
                ]
            )
        off = float((whole - parts).abs().max() / whole.abs().max())
        _demand(off < 1e-4, f"samples depend on the batch they are in, by {off:.1e}")

    def test_a_deep_copy_is_independent(self, model: Model, tactic: Tactic) -> None:
        """It computes with its own weights and remembers nothing."""
        plan, model = pilot(model), copy.deepcopy(model)
        tactic.require(model)
        with Edit(model) as edit:
            tactic.attach(model, edit)
            first = _play(model, plan)
            twin = copy.deepcopy(model)
            with torch.no_grad():
                for parameter in model.net.parameters():
                    parameter.zero_()
            _same(_play(twin, plan), first, "a deep copy depends on the original")

    def test_all_full_is_the_plain_model(self, model: Model, tactic: Tactic) -> None:
        """For a tactic that carries out the reuse column: nothing to reuse, nothing changed."""
        if not tactic.reuses:
            return
        for solver in ("ddim", "heun"):
            plan = stock_plan(model.process, solver, "uniform", 3)
            plain = _play(model, plan)
            with Edit(model) as edit:
                tactic.attach(model, edit)
                _same(_play(model, plan), plain, f"an all-full column changes samples ({solver})")

    def test_held_on_the_same_input_is_full(self, model: Model, tactic: Tactic) -> None:
        """For a tactic that carries out the reuse column: what is kept is what was computed."""
        if not tactic.reuses:
            return
        full, held = self._by_hand(model, tactic)
        _same(held, full, "held from the same input, the output differs")

    def test_held_evaluations_are_cheaper(self, model: Model, tactic: Tactic) -> None:
        """For a tactic that carries out the reuse column: work is left out, not only hidden."""
        if not tactic.reuses:
            return
        counts: list[int] = []

        def count(ask: Callable[[], Tensor]) -> Tensor:
            with Counter(model.net) as counter:
                out = ask()
            counts.append(counter.within("").total)
            return out

        self._by_hand(model, tactic, count)
        _demand(counts[1] < counts[0], f"held, it does {counts[1]} of {counts[0]} products")

    def _by_hand(
        self,
        model: Model,
        tactic: Tactic,
        around: Callable[[Callable[[], Tensor]], Tensor] = lambda ask: ask(),
    ) -> list[Tensor]:
        """A full and a held evaluation of one input, with the clock turned here."""
        inputs, row = example(model, 2), pilot(model).rows[0]
        answers = []
        with Edit(model) as edit, torch.inference_mode():
            tactic.attach(model, edit)
            model.clock.start()
            try:
                for index, reuse in enumerate((FULL, HOLD)):
                    model.clock.tick(index, Row(row.sigma, row.input, index, reuse=reuse))
                    answers.append(around(lambda: inputs.ask(model)))
            finally:
                model.clock.stop()
        return answers


def pilot(model: Model) -> Plan:
    """A short plan in which every other step is held."""
    return stock_plan(model.process, "ddim", "uniform", 4, reuse=[FULL, HOLD, FULL, HOLD])


def conditions(model: Model, count: int) -> Tensor | None:
    """Plausible conditions as a user would give them; None for a model without."""
    if model.classes is not None:
        return torch.arange(count) % model.classes.count
    if model.energies is not None:
        return model.energies.at(torch.linspace(0, 1, count))
    return example(model, count).cond


def _play(model: Model, plan: Plan, seeds: Sequence[int] = SEEDS) -> Tensor:
    return run(model, plan, seeds, conditions(model, len(seeds)))


def _portrait(model: Model) -> Any:
    def hooks(module: nn.Module) -> int:
        return sum(len(v) for k, v in vars(module).items() if k.endswith("_hooks") and v)

    return [
        (
            path,
            id(module),
            module.training,
            hooks(module),
            [id(p) for p in module.parameters(False)],
        )
        for path, module in model.net.named_modules()
    ]


def _same(given: Tensor, expected: Tensor, sentence: str) -> None:
    if not torch.equal(given, expected):
        raise AssertionError(f"{sentence}, by up to {float((given - expected).abs().max()):.1e}")


def _demand(fact: bool, sentence: str) -> None:
    if not fact:
        raise AssertionError(sentence)
