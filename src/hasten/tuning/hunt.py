"""Hunt: the way from proposals to the candidates that are worth a verdict.

rivals    the fewest evaluations with which any stock sampler is comfortably within
given     recipes that the user has and wants to be tried
ascend    own plans, from half as many evaluations: fewer as long as one is good, else more;
          where none is good but one is near, it is aimed at the data
faster    held rows, for what takes less time than the fastest so far
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

from hasten.tuning.contest import Contest
from hasten.tuning.search import FEWEST, MOST, Search
from hasten.tuning.settings import Settings
from hasten.tuning.space import Scored

WIDEST = 40
"""Most evaluations of a stock sampler that is looked at."""
LOST = 2.0
"""If the best distance is so many times the reference's, its like are not looked at further."""
ATTEMPTS, PROMISING = 3, 0.1
"""How often the surroundings of the best of some steps are looked at, again only if it is so likely
to pass. Fewer steps gain more than a held row does, so of those the surroundings are seen once."""
FASTER = 0.98
"""A candidate is faster if its time is below this share."""


@final
@dataclass
class Hunt:
    """Finds what is fast and comfortably within, on the search's seeds.

    Attributes:
        search: Proposes and tries candidates.
        contest: Compares them.
        settings: Budget.
        reference: Evaluations of the speed reference; a stock sampler with as many is no rival,
            unless one is all it has.
        aims: Whether plans may be aimed at the real samples that the search sees: not if the same
            ones judge.
    """

    search: Search
    contest: Contest
    settings: Settings
    reference: int = WIDEST + 1
    aims: bool = True
    _stock: dict[int, list[Scored]] = field(default_factory=dict)

    # ------------------------------------------------------------------------------- the rival

    def rivals(self) -> list[Scored]:
        """The first stock samplers that are good, fewest evaluations first."""
        widest = max(1, min(WIDEST, self.reference - 1))
        # low fails, high passes, as far as known
        low, high, at, stride = 0, widest + 1, min(8, widest), 2
        while high - low > 1:
            if self._stocks(at):
                high = at
            else:
                low = at
            if high > widest:  # nothing passed yet: further and further up
                at, stride = min(at + stride, widest), 2 * stride
            else:
                at = (low + high) // 2
        found = [good for count in sorted(self._stock) for good in self._stocks(count)]
        if len(found) < self.settings.finalists and high < widest:
            found += self._stocks(high + 1) if high + 1 not in self._stock else []
        return found[: self.settings.finalists] or self._nearest(self._stock[widest])

    def _stocks(self, evaluations: int) -> list[Scored]:
        """The good ones of the best stock samplers with so many evaluations."""
        if evaluations not in self._stock:
            best = self.contest.hold(self.search.stock(evaluations))
            self._stock[evaluations] = self.search.keep(best)
        return [each for each in self._stock[evaluations] if self.contest.good(each)]

    # --------------------------------------------------------------------------------- our own

    def ours(self, rivals: list[Scored]) -> list[Scored]:
        """Good plans of our own, fastest first; the nearest to good if there is none."""
        given = self._given()
        rival = min([MOST + 1, *(s.plan.nfe for s in (*rivals[:1], *given))])
        found = self._ascend(rival)
        if self.search.options and self.search.left:
            # a rival with room below the margin may hold rows as well as a plan of our own; and
            # with nothing faster than it yet, so may one as long as the rival's
            own = found or self._level(min(rival, MOST))
            fastest = min((s.seconds for s in (*found, *rivals, *given)), default=math.inf)
            for base in (*own[:1], *rivals[:1]):
                better = self._faster(base, fastest)
                fastest = min([fastest, *(s.seconds for s in better)])
                found = [*better, *found]
        found = [*found, *given]
        if not found:
            own = [s for s in self.search.scored if s.candidate.kind == "search"]
            faster = [s for s in own if rivals and s.seconds < FASTER * rivals[0].seconds]
            return self._nearest(faster or own)
        return sorted(found, key=lambda s: s.seconds)[: self.settings.finalists]

    def _given(self) -> list[Scored]:
        """The good ones of the recipes that were given.

        No contest among them: that ranks by how near they come, and a slower one would push out a
        faster one that is near enough.
        """
        best = [kept for each in self.search.given() for kept in self.contest.hold([each])]
        return self._kept(best)

    def _nearest(self, tried: list[Scored]) -> list[Scored]:
        known = [s for s in tried if self.contest.known(s)]
        return sorted(known, key=self.contest.comfort, reverse=True)[: self.settings.finalists]

    def _ascend(self, rival: int) -> list[Scored]:
        """Good plans with the fewest steps, fewer than the rival's if there are such."""
        steps = max(FEWEST, rival // 2)
        found = self._level(steps) if steps < rival else []
        if found:
            while steps > FEWEST and (fewer := self._level(steps - 1)):
                found, steps = [*fewer, *found], steps - 1
            return found
        while not found and steps + 1 < rival and self.search.left:
            steps += 1
            found = self._level(steps)
        return found

    def _level(self, steps: int) -> list[Scored]:
        """The good ones of the best own plans with so many steps."""
        proposed = self.search.family(steps) + self.search.fitted(steps)
        best = self._surveyed(self.contest.hold(proposed), ATTEMPTS)
        near = best and not self.contest.good(best[0]) and self.contest.ratio(best[0]) < LOST
        if self.aims and near:
            session = self.contest.session
            aimed = self.search.aimed(best[0], session)
            # what was aimed at cannot be all that vouches for it
            sound = [each for each in aimed if session.sound(each.recipe, each.label)]
            best = self.contest.hold([*best, *sound])
        return self._kept(best)

    def _surveyed(self, best: list[Scored], attempts: int) -> list[Scored]:
        """The best, and of what lies around them; again if that was near."""
        for attempt in range(attempts):
            if not best or self.contest.ratio(best[0]) >= LOST:
                break
            if attempt and (
                self.contest.good(best[0]) or self.contest.comfort(best[0]) < PROMISING
            ):
                break
            best = self.contest.hold([*best, *self.search.around(best)])
        return best

    def _kept(self, best: list[Scored]) -> list[Scored]:
        """The good ones of the best."""
        return [s for s in self.search.keep(best) if self.contest.good(s)]

    def _faster(self, base: Scored, fastest: float) -> list[Scored]:
        """Good plans like one, but with rows held, that take less than a time."""
        proposed = self.search.held(base, FASTER * fastest)
        return self._kept(self._surveyed(self.contest.hold(proposed), 1))
