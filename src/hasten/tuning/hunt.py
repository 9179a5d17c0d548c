"""Hunt: the way from cheap errors to the candidates that are worth a verdict.

rivals    the fewest evaluations with which a stock sampler is comfortably within
ascend    own plans with 2, 3, 4, ... evaluations, until one is: the cheapest are tried first
faster    held rows and other grids, for what lies between the last that failed and the first
          that did not
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from hasten.tuning.judging import BLOCK
from hasten.tuning.search import FEWEST, MOST, Search
from hasten.tuning.settings import Settings
from hasten.tuning.space import Scored
from hasten.tuning.stages import POWER, Judging, comfort, planned_samples

WIDEST = 40
"""Most evaluations of a stock sampler that is looked at."""
CLEAR = 0.02
"""A quick look settles a candidate that is so unlikely to pass, or to fail."""
LOST = 3.0
"""If a candidate's distance is so many times the reference's, its like are not looked at."""
SMALLEST = 3
"""Samples a feature below which a quick look says nothing."""
ALIKE = 2.0
"""Errors up to so many times that of a good plan make a faster one worth a look."""


@final
@dataclass
class Hunt:
    """Finds what is fast and comfortably within, on the search's seeds.

    Attributes:
        search: Proposes and tries candidates.
        session: Judges them.
        settings: Budget.
    """

    search: Search
    session: Judging
    settings: Settings
    _comfort: dict[str, float] = field(default_factory=dict)

    def comfort(self, scored: Scored) -> float:
        """Probability that it would be found within on fresh seeds, as few samples as will do."""
        key = scored.recipe.fingerprint()
        if key not in self._comfort:
            samples = planned_samples(self.settings)
            found = comfort(self.session.judge(scored.recipe, scored.label, BLOCK), samples)
            if CLEAR < found < 1 - CLEAR or SMALLEST * self.session.reference.dims > BLOCK:
                found = comfort(self.session.judge(scored.recipe, scored.label), samples)
            self._comfort[key] = found
        return self._comfort[key]

    def good(self, scored: Scored) -> bool:
        """Whether it is comfortable."""
        return self.comfort(scored) >= POWER

    # ------------------------------------------------------------------------------- the rival

    def rivals(self) -> list[Scored]:
        """The first stock samplers that are good, fewest evaluations first."""

        def passes(evaluations: int) -> bool:
            # the nearest to the teacher is not always the one the judge likes best
            return any(self.good(found) for found in self.search.stock(evaluations))

        low, high, at, stride = 1, WIDEST + 1, 8, 2  # low fails, high passes, as far as known
        while high - low > 1:
            if passes(at):
                high = at
            else:
                low = at
            if high > WIDEST:  # nothing passed yet: further and further up
                at, stride = min(at + stride, WIDEST), 2 * stride
            else:
                at = (low + high) // 2
        least = min(high, WIDEST)
        first = max(self.search.stock(least), key=self.comfort, default=None)
        reserves = range(least + 1, least + self.settings.finalists)
        others = [found[0] for n in reserves if (found := self.search.stock(n))]
        return others if first is None else [first, *others]

    # --------------------------------------------------------------------------------- our own

    def ours(self, rivals: list[Scored]) -> list[Scored]:
        """Good plans of our own, fastest first; the nearest to good if there is none."""
        found = self._ascend(rivals)
        if found:
            found = self._faster(found)
        tried = [s for s in self.search.scored if s.recipe.fingerprint() in self._comfort]
        own = [s for s in tried if s.candidate.fitted]
        if not found:
            return sorted(own, key=self.comfort, reverse=True)[: self.settings.finalists]
        reserve = [s for s in own if self.good(s) and s.seconds > found[-1].seconds]
        return sorted([*found, *reserve], key=lambda s: s.seconds)[: self.settings.finalists]

    def _ascend(self, rivals: list[Scored]) -> list[Scored]:
        """Own plans with more and more steps, until one is good; and one more as a reserve."""
        most = min([MOST, *(s.plan.nfe for s in rivals[:1])])
        found: list[Scored] = []
        for steps in range(FEWEST, most + 1):
            for scored in self.search.level(steps):
                if self.good(scored):
                    found.append(scored)
                    break
                if self._lost(scored):
                    break
            if len(found) > 1 or not self.search.left:
                break
        return found

    def _faster(self, found: list[Scored]) -> list[Scored]:
        """Good plans that take less time than the fastest so far, while the budget lasts."""
        fastest = found[0]
        enough = fastest.error
        while self.search.left:
            base = self.search.next_base(enough)
            if base is None:
                break
            for scored in self.search.expand(base, 0.98 * fastest.seconds):
                if scored.error > ALIKE * enough or scored.seconds >= 0.98 * fastest.seconds:
                    continue
                if self.good(scored):
                    fastest = scored
                    found.insert(0, scored)
        return found

    def _lost(self, scored: Scored) -> bool:
        ratio = self.session.judge(scored.recipe, scored.label, BLOCK)["ratio"]["value"]
        return ratio is not None and ratio > LOST
