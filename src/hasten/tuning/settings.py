"""Settings: what a study was asked for, checked before anything runs."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch

from hasten.errors import BudgetError
from hasten.recipe import Recipe


class Objective(enum.StrEnum):
    """What is to be fast."""

    LATENCY = "latency"  # one sample, now
    THROUGHPUT = "throughput"  # many samples, in total


_BATCH = {Objective.LATENCY: 1, Objective.THROUGHPUT: 64}


@final
@dataclass(frozen=True)
class Settings:
    """The frame of a study; a resumed one must have the same.

    Attributes:
        objective: ``latency`` or ``throughput``.
        batch: Samples in one pass when time is measured; None takes 1 for latency, 64 for
            throughput.
        device: ``cpu``, ``cuda``, ...; None leaves the model where it is.
        dtype: ``float32``, ``bfloat16``, ``float16``; None leaves the model as it is.
        threads: Of torch on the CPU; None leaves them as they are.
        margin: Share of the reference's distance that is granted.
        confidence: Of all verdicts together.
        finalists: How many candidates are tested on fresh seeds, for search and stock alike.
        trials: Candidates that the search may try, beside the stock ones.
        minutes: Cap on the time of the search; None for none. A capped search is not
            reproducible.
        seeds: Trajectories that candidates are fitted and ranked on.
        search_samples: Samples a candidate is judged on during the search.
        samples: Samples a finalist is judged on; None chooses what the search says is needed.
        max_samples: Never more than this.
        guidance: Weight of classifier-free guidance in every arm.
        only: ``plan`` searches plans without reuse; empty searches all.
        seed: Of everything random but the final seeds.
        shown: Samples kept for people.
        recipes: Tables of recipes that are tried beside what the search proposes.
    """

    objective: Objective = Objective.LATENCY
    batch: int | None = None
    device: str | None = None
    dtype: str | None = None
    threads: int | None = None
    margin: float = 0.05
    confidence: float = 0.95
    finalists: int = 3
    trials: int = 400
    minutes: float | None = None
    seeds: int = 64
    search_samples: int = 1000
    samples: int | None = None
    max_samples: int = 10_000
    guidance: float = 1.0
    only: str = ""
    seed: int = 0
    shown: int = 64
    recipes: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        _at_least("margin", self.margin, 0.001, "0.05 grants 5 % of the reference's distance")
        _at_least("trials", self.trials, 0, "0 tries stock samplers only")
        _at_least("seeds", self.seeds, 8, "64 rank well")
        _at_least("finalists", self.finalists, 1, "3 at most are usual")
        _at_least("search_samples", self.search_samples, 100, "a distance needs some hundreds")
        _at_least("max_samples", self.max_samples, 100, "a verdict needs some hundreds")
        _at_least("batch", self.batch, 1, "")
        _at_least("threads", self.threads, 1, "")
        _at_least("minutes", self.minutes, 0, "")
        if not 0.5 < self.confidence < 1:
            raise BudgetError(f"a confidence of {self.confidence}", hint="0.95 is usual")
        if self.samples is not None and not 100 <= self.samples <= self.max_samples:
            raise BudgetError(
                f"{self.samples} samples", hint=f"from 100 to max_samples = {self.max_samples}"
            )
        if self.only not in ("", "plan"):
            raise BudgetError(f"only = {self.only!r} is unknown", hint="plan, or nothing")
        if self.dtype is not None and self.dtype not in _DTYPES:
            raise BudgetError(f"dtype = {self.dtype!r}", hint=f"one of {', '.join(_DTYPES)}")

    @property
    def timed_batch(self) -> int:
        """Samples in one pass when time is measured."""
        return _BATCH[self.objective] if self.batch is None else self.batch

    @property
    def torch_dtype(self) -> torch.dtype | None:
        """The net's number format, if one was asked for."""
        return None if self.dtype is None else _DTYPES[self.dtype]

    @property
    def given(self) -> tuple[Recipe, ...]:
        """The recipes that were given."""
        return tuple(Recipe.from_dict(dict(facts)) for facts in self.recipes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


def _at_least(name: str, value: float | None, least: float, hint: str) -> None:
    if value is not None and not value >= least:
        raise BudgetError(f"{name} = {value} is too little", hint=hint or f"at least {least:g}")
