"""Search: proposes plans, tries them on the teacher's trajectories, keeps the front.

Everything tried goes through the journal, so the search is a deterministic programme over what is
written there, and a resumed one proposes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from hasten.core.method import Tactic
from hasten.errors import PlanError
from hasten.solvers import GRIDS
from hasten.tune.bench import HOPELESS, Bench
from hasten.tune.journal import Journal
from hasten.tune.settings import Settings
from hasten.tune.space import Candidate, Scored, front
from hasten.tune.stock import best_stock

REFINE_SEEDS = 24
"""Trajectories a grid is refined on; a whole vector of residuals each, so a few do."""
STARTS = 2
"""Grids that are refined for each number of steps."""
FEWEST, MOST = 2, 14
"""Steps of plans with grids of their own; with more, stock grids are good enough."""

Say = Callable[[float, str], None]
"""Told the share of the budget that is spent, and what goes on."""


@final
class Search:
    """The cheap stage.

    Args:
        bench: Where candidates are tried.
        journal: Where results are kept.
        settings: Budget.
        options: Mechanisms of reuse to choose from.
        say: Told of progress.

    Attributes:
        scored: Everything tried so far, stock and searched, in order.
        trials: Searched candidates so far.
        evaluations: Of the net, counted per sample, over all processes that worked on the study.
        stopped_by: What ended the search.
    """

    def __init__(
        self,
        bench: Bench,
        journal: Journal,
        settings: Settings,
        options: list[Tactic],
        say: Say,
    ) -> None:
        self.bench, self.options = bench, options
        self._journal, self._settings, self._say = journal, settings, say
        self.scored: list[Scored] = []
        self.trials = self.evaluations = 0
        self.stopped_by = "trials"
        self._stock: dict[int, Scored | None] = {}

    # ------------------------------------------------------------------------------- one trial

    def _remember(self, key: str, work: Callable[[], Scored | None]) -> Scored | None:
        def compute() -> dict[str, Any]:
            before = self.bench.evaluations
            found = work()
            spent = self.bench.evaluations - before
            return {"scored": None if found is None else found.to_dict(), "evaluations": spent}

        value = self._journal.remember(key, compute)
        self.evaluations += int(value["evaluations"])
        if value["scored"] is None:
            return None
        found = Scored.from_dict(value["scored"])
        if found.error < HOPELESS:
            self.scored.append(found)
        return found

    def stock(self, evaluations: int) -> Scored | None:
        """The best stock plan with so many evaluations."""
        if evaluations not in self._stock:
            self._say(self.share, f"stock samplers with {evaluations} evaluations")
            self._stock[evaluations] = self._remember(
                f"stock/{evaluations}", lambda: best_stock(self.bench, evaluations)
            )
        return self._stock[evaluations]

    def attempt(self, candidate: Candidate) -> Scored:
        """Try a candidate as it is."""
        return self._trial("trial", candidate, lambda n: self.bench.score(candidate, n))

    def refine(self, candidate: Candidate) -> Scored:
        """Try a candidate with its noise levels moved to where they are best."""
        return self._trial(
            "refine", candidate, lambda n: self.bench.refine(candidate, n, seeds=REFINE_SEEDS)[0]
        )

    def _trial(self, kind: str, candidate: Candidate, work: Callable[[int], Scored]) -> Scored:
        self.trials += 1
        number = self.trials
        self._say(self.share, f"trial {number}: {candidate.label}")
        found = self._remember(f"{kind}/{candidate.key()}", lambda: work(number))
        if found is None:
            raise AssertionError("a trial always has a result")
        return found

    # ------------------------------------------------------------------------------ the budget

    @property
    def share(self) -> float:
        """How much of the budget is spent."""
        return min(1.0, self.trials / max(1, self._settings.trials))

    @property
    def left(self) -> bool:
        """Whether another trial may begin.

        When the clock ends the search, that is written down, so that a resumed study ends it at the
        same trial.
        """
        if self.trials >= self._settings.trials:
            return False
        if "stop" in self._journal:
            self.stopped_by = "minutes"
            return self.trials < int(self._journal.get("stop"))
        minutes = self._settings.minutes
        if minutes is not None and self._journal.clock > 60 * minutes:
            self._journal.put("stop", self.trials)
            self.stopped_by = "minutes"
            return False
        return True

    # --------------------------------------------------------------------------- the proposals

    def grids(self, most: int, enough: float) -> None:
        """Own grids and coefficients, for fewer and fewer steps.

        Args:
            most: Number of steps to begin with.
            enough: An error known to be good enough; the search goes on below, until far from it.
        """
        for steps in range(min(most, MOST), FEWEST - 1, -1):
            starts = [self.attempt(c) for c in self._starts(steps) if self.left]
            starts.sort(key=lambda s: (s.error, s.trial))
            found = [self.refine(s.candidate) for s in starts[:STARTS] if self.left]
            if not self.left or min((s.error for s in found), default=HOPELESS) > 4 * enough:
                return

    def _starts(self, steps: int) -> list[Candidate]:
        found = []
        for grid in GRIDS.values():
            try:
                sigmas = grid(self.bench.model.process, steps)
            except PlanError:
                continue
            found.append(Candidate.of("ddim" if steps < 3 else "dpmpp_2m", sigmas))
        return found

    def front(self) -> list[Scored]:
        """The best of everything tried, fastest first."""
        return front(self.scored)
