"""Stages two and three: from the front of cheap errors to verdicts about distributions.

Stage two judges few candidates on the search's own seeds, to find the fastest that is comfortably
within the margin. Stage three judges the finalists, fixed by then, on seeds nobody has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, final

import numpy as np

from hasten.apply import apply
from hasten.core.model import Model
from hasten.measure.features import Reading
from hasten.measure.quality import frechet
from hasten.measure.reference import Reference
from hasten.measure.verdict import better_reference, judge_contrast
from hasten.recipe import Recipe
from hasten.tune.journal import Journal
from hasten.tune.judging import BLOCK, Court, model_fingerprint
from hasten.tune.settings import Settings
from hasten.tune.space import Scored

POWER = 0.8
"""A candidate is comfortable if a finalist like it would be found within so often."""

Say = Callable[[float, str], None]


@final
@dataclass
class Judging:
    """Judges recipes against the better of the two references, on one set of seeds.

    Attributes:
        model: Whose samples.
        court: What is looked at.
        settings: Margin, confidence, finalists.
        journal: Where verdicts are kept.
        name: ``search`` or ``final``, in the journal's keys.
        seeds: One a sample.
        references: The recipes of the speed reference and of the converged sampler, by name.
        say: Told of progress.
    """

    model: Model
    court: Court
    settings: Settings
    journal: Journal
    name: str
    seeds: Sequence[int]
    references: dict[str, Recipe]
    say: Say

    def __post_init__(self) -> None:
        self._readings: dict[str, Reading] = {}
        self._model = model_fingerprint(self.model)
        arms = {
            name: frechet(self.reading(recipe, name).features, self.court.reference)
            for name, recipe in self.references.items()
        }
        self.better = better_reference(arms)
        self._arms = arms

    def reading(self, recipe: Recipe, label: str) -> Reading:
        """Features of a recipe's samples; sampled once."""
        settings, key = self.settings, recipe.fingerprint()
        if key in self._readings:
            return self._readings[key]
        identity = f"{self._model}|{key}|{settings.guidance}"
        with apply(self.model, recipe, guidance=settings.guidance) as sampler:
            self._readings[key] = self.court.read(
                sampler,
                identity,
                self.seeds,
                lambda done, total: self.say(done / total, f"{label}: sample {done} of {total}"),
            )
        return self._readings[key]

    def judge(self, recipe: Recipe, label: str) -> dict[str, Any]:
        """The verdict about a recipe, as plain values."""

        def compute() -> dict[str, Any]:
            return judge_contrast(
                self.reading(recipe, label).features,
                self._arms[self.better],
                self.court.reference,
                self.settings.margin,
                confidence=self.settings.confidence,
                finalists=self.settings.finalists,
            ).to_dict()

        value: dict[str, Any] = self.journal.remember(self.key(recipe), compute)
        return value

    def key(self, recipe: Recipe) -> str:
        """The verdict's name in the journal."""
        return f"{self.name}/{len(self.seeds)}/{recipe.fingerprint()}"

    @property
    def reference(self) -> Reference:
        """The real data."""
        return self.court.reference


def comfort(verdict: dict[str, Any], samples: int) -> float:
    """Probability that a finalist like this is found within, with so many samples."""
    value, se, n = verdict["contrast"], verdict["se"], verdict["n"]
    if value is None or se is None:
        return 0.0
    if se == 0:
        return float(value < 0)
    final = se * math.sqrt(n / samples)
    # what the search saw is itself uncertain by se
    reach = -value - verdict["critical"] * final
    return NormalDist().cdf(reach / math.hypot(final, se))


def samples_needed(verdicts: Sequence[dict[str, Any]], settings: Settings) -> int:
    """Samples at which finalists as good as the reference are found within nine times of ten.

    Decided from the search's seeds, before the final ones are drawn.
    """
    if settings.samples is not None:
        return settings.samples
    needs = []
    for verdict in verdicts:
        if verdict["se"] and verdict["margin_abs"]:
            reach = (verdict["critical"] + NormalDist().inv_cdf(0.9)) * verdict["se"]
            needs.append(verdict["n"] * (reach / verdict["margin_abs"]) ** 2)
    typical = min(float(np.median(needs)) if needs else 0.0, 1e9)
    blocks = math.ceil(max(typical, settings.search_samples) / BLOCK)
    return min(blocks * BLOCK, settings.max_samples)


def fastest(
    ranked: Sequence[Scored],
    judge: Callable[[Scored], float],
    first: int,
) -> tuple[list[int], int | None]:
    """The fastest comfortable candidate of a front, judging as few as possible.

    Args:
        ranked: By time, fastest first; errors fall with time, and so does the risk.
        judge: Comfort of a candidate, from 0 to 1; costly.
        first: Where to begin.

    Returns:
        The indices judged, and the first comfortable one; None if there is none.
    """
    known: dict[int, float] = {}

    def passes(index: int) -> bool:
        if index not in known:
            known[index] = judge(ranked[index])
        return known[index] >= POWER

    low, high = -1, len(ranked)  # low fails, high passes, as far as known
    at = min(max(first, 0), len(ranked) - 1)
    stride = 1
    while high - low > 1:
        if passes(at):
            high, step = at, -stride
        else:
            low, step = at, stride
        stride *= 2
        at += step
        if not low < at < high:
            at, stride = (low + high) // 2, 1
    return sorted(known), high if high < len(ranked) else None
