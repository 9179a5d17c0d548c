"""Search: proposes plans, tries them on the teacher's trajectories, keeps the front.

    level     a number of steps: every stock grid fitted, the best ones refined
    expand    what one held row, one row less or another mechanism does to a candidate
    shake     a candidate again from a grid nearby

Everything tried goes through the journal, so the search is a deterministic programme over what is
written there, and a resumed one proposes the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, final

import numpy as np

from hasten.core.method import Tactic
from hasten.errors import PlanError
from hasten.solvers import GRIDS
from hasten.solvers.grids import resample
from hasten.tuning.bench import HOPELESS, Bench
from hasten.tuning.journal import Journal
from hasten.tuning.moves import neighbours, shaken
from hasten.tuning.refine import distinct
from hasten.tuning.seeds import trial_seed
from hasten.tuning.settings import Settings
from hasten.tuning.space import Candidate, Scored, front
from hasten.tuning.stock import best_stocks

SOLVER = "dpmpp_2m"
"""Whose coefficients a fit begins with; it hardly matters which."""
STARTS = 2
"""Grids that are refined for each number of steps, and neighbours for each expansion."""
FEWEST, MOST = 2, 14
"""Steps of plans with grids of their own; with more, stock grids are good enough."""
FAR = 4.0
"""Candidates with an error so many times what is good enough are left alone."""
SHAKE = 0.3
"""Standard deviation in log sigma of a shaken grid."""
NUMBERS = {"screen": 4_000, "refine": 16_000}
"""How many numbers of samples errors rest on: with many a sample, few samples do."""

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
        scored: Everything tried on all trajectories so far, stock and searched, in order.
        trials: Pieces of work so far.
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
        self._stock: dict[int, list[Scored]] = {}
        self._expanded: set[str] = set()
        self._refined: set[str] = set()
        self._warm: Scored | None = None

    # ------------------------------------------------------------------------ one piece of work

    def _remember(self, key: str, work: Callable[[], list[Scored]]) -> list[Scored]:
        def compute() -> dict[str, Any]:
            before = self.bench.evaluations
            found = [scored.to_dict() for scored in work()]
            return {"scored": found, "evaluations": self.bench.evaluations - before}

        value = self._journal.remember(key, compute)
        self.evaluations += int(value["evaluations"])
        return [Scored.from_dict(facts) for facts in value["scored"]]

    def _trial(self, key: str, message: str, work: Callable[[int], list[Scored]]) -> list[Scored]:
        self.trials += 1
        number = self.trials
        self._say(self.share, message)
        return [s for s in self._remember(key, lambda: work(number)) if s.error < HOPELESS]

    def stock(self, evaluations: int) -> list[Scored]:
        """The best stock plans with so many evaluations, the nearest to the teacher first."""
        if evaluations not in self._stock:
            self._say(self.share, f"stock samplers with {evaluations} evaluations")
            found = self._remember(
                f"stock/{evaluations}", lambda: best_stocks(self.bench, evaluations)
            )
            self.scored += found
            self._stock[evaluations] = found
        return self._stock[evaluations]

    def refine(self, candidate: Candidate) -> list[Scored]:
        """Move a candidate's noise levels to where they are best."""
        if candidate.key() in self._refined:
            return []
        self._refined.add(candidate.key())

        def work(number: int) -> list[Scored]:
            found, _ = self.bench.refine(candidate, number, seeds=self._seeds("refine"))
            return [found]

        found = self._trial(f"refine/{candidate.key()}", f"refining {candidate.label}", work)
        self.scored += found
        return found

    def _seeds(self, what: str) -> int:
        wanted = math.ceil(NUMBERS[what] / math.prod(self.bench.model.shape))
        return min(max(wanted, 8), len(self.bench.train))

    # ------------------------------------------------------------------------------ the budget

    @property
    def share(self) -> float:
        """How much of the budget is spent."""
        return min(1.0, self.trials / max(1, self._settings.trials))

    @property
    def left(self) -> bool:
        """Whether another trial may begin.

        When the clock ends the search, that is written down, so that a resumed study ends it at
        the same trial.
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

    def level(self, steps: int) -> list[Scored]:
        """Own grids and coefficients with so many steps, refined; the best first."""
        starts = self._starts(steps, self._warm)
        if not self.left or not starts:
            return []
        found = self._trial(
            f"starts/{steps}/{len(starts)}",
            f"{steps} steps: {len(starts)} grids",
            functools.partial(self._screen, starts, "refine"),
        )
        found.sort(key=lambda s: s.error)
        refined = [r for s in found[:STARTS] if self.left for r in self.refine(s.candidate)]
        refined.sort(key=lambda s: s.error)
        self._warm = refined[0] if refined else None
        return refined

    def next_base(self, enough: float) -> Scored | None:
        """The member of the front, not yet expanded, whose error is nearest to ``enough``."""
        if not self.options:
            return None
        unknown = (s for s in self._near(enough) if s.candidate.key() not in self._expanded)
        return next(unknown, None)

    def expand(self, base: Scored, limit: float) -> list[Scored]:
        """The most promising neighbours of a candidate that take less than a time, refined."""
        self._expanded.add(base.candidate.key())
        around = neighbours(base.candidate, _levels(base), self.options, self.bench.model.process)
        found = self._trial(
            f"moves/{base.candidate.key()}",
            f"{len(around)} changes of {base.label}",
            functools.partial(self._screen, [base.candidate, *around], "screen"),
        )
        itself = next((s for s in found if s.candidate == base.candidate), None)
        if itself is None:
            return []
        curve = self.front()

        def gain(scored: Scored) -> float:
            # few trajectories say by how much a change helps, not what the error is
            error = base.error * scored.error / itself.error
            return _curve(curve, scored.seconds) - math.log(error)

        better = [s for s in found if s is not itself and s.seconds < limit]
        better.sort(key=gain, reverse=True)
        return [r for s in better[:STARTS] if self.left for r in self.refine(s.candidate)]

    def shake(self, base: Scored) -> list[Scored]:
        """A candidate refined again from a grid nearby."""
        rng = np.random.default_rng(trial_seed(self._settings.seed, self.trials))
        process = self.bench.model.process
        moved = shaken(_levels(base), SHAKE, rng, process)
        return self.refine(base.candidate.moved(distinct(process, moved)))

    def front(self) -> list[Scored]:
        """The best of everything tried, fastest first."""
        return front(self.scored)

    def _starts(self, steps: int, warm: Scored | None) -> list[Candidate]:
        grids = []
        for grid in GRIDS.values():
            try:
                grids.append(grid(self.bench.model.process, steps))
            except PlanError:
                continue
        if warm is not None:
            grids.append(resample(_levels(warm), steps))
        return [Candidate.of(SOLVER, sigmas) for sigmas in grids]

    def _screen(self, candidates: list[Candidate], stage: str, number: int) -> list[Scored]:
        return [self.bench.score(each, number, self._seeds(stage)) for each in candidates]

    def _near(self, enough: float) -> Iterator[Scored]:
        """Fitted members of the front, those nearest to an error first."""
        fitted = [s for s in self.front() if s.candidate.fitted]
        for scored in sorted(fitted, key=lambda s: abs(math.log(s.error / enough))):
            if enough / FAR < scored.error < enough * FAR:
                yield scored


def _levels(scored: Scored) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([row.sigma for row in scored.plan.rows if row.slot == 0])


def _curve(curve: list[Scored], seconds: float) -> float:
    """Logarithm of the front's error at a time, straight between its members and beyond."""
    times = np.array([s.seconds for s in curve])
    errors = np.log([s.error for s in curve])
    if len(curve) < 2:
        return float(errors[0])
    k = int(np.clip(np.searchsorted(times, seconds), 1, len(curve) - 1))
    slope = (errors[k] - errors[k - 1]) / (times[k] - times[k - 1])
    return float(errors[k - 1] + slope * (seconds - times[k - 1]))
