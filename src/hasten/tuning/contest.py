"""Contest: which of many candidates come nearest to the data, told from as few samples as will do.

All are looked at on few seeds, those that may still be the best on twice as many, and so on: a
race (Maron and Moore 1994) that at least halves the field at every look. Their distances are
corrected for small numbers and taken on the same seeds, so even a few dozen samples tell most
candidates apart. A small error to the teacher's endpoints does not: a sampler may end elsewhere and
yet among the data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from hasten.errors import OutputError
from hasten.recipe import Recipe
from hasten.tuning.judging import FIRST
from hasten.tuning.settings import Settings
from hasten.tuning.space import Scored
from hasten.tuning.stages import POWER, Judging, comfort, planned_samples

ROUGH = 128
"""Up to so many samples methods are in their rough form: what it costs in distance, a twentieth or
a tenth, is common to a field. But no contest ends on such looks."""
LEAST = 2
"""So many go on to the next look, however clear the order is."""
CLEAR = 0.02
"""A contest ends when even the best is so unlikely to pass."""


def looks(count: int) -> list[int]:
    """Samples of each look: 64, 128, 256, ... and at last all."""
    found, n = [], FIRST
    while n < count:
        found.append(n)
        n *= 2
    return [*found, count]


@final
@dataclass
class Contest:
    """Compares candidates on the search's seeds.

    Attributes:
        session: Judges them.
        settings: Budget.
    """

    session: Judging
    settings: Settings
    _seen: dict[str, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)

    def hold(self, candidates: Sequence[Scored]) -> list[Scored]:
        """The best of them, the best first, and only these looked at on all seeds.

        If the best is hopeless the contest ends early with as many as there may be finalists; then
        none of them is `good`.
        """
        left = list({each.recipe.fingerprint(): each for each in candidates}.values())
        for count in looks(len(self.session.seeds)):
            if not left:
                break
            seen = {id(each): self._look(each, count) for each in left}
            left.sort(key=lambda each: seen[id(each)][0])
            if self.comfort(left[0]) < CLEAR and self._form(left[0], count) == left[0].recipe:
                return left[: max(LEAST, self.settings.finalists)]
            if count < len(self.session.seeds):
                reach = sum(seen[id(left[0])])  # the best one's contrast and standard error
                near = sum(seen[id(each)][0] <= reach for each in left)
                left = left[: max(LEAST, min(near, math.ceil(len(left) / 2)))]
        return left

    def _look(self, scored: Scored, count: int) -> tuple[float, float]:
        """The contrast of a candidate on so many seeds, and its standard error."""
        try:
            verdict = self.session.judge(self._form(scored, count), scored.label, count)
        except OutputError:  # it leaves the numbers: no candidate, and no reason to stop
            return math.inf, 0.0
        key = scored.recipe.fingerprint()
        if key not in self._seen or self._seen[key][0] < count:
            self._seen[key] = count, verdict
        if verdict["contrast"] is None or verdict["se"] is None:
            return math.inf, 0.0
        return float(verdict["contrast"]), float(verdict["se"])

    def _form(self, scored: Scored, count: int) -> Recipe:
        """A candidate's recipe as it is looked at on so many seeds; on all of them as it is."""
        rough = count <= ROUGH and count < len(self.session.seeds)
        return scored.recipe.rough() if rough else scored.recipe

    def comfort(self, scored: Scored) -> float:
        """Probability, as far as was looked, that it would be found within on fresh seeds."""
        _, verdict = self._seen.get(scored.recipe.fingerprint(), (0, None))
        return comfort(verdict, planned_samples(self.settings)) if verdict else 0.0

    def good(self, scored: Scored) -> bool:
        """Whether it was looked at on all seeds and is comfortable."""
        count, _ = self._seen.get(scored.recipe.fingerprint(), (0, None))
        return count == len(self.session.seeds) and self.comfort(scored) >= POWER

    def ratio(self, scored: Scored) -> float:
        """Its distance over the reference's, as far as was looked."""
        _, verdict = self._seen.get(scored.recipe.fingerprint(), (0, None))
        value = verdict["ratio"]["value"] if verdict else None
        return math.inf if value is None else float(value)

    def known(self, scored: Scored) -> bool:
        """Whether it was looked at."""
        return scored.recipe.fingerprint() in self._seen
