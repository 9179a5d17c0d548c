"""Space: what a candidate is, and which mechanisms of reuse it may choose from."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hasten.core.edit import Edit, Wrapped
from hasten.core.method import Knob, Method, Stage, Tactic, knobs
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.core.plan import from_dict as plan_from_dict
from hasten.core.plan import to_dict as plan_to_dict
from hasten.methods import METHODS
from hasten.recipe import PlanSpec, Recipe, spell

LEVELS = 9
"""Values that are tried of a knob with an interval."""


@final
@dataclass(frozen=True)
class Candidate:
    """A recipe in its short form, and whether its coefficients are fitted afterwards.

    Attributes:
        recipe: Solver, grid or noise levels, reuse column, methods; or a plan's rows.
        fitted: Whether the plan's coefficients are least-squares fits to the teacher.
        kind: ``stock`` or ``search``.
    """

    recipe: Recipe
    fitted: bool = False
    kind: str = "search"

    @classmethod
    def of(
        cls,
        solver: str,
        sigmas: Sequence[float] | NDArray[np.float64],
        *,
        held: Sequence[bool] = (),
        tactic: Tactic | None = None,
        fitted: bool = True,
    ) -> Candidate:
        """A searched candidate; without a held step the tactic is left out."""
        reuse: str | tuple[str, ...] = "full"
        methods: tuple[Tactic, ...] = ()
        if tactic is not None and any(held):
            reuse = tuple("hold" if hold else "full" for hold in held)
            methods = (tactic,)
        levels = tuple(float(sigma) for sigma in sigmas)
        spec = PlanSpec(solver, None, None, levels, reuse)
        return cls(Recipe(spec, methods), fitted)

    @classmethod
    def stock(cls, solver: str, grid: str, steps: int) -> Candidate:
        """A solver on a grid, as anybody has them."""
        return cls(Recipe(PlanSpec(solver, grid, steps)), kind="stock")

    @classmethod
    def explicit(cls, plan: Plan, tactic: Tactic | None = None) -> Candidate:
        """A searched candidate given by its rows; without a held one the tactic is left out."""
        reuses = tactic is not None and not all(entry.full for entry in plan.reuse)
        return cls(Recipe(plan, (tactic,) if tactic is not None and reuses else ()))

    @property
    def spec(self) -> PlanSpec:
        """The plan in its short form."""
        if not isinstance(self.recipe.plan, PlanSpec):
            raise TypeError("a candidate's plan is in its short form")
        return self.recipe.plan

    @property
    def tactic(self) -> Tactic | None:
        """What carries out its reuse column."""
        return next((m for m in self.recipe.methods if isinstance(m, Tactic)), None)

    @property
    def held(self) -> tuple[bool, ...]:
        """Which steps are held."""
        plan = self.recipe.plan
        if isinstance(plan, Plan):
            return tuple(not row.reuse.full for row in plan.rows if row.slot == 0)
        return tuple(not entry.full for entry in plan.column)

    @property
    def label(self) -> str:
        """For people: ``dpmpp_2m logsnr 10``, ``6 steps, own grid and coefficients``."""
        if isinstance(self.recipe.plan, Plan) or self.spec.sigmas is None:
            return self.recipe.label
        own = "own grid and coefficients" if self.fitted else f"{self.spec.solver} on its own grid"
        held = f"{sum(self.held)} held by {spell(self.tactic)}" if self.tactic else ""
        return ", ".join(filter(None, [f"{self.spec.count} steps", own, held]))

    def moved(self, sigmas: Sequence[float] | NDArray[np.float64]) -> Candidate:
        """The same on other noise levels, as many."""
        levels = tuple(float(sigma) for sigma in sigmas)
        spec = dataclasses.replace(self.spec, grid=None, steps=None, sigmas=levels)
        return dataclasses.replace(
            self, recipe=dataclasses.replace(self.recipe, plan=spec), kind="search"
        )

    def key(self) -> str:
        """Its name in the journal."""
        marks = "+fit" * self.fitted
        return self.recipe.fingerprint() + marks

    def to_dict(self) -> dict[str, Any]:
        """Plain tables."""
        return {
            "recipe": self.recipe.to_dict(),
            "fitted": self.fitted,
            "kind": self.kind,
        }

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Candidate:
        """Inverse of `to_dict`."""
        recipe = Recipe.from_dict(facts["recipe"])
        return cls(recipe, facts["fitted"], facts["kind"])


@final
@dataclass(frozen=True)
class Scored:
    """A candidate and what it is worth, as far as the cheap stage can tell.

    Attributes:
        candidate: Which.
        plan: Its rows, with fitted coefficients.
        seconds: Predicted time a sample.
        error: Mean RMSE to the converged samples, training seeds.
        trial: When it was tried.
    """

    candidate: Candidate
    plan: Plan
    seconds: float
    error: float
    trial: int

    @property
    def recipe(self) -> Recipe:
        """What a user would apply: the short form, or the fitted rows."""
        if not self.candidate.fitted:
            return self.candidate.recipe
        return dataclasses.replace(self.candidate.recipe, plan=self.plan)

    @property
    def label(self) -> str:
        """For people."""
        return self.plan.label

    def to_dict(self) -> dict[str, Any]:
        """Plain tables."""
        return {
            "candidate": self.candidate.to_dict(),
            "plan": plan_to_dict(self.plan),
            "seconds": self.seconds,
            "error": self.error,
            "trial": self.trial,
        }

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Scored:
        """Inverse of `to_dict`."""
        return cls(
            Candidate.from_dict(facts["candidate"]),
            plan_from_dict(facts["plan"]),
            facts["seconds"],
            facts["error"],
            facts["trial"],
        )


def front(scored: Sequence[Scored]) -> list[Scored]:
    """Those that no other beats in both time and error, fastest first."""
    best: list[Scored] = []
    for one in sorted(scored, key=lambda s: (s.seconds, s.error, s.trial)):
        if not best or one.error < best[-1].error:
            best.append(one)
    return best


def tactics(model: Model) -> list[Tactic]:
    """Settings of every mechanism of reuse that fit this model and do different things to it."""
    found: dict[Any, Tactic] = {}
    for kind in METHODS.values():
        if not (issubclass(kind, Tactic) and kind.reuses):
            continue
        ranges = knobs(kind)
        for values in _settings(ranges):
            tactic = kind(**values)
            if tactic.obstacles(model):
                continue
            touched = _touched(model, tactic)
            if touched == _touched(model, kind.neutral()):
                continue
            found.setdefault((family(tactic), touched), tactic)
    return list(found.values())


def finishing(model: Model) -> tuple[Method, ...]:
    """What can be done to the output of any recipe for this model; every arm has it."""
    last = [kind() for kind in METHODS.values() if kind.stage is Stage.DECODE]
    return tuple(method for method in last if not method.obstacles(model))


def family(tactic: Tactic) -> tuple[Any, ...]:
    """What it has in common with tactics that differ in the strength of an interval only."""
    chosen = [name for name, knob in knobs(type(tactic)).items() if knob.choices]
    return tactic.name, *(getattr(tactic, name) for name in chosen)


def _touched(model: Model, tactic: Tactic) -> tuple[str, ...]:
    """Which modules it wraps: settings of an interval that lead to the same ones are the same."""
    with Edit(model) as edit:
        tactic.attach(model, edit)
        modules = model.net.named_modules(remove_duplicate=False)
        return tuple(f"{path} {type(m).__name__}" for path, m in modules if isinstance(m, Wrapped))


def _settings(table: dict[str, Knob]) -> Iterator[dict[str, Any]]:
    choices = [_values(knob) for knob in table.values()]
    for values in itertools.product(*choices):
        yield dict(zip(table, values, strict=True))


def _values(knob: Knob) -> list[Any]:
    if knob.choices or knob.low is None or knob.high is None:
        return list(knob.choices)
    return [round(float(v), 6) for v in np.linspace(knob.low, knob.high, LEVELS)]
