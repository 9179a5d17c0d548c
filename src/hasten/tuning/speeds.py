"""Speeds: what a row of a plan costs, measured once and used for the whole study.

A search that timed its candidates would chase the noise of the clock, and would not end the same
twice. So every kind of row is timed once, in interleaved rounds, and a plan's time is the sum of
its rows and of what happens once a sample.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from hasten.applying import apply
from hasten.core.method import Tactic
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.recipe import PlanSpec, Recipe, spell
from hasten.tuning.space import family

FEW, MANY = 3, 9
"""Rows of the two plans whose difference is the time of a row."""
ROUNDS = 5


@final
@dataclass(frozen=True)
class Speeds:
    """Seconds a sample.

    Attributes:
        overhead: Beside the rows: noise, codec.
        full: One full row.
        held: One held row, by the tactic as `hasten.recipe.spell` writes it.
        facts: Batch, device, dtype, threads.
    """

    overhead: float
    full: float
    held: Mapping[str, float]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def row(self, tactic: Tactic | None) -> float:
        """Seconds of a row that a mechanism holds; of a full one without."""
        return self.full if tactic is None else self.held[spell(tactic)]

    def of(self, plan: Plan, tactic: Tactic | None) -> float:
        """Predicted seconds a sample."""
        held = sum(not entry.full for entry in plan.reuse)
        return self.overhead + (plan.nfe - held) * self.full + held * self.row(tactic)

    def worthwhile(self, tactics: Sequence[Tactic], least: float = 0.08) -> list[Tactic]:
        """Those whose held row is clearly faster than a full one and than a gentler held one.

        Args:
            tactics: Of each kind the gentler before the stronger ones.
            least: Share of a full row's time that counts as clearly.
        """
        kept: list[Tactic] = []
        fastest: dict[Any, float] = {}
        for tactic in tactics:
            time, kind = self.held[spell(tactic)], family(tactic)
            if time <= fastest.get(kind, self.full) - least * self.full:
                fastest[kind] = time
                kept.append(tactic)
        return kept

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in ``speeds.json``."""
        table = {"overhead": self.overhead, "full": self.full, "held": dict(self.held)}
        return {**table, **self.facts}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Speeds:
        """Inverse of `to_dict`."""
        rest = {k: v for k, v in facts.items() if k not in ("overhead", "full", "held")}
        return cls(facts["overhead"], facts["full"], facts["held"], rest)


def measure_speeds(
    model: Model,
    tactics: Sequence[Tactic],
    seeds: Sequence[int],
    cond: Tensor | None,
    *,
    guidance: float = 1.0,
    rounds: int = ROUNDS,
) -> Speeds:
    """Time every kind of row at the batch that ``seeds`` makes.

    Raises:
        PlanError: If the process has too few levels for a plan of a dozen rows.
    """
    ends = model.process.sigma_max, model.process.sigma_min
    wanted = model.process.snap(np.geomspace(*ends, 4 * MANY))
    levels = np.unique(wanted)[::-1]
    many = levels[np.linspace(0, len(levels) - 1, min(MANY, len(levels))).astype(int)]
    few = many[: max(1, len(many) * FEW // MANY)]
    every = {"few": _recipe(few), "many": _recipe(many)}
    for tactic in tactics:
        every[spell(tactic)] = _recipe(many, tactic)
    readings: dict[str, list[float]] = {name: [] for name in every}
    for round_ in range(rounds + 1):
        for name, recipe in every.items():
            with apply(model, recipe, guidance=guidance) as fast:
                started = _now(model)
                fast(seeds, cond)
                elapsed = _now(model) - started
            if round_:  # the first round warms up
                readings[name].append(elapsed / len(seeds))
    typical = {name: statistics.median(values) for name, values in readings.items()}
    full = (typical["many"] - typical["few"]) / max(1, len(many) - len(few))
    full = max(full, typical["many"] / len(many) / 2)  # a disturbed reading must not give nonsense
    held = {
        spell(tactic): max(full - (typical["many"] - typical[spell(tactic)]) / (len(many) - 1), 0.0)
        for tactic in tactics
    }
    return Speeds(max(typical["many"] - len(many) * full, 0.0), full, held)


def _recipe(levels: Sequence[float] | np.ndarray[Any, Any], tactic: Tactic | None = None) -> Recipe:
    sigmas = tuple(float(level) for level in levels)
    reuse = "full" if tactic is None else ("full", *["hold"] * (len(sigmas) - 1))
    methods = () if tactic is None else (tactic,)
    return Recipe(PlanSpec("ddim", None, None, sigmas, reuse), methods)


def _now(model: Model) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()
