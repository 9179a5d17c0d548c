"""Search: proposes plans and tries them on the teacher's trajectories.

    stock     what everybody has
    family    stock solvers on grids of two free numbers
    fitted    grids and coefficients that come nearest to the teacher's endpoints, and learned ones
    around    grids near those of a candidate
    held      a candidate with rows held
    aimed     a candidate with its numbers where its samples are distributed most like the data

Everything tried goes through the journal, so the search is a deterministic programme over what is
written there, and a resumed one proposes the same.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
from torch import Tensor

from hasten.core.method import Tactic
from hasten.core.plan import Plan
from hasten.errors import PlanError
from hasten.solvers import GRIDS
from hasten.solvers.grids import resample
from hasten.tuning import moves, stock
from hasten.tuning.aim import aim
from hasten.tuning.bench import HOPELESS, Bench
from hasten.tuning.family import family
from hasten.tuning.journal import Journal
from hasten.tuning.learn import Numbers
from hasten.tuning.newton import ATTEMPTS, Floats
from hasten.tuning.recall import recalling
from hasten.tuning.seeds import trial_seed
from hasten.tuning.settings import Settings
from hasten.tuning.space import Candidate, Scored, finishing, front
from hasten.tuning.stages import Judging

SOLVER = "dpmpp_2m"
"""Whose coefficients a fit begins with; it hardly matters which."""
STARTS = 2
"""Grids that are refined for each number of steps, and candidates that are looked around."""
FEWEST, MOST = 2, 14
"""Steps of plans with grids of their own; with more, stock grids are good enough."""
SCREEN = 8
"""Trajectories of the first look."""
HALF, DEAR = 12, 8
"""The worse half of a field is left alone after the first look, but not if so few would stay; and
of a field whose outputs are finished all but so many, for even a few samples of those are dear."""
MEMBERS, NEAR, HELD, FITTED = 30, 6, 16, 8
"""Plans of a family; grids around a candidate; plans with held rows, and of these with fits."""
ROUNDS, AIMED = 3, 500
"""Steps of an aim, and samples that it looks at."""
SHAKE = 0.25
"""Standard deviation in log sigma of a grid nearby."""
NUMBERS = 16_000
"""How many numbers of samples a refinement rests on: with many a sample, few samples do."""

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
        trials: Candidates of our own so far.
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
        self.stopped_by = "nothing left to try"
        self._warm: Scored | None = None
        self._finish = finishing(bench.model)
        self._given = {recipe.fingerprint() for recipe in settings.given}

    # ------------------------------------------------------------------------ one piece of work

    def _remember(self, key: str, work: Callable[[], list[Scored]]) -> list[Scored]:
        def compute() -> dict[str, Any]:
            before = self.bench.evaluations
            found = [scored.to_dict() for scored in work()]
            return {"scored": found, "evaluations": self.bench.evaluations - before}

        value = self._journal.remember(key, compute)
        self.evaluations += int(value["evaluations"])
        found = [Scored.from_dict(facts) for facts in value["scored"]]
        return [self._finished(each) for each in found if each.error < HOPELESS]

    def _finished(self, scored: Scored) -> Scored:
        """With what every arm has done to its output; a recipe that was given stays as it is."""
        candidate = scored.candidate
        if candidate.kind == "search" and scored.recipe.fingerprint() in self._given:
            return scored
        recipe = candidate.recipe.also(self._finish)
        return dataclasses.replace(scored, candidate=dataclasses.replace(candidate, recipe=recipe))

    def _screen(self, key: str, field: Sequence[Candidate]) -> list[Scored]:
        """The half of the candidates that comes nearest to the teacher on few trajectories."""
        found = self._looked_at(key, field)
        kept = DEAR if self._finish else max(HALF, len(found) // 2)
        return sorted(found, key=lambda each: each.error)[:kept]

    def _looked_at(self, key: str, field: Sequence[Candidate]) -> list[Scored]:
        number = self.trials

        def work() -> list[Scored]:
            # a fit rests on all trajectories
            return [self.bench.score(c, number, None if c.fitted else SCREEN) for c in field]

        return self._remember(key, work)

    def _try(self, key: str, message: str, field: Sequence[Candidate]) -> list[Scored]:
        """Screen proposals of our own, as far as the budget goes."""
        field = field[: self._settings.trials - self.trials] if self.left else []
        if not field:
            return []
        self._say(self.share, message)
        self.trials += len(field)
        return self._screen(key, field)

    def keep(self, chosen: Sequence[Scored]) -> list[Scored]:
        """The chosen ones with their errors on all trajectories, as they enter the result."""
        found = []
        for each in chosen:
            if each.candidate.fitted:
                found.append(each)
                continue
            work = functools.partial(self._whole, each.candidate, each.trial)
            found += self._remember(f"whole/{each.candidate.key()}", work)
        known = {each.recipe.fingerprint() for each in self.scored}
        self.scored += [each for each in found if each.recipe.fingerprint() not in known]
        return found

    def _whole(self, candidate: Candidate, trial: int) -> list[Scored]:
        return [self.bench.score(candidate, trial)]

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
            self.stopped_by = "trials"
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

    def stock(self, evaluations: int) -> list[Scored]:
        """Stock plans with so many evaluations."""
        self._say(self.share, f"stock samplers with {evaluations} evaluations")
        field = stock.candidates(self.bench.model.process, evaluations)
        return self._screen(f"stock/{evaluations}", field)

    def given(self) -> list[Scored]:
        """The recipes that were given; they are no trials of the search."""
        field = [Candidate(recipe) for recipe in self._settings.given]
        if not field:
            return []
        self._say(self.share, "recipes that were given")
        names = "+".join(each.key() for each in field)
        return self._looked_at(f"given/{names}", field)

    def family(self, steps: int) -> list[Scored]:
        """Stock solvers on grids of two free numbers."""
        field = family(self.bench.model.process, steps, MEMBERS)
        return self._try(f"family/{steps}", f"{steps} steps: a family of grids", field)

    def fitted(self, steps: int) -> list[Scored]:
        """Grids and coefficients fitted to the teacher's endpoints; the nearest first."""
        starts = self._starts(steps)
        found = self._try(f"starts/{steps}/{len(starts)}", f"{steps} steps: fits", starts)
        found.sort(key=lambda s: s.error)
        refined = [r for s in found[:STARTS] if self.left for r in self._refine(s.candidate)]
        refined.sort(key=lambda s: s.error)
        self._warm = refined[0] if refined else None
        return [*(r for s in refined[:1] if self.left for r in self._learn(s)), *refined]

    def around(self, best: Sequence[Scored]) -> list[Scored]:
        """Plans near the best ones of a contest."""
        process, found = self.bench.model.process, list[Scored]()
        for base in best[:STARTS]:
            rng = np.random.default_rng(trial_seed(self._settings.seed, self.trials))
            field = moves.around(
                base.candidate, _levels(base), process, rng, count=NEAR, size=SHAKE
            )
            key = f"around/{base.candidate.key()}/{self.trials}"
            found += self._try(key, f"around {base.label}", field)
        return found

    def held(self, base: Scored, limit: float) -> list[Scored]:
        """The most promising plans with held rows that take less than a time."""
        timed = [
            (self.bench.seconds(each), each)
            for each in moves.held(base.candidate, _levels(base), self.options)
        ]
        timed = sorted((t for t in timed if t[0] < limit), key=lambda t: t[0], reverse=True)
        field = [each for _, each in timed[: 3 * HELD]]
        name, message = f"held/{base.candidate.key()}", f"{base.label}, rows held"
        plain = sorted(self._try(name, message, field), key=lambda s: s.error)[:HELD]
        # a held row is off in a way that other coefficients than a solver's make up for
        fits = [dataclasses.replace(s.candidate, fitted=True) for s in plain[:FITTED]]
        fitted = sorted(
            self._try(f"{name}/fitted", f"{message}, fits", fits), key=lambda s: s.error
        )
        learned = [r for s in fitted[:1] if self.left for r in self._learn(s)]
        return [*learned, *fitted[: HELD // 4], *plain[: HELD // 2]]

    def aimed(self, scored: Scored, session: Judging) -> list[Scored]:
        """A candidate whose samples come nearer to the data that the search compares with.

        Every time they are asked for counts as a trial, so a small budget has none of this. Methods
        are in their rough form.
        """
        try:
            numbers = len(Numbers(scored.plan, self.bench.model.process).start)
        except PlanError:
            return []
        cost = 1 + ROUNDS * (numbers + ATTEMPTS)
        if not self.left or self.trials + cost > self._settings.trials:
            return []
        self.trials += cost
        number = self.trials

        asked, net = recalling(self.bench.model, scored.recipe)

        def features(plan: Plan, near: bool) -> Tensor:
            recipe = dataclasses.replace(scored.recipe, plan=plan).rough()
            net.begin(anew=not near)
            return session.reading(recipe, f"aiming {scored.label}", AIMED, model=asked).features

        def work() -> list[Scored]:
            process = self.bench.model.process
            found = aim(features, session.reference.gaussian, scored.plan, process, rounds=ROUNDS)
            return [self.bench.placed(scored.candidate, found.plan, number)]

        self._say(self.share, f"aiming {scored.label}")
        return self._remember(f"aimed/{scored.recipe.fingerprint()}", work)

    def front(self) -> list[Scored]:
        """The best of everything tried, fastest first."""
        return front(self.scored)

    def _refine(self, candidate: Candidate) -> list[Scored]:
        """Move a candidate's noise levels to where its error is least."""
        self.trials += 1
        number = self.trials
        seeds = math.ceil(NUMBERS / math.prod(self.bench.model.shape))

        def work() -> list[Scored]:
            found = self.bench.refine(
                candidate, number, seeds=min(max(seeds, SCREEN), len(self.bench.train))
            )
            return [found]

        self._say(self.share, f"refining {candidate.label}")
        return self._remember(f"refine/{candidate.key()}", work)

    def _learn(self, scored: Scored) -> list[Scored]:
        """Move all numbers of a candidate's plan to where its error is least."""
        self.trials += 1
        number = self.trials

        def work() -> list[Scored]:
            seeds = len(self.bench.train)
            return [self.bench.learn(scored.candidate, scored.plan, number, seeds=seeds)]

        self._say(self.share, f"learning {scored.label}")
        return self._remember(f"learn/{scored.recipe.fingerprint()}", work)

    def _starts(self, steps: int) -> list[Candidate]:
        grids = []
        for name in stock.GRIDS:
            try:
                grids.append(GRIDS[name](self.bench.model.process, steps))
            except PlanError:
                continue
        if self._warm is not None:
            grids.append(resample(_levels(self._warm), steps))
        return [Candidate.of(SOLVER, sigmas) for sigmas in grids]


def _levels(scored: Scored) -> Floats:
    return np.array([row.sigma for row in scored.plan.rows if row.slot == 0])
