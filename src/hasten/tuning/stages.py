"""Stages two and three: from the front of cheap errors to verdicts about distributions.

Stage two judges few candidates on the search's own seeds, to find the fastest that is comfortably
within the margin. Stage three judges the finalists, fixed by then, on seeds nobody has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, final

from hasten.applying import apply
from hasten.core.identity import model_fingerprint
from hasten.core.model import Model
from hasten.measure.quality import Arm, density_coverage, frechet
from hasten.measure.reading import Reading
from hasten.measure.reference import Reference
from hasten.measure.verdict import better_reference, judge_contrast
from hasten.recipe import Recipe
from hasten.tuning.journal import Journal
from hasten.tuning.judging import BLOCK, Court
from hasten.tuning.settings import Settings

POWER, SURE = 0.8, 0.9
"""A candidate is comfortable if a finalist like it would be found within so often; and the aim."""
SLACK = 0.1
"""Share of the reference's density and coverage that a plan aimed at other features may lack."""
SPREAD = 4
"""Finalists are judged on at most so many times the samples of the search, unless told."""

Say = Callable[[float, str], None]


@final
@dataclass
class Judging:
    """Judges recipes against the better of the two references, on one set of seeds.

    Attributes:
        model: Whose samples.
        court: What is looked at.
        settings: Margin, confidence.
        journal: Where verdicts are kept.
        name: ``judge`` or ``final``, in the journal's keys.
        seeds: One a sample.
        references: The recipes of the speed reference and of the converged sampler, by name.
        say: Told of progress.
        finalists: How many candidates are judged on these seeds in earnest.
        better: Name of the reference that is nearer to the real data.
    """

    model: Model
    court: Court
    settings: Settings
    journal: Journal
    name: str
    seeds: Sequence[int]
    references: Mapping[str, Recipe]
    say: Say
    finalists: int
    better: str = field(init=False)

    def __post_init__(self) -> None:
        self._model = model_fingerprint(self.model)
        self._readings: dict[tuple[str, int], Reading] = {}
        self._arms: dict[tuple[str, int], Arm] = {}
        arms = {name: self.arm(name, len(self.seeds)) for name in self.references}
        self.better = better_reference(arms)

    def arm(self, name: str, count: int) -> Arm:
        """A reference as the real data see it, on the first ``count`` seeds."""
        if (name, count) not in self._arms:
            features = self.reading(self.references[name], name, count).features
            self._arms[name, count] = frechet(features, self.reference)
        return self._arms[name, count]

    def reading(
        self, recipe: Recipe, label: str, count: int | None = None, *, model: Model | None = None
    ) -> Reading:
        """Features of a recipe's samples on the first seeds; sampled once.

        Args:
            recipe: Which.
            label: For people.
            count: How many seeds; all by default.
            model: Another form of the model, with the same samples.
        """
        settings, seeds = self.settings, self.seeds[:count]
        key = recipe.fingerprint(), len(seeds)
        if key not in self._readings:
            identity = f"{self._model}|{key[0]}|{settings.guidance}"
            with apply(model or self.model, recipe, guidance=settings.guidance) as sampler:
                self._readings[key] = self.court.read(
                    sampler,
                    identity,
                    seeds,
                    lambda done, of: self.say(done / of, f"{label}: {done} of {of} samples"),
                )
        return self._readings[key]

    def judge(self, recipe: Recipe, label: str, count: int | None = None) -> dict[str, Any]:
        """The verdict about a recipe on the first seeds (all by default), as plain values."""
        number = len(self.seeds[:count])

        def compute() -> dict[str, Any]:
            return judge_contrast(
                self.reading(recipe, label, number).features,
                self.arm(self.better, number),
                self.reference,
                self.settings.margin,
                confidence=self.settings.confidence,
                finalists=self.finalists,
            ).to_dict()

        value: dict[str, Any] = self.journal.remember(self.key(recipe, number), compute)
        return value

    def sound(self, recipe: Recipe, label: str) -> bool:
        """Whether density and coverage, which nothing is aimed at, are about the reference's."""
        arms = (
            self.reading(recipe, label).features,
            self.arm(self.better, len(self.seeds)).features,
        )
        found, wanted = (density_coverage(features, self.reference) for features in arms)
        pairs = zip(found, wanted, strict=True)
        return all(own.value >= (1 - SLACK) * other.value for own, other in pairs)

    def key(self, recipe: Recipe, count: int | None = None) -> str:
        """The verdict's name in the journal."""
        return f"{self.name}/{len(self.seeds[:count])}/{recipe.fingerprint()}"

    @property
    def reference(self) -> Reference:
        """The real data."""
        return self.court.reference


def comfort(verdict: Mapping[str, Any], samples: int) -> float:
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


def planned_samples(settings: Settings) -> int:
    """Samples the search expects finalists to be judged on."""
    if settings.samples is not None:
        return settings.samples
    return min(settings.max_samples, SPREAD * settings.search_samples)


def samples_needed(verdicts: Sequence[Mapping[str, Any]], settings: Settings) -> int:
    """Samples at which the finalists are found within nine times of ten, if they are.

    Decided from the search's seeds, before the final ones are drawn.

    Args:
        verdicts: Of the search about the finalists.
        settings: Caps.
    """
    if settings.samples is not None:
        return settings.samples
    most, needed = planned_samples(settings), settings.search_samples
    for verdict in verdicts:
        value, se = verdict["contrast"], verdict["se"]
        if value is None or se is None or value >= 0:
            return most
        reach = (verdict["critical"] + NormalDist().inv_cdf(SURE)) * se
        needed = max(needed, math.ceil(verdict["n"] * min((reach / value) ** 2, 1e6)))
    return max(min(math.ceil(needed / BLOCK) * BLOCK, most), min(BLOCK, most))
