"""Find: the best plan for one budget of evaluations, by one strategy, without a judge.

Cheap and paired: candidates are tried on training trajectories, the nearest of them chosen on
others, and what is reported comes from a third set that nothing was chosen on, beside the best
sampler off the shelf with as many evaluations. It ranks plans by the distance to the converged
samples; whether samples stay as good is for `tune` to prove.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hasten.core.fingerprint import fingerprint
from hasten.core.identity import model_fingerprint
from hasten.core.model import Model
from hasten.errors import BudgetError, OutputError, RunError
from hasten.recipe import Recipe
from hasten.tables import known
from hasten.tuning import stock
from hasten.tuning.bench import HOPELESS, Bench
from hasten.tuning.journal import Journal
from hasten.tuning.seeds import Conditions, drawn_conditions, stream, trial_seed
from hasten.tuning.space import Candidate, Scored, tactics
from hasten.tuning.speeds import Speeds, measure_speeds
from hasten.tuning.strategies import STRATEGIES, Care, Space, Trial
from hasten.tuning.strategies.trial import best
from hasten.tuning.teacher import Teacher, converged_plan, kept

TRAIN, VALID, FRESH = 96, 64, 128
"""Trajectories to search on, to choose on, and to report on."""
CLOSE = 64
"""Trajectories that numbers are moved on."""
CHOSEN = 4
"""Plans that are compared on the trajectories to choose on."""
SCREEN, NEAREST = 16, 8
"""Trajectories of the first look at samplers off the shelf, and how many are looked at again."""
CHUNK = 64
"""Samples in one pass of the converged sampler."""

Say = Callable[[float, str], None]
"""Told the share that is done, and what goes on."""


@final
@dataclass(frozen=True, eq=False)
class Plans:
    """What was found.

    Attributes:
        best: The plan, with what it was chosen by.
        stock: The best sampler off the shelf with as many evaluations.
        errors: RMSE of every fresh sample: of the plan and of the sampler, two arrays [n].
        trials: Candidates tried.
        evaluations: Of the net for these trials, counted per sample; those of the trajectories and
            of samplers off the shelf are not among them.
    """

    best: Scored
    stock: Scored
    errors: tuple[NDArray[np.float64], NDArray[np.float64]]
    trials: int
    evaluations: int

    @property
    def recipe(self) -> Recipe:
        """What a user would apply."""
        return self.best.recipe


def find_plan(
    model: Model,
    evaluations: int,
    *,
    strategy: str = "learned",
    trials: int = 150,
    guidance: float = 1.0,
    batch: int = 1,
    conditions: Conditions | None = None,
    speeds: Speeds | None = None,
    seed: int = 0,
    journal: Path,
    say: Say | None = None,
) -> Plans:
    """The plan nearest to the converged samples that takes no more time than so many evaluations.

    Args:
        model: Whose plan; it is not changed.
        evaluations: Full evaluations that it may take as much time as.
        strategy: A name from `hasten.tuning.strategies.STRATEGIES`.
        trials: Candidates that may be tried.
        guidance: Weight of classifier-free guidance.
        batch: Samples in one pass when rows are timed (strategies that reuse features).
        conditions: Gives the conditions of seeds; None draws classes uniformly.
        speeds: What rows cost; None measures it.
        seed: Of everything random.
        journal: A file that remembers finished trials; the same call goes on from there.
        say: Told of progress.

    Returns:
        The plan and its rival off the shelf, with their errors on fresh seeds.

    Raises:
        BudgetError: If there are too few evaluations or trials, or too many evaluations for the
            noise levels that the net knows, or no plan that was tried will do.
        RecipeError: If there is no such strategy.
        RunError: If the journal belongs to another search.
    """
    known("strategy", strategy, STRATEGIES, "find")
    if evaluations < 1:
        raise BudgetError(f"{evaluations} evaluations", hint="at least 1")
    if trials < 1:
        raise BudgetError(f"{trials} trials", hint="at least 1; 150 are usual")
    shelf = stock.candidates(model.process, evaluations)
    if not shelf:
        raise BudgetError(
            f"no stock sampler takes {evaluations} evaluations here", where=model.name, hint=_FEWER
        )
    finder = _Finder(model, guidance, conditions, seed, Journal(journal), say or _silent)
    finder.begin([evaluations, strategy, batch, speeds.to_dict() if speeds else {}])
    chosen = STRATEGIES[strategy]
    options = tactics(model) if chosen.reuses else []
    bench = finder.bench(options, batch, speeds)
    space = Space(bench, evaluations, bench.speeds.worthwhile(options))
    tried = finder.run(strategy, space, trials)
    if not finder.trials:
        raise BudgetError(
            f"no plan of {evaluations} evaluations could be tried", where=strategy, hint=_FEWER
        )
    if not tried:
        raise BudgetError(
            f"of {finder.trials} plans tried none is finite and takes the time of {evaluations} "
            "evaluations at most",
            where=strategy,
            hint="more trials, or another strategy",
        )
    found = finder.choose("valid", VALID, best(tried, CHOSEN))
    rival = finder.shelf(bench, shelf)
    return Plans(
        found,
        rival,
        (finder.errors("fresh", FRESH, found), finder.errors("fresh", FRESH, rival)),
        finder.trials,
        finder.evaluations,
    )


@final
class _Finder:
    """The pieces of a search, each remembered in the journal."""

    def __init__(
        self,
        model: Model,
        guidance: float,
        conditions: Conditions | None,
        seed: int,
        journal: Journal,
        say: Say,
    ) -> None:
        self._model, self._guidance, self._seed = model, guidance, seed
        self._conditions = drawn_conditions(model) if conditions is None else conditions
        self._journal, self._say = journal, say
        self._identity = model_fingerprint(model)
        self._teachers: dict[tuple[str, int], Teacher] = {}
        self.trials = self.evaluations = 0

    def begin(self, facts: list[Any]) -> None:
        """Refuse a journal of another search."""
        cond = self._conditions(stream(self._seed, "plan-train", TRAIN))
        facts = [*facts, self._guidance, self._seed, [] if cond is None else cond.tolist()]
        mine = fingerprint([self._identity, facts])
        if self._journal.remember("search", lambda: mine) != mine:
            raise RunError(
                "this file remembers a search of another model or with other settings",
                where=str(self._journal.path),
                hint="give another file, or remove it",
            )

    def teacher(self, name: str, count: int) -> Teacher:
        """Converged trajectories, kept beside the journal for all searches in its folder."""
        if (name, count) not in self._teachers:
            self._teachers[name, count] = self._taught(name, count)
        return self._teachers[name, count]

    def _taught(self, name: str, count: int) -> Teacher:
        self._say(0.0, f"converged trajectories ({name}, {count})")
        seeds = stream(self._seed, f"plan-{name}", count)
        return kept(
            self._journal.path.parent / "trajectories",
            self._model,
            converged_plan(self._model.process),
            seeds,
            self._conditions(seeds),
            identity=self._identity,
            guidance=self._guidance,
            batch=CHUNK,
        )

    def bench(self, options: Sequence[Any], batch: int, speeds: Speeds | None) -> Bench:
        """Where candidates are tried."""

        def compute() -> dict[str, Any]:
            self._say(0.0, "timing every kind of row")
            seeds = stream(self._seed, "speed", batch)
            cond = self._conditions(seeds)
            return measure_speeds(
                self._model, options, seeds, cond, guidance=self._guidance
            ).to_dict()

        if speeds is None:
            speeds = Speeds.from_dict(self._journal.remember("speeds", compute))
        train = self.teacher("train", TRAIN)
        return Bench(self._model, train, train, speeds, self._guidance)

    def run(self, strategy: str, space: Space, trials: int) -> list[Scored]:
        """Everything that was tried and fits, in order."""
        rng = np.random.default_rng(trial_seed(self._seed, 0))
        search = STRATEGIES[strategy].propose(space, rng)
        tried = list[Scored]()
        try:
            batch = next(search)
            while self.trials < trials:
                scored = []
                for trial in batch[: trials - self.trials]:
                    self.trials += 1
                    self._say(self.trials / trials, f"{trial.care}: {trial.candidate.label}")
                    found, spent = self._try(space.bench, trial, self.trials)
                    self.evaluations += spent
                    scored.append(found)
                tried += scored
                batch = search.send(scored)
        except StopIteration:
            pass
        limit = space.seconds * (1 + 1e-9)
        return [each for each in tried if each.error < HOPELESS and each.seconds <= limit]

    def _try(self, bench: Bench, trial: Trial, number: int) -> tuple[Scored, int]:
        """What a trial came to, and the evaluations of the net it took, counted per sample."""

        def compute() -> dict[str, Any]:
            before = bench.evaluations
            if trial.care is Care.REFINE:
                found = bench.refine(trial.candidate, number, seeds=CLOSE)
            elif trial.start is not None:
                found = bench.learn(trial.candidate, trial.start, number, seeds=CLOSE)
            else:
                found = bench.score(trial.candidate, number, trial.seeds)
            return {"scored": found.to_dict(), "evaluations": bench.evaluations - before}

        key = f"{number}/{trial.care}/{trial.candidate.key()}"
        value = self._journal.remember(key, compute)
        return Scored.from_dict(value["scored"]), int(value["evaluations"])

    def errors(self, name: str, count: int, scored: Scored) -> NDArray[np.float64]:
        """RMSE to the converged sample of every seed of a set [n]."""

        def compute() -> list[float]:
            teacher = self.teacher(name, count)
            bench = Bench(self._model, teacher, teacher, _FREE, self._guidance)
            try:
                return [float(f"{e:.6g}") for e in bench.sample_errors(scored.recipe)]
            except OutputError:  # finite on the trajectories it was tried on, but not on these
                return [HOPELESS] * count

        key = f"{name}/{scored.recipe.fingerprint()}"
        return np.array(self._journal.remember(key, compute))

    def choose(self, name: str, count: int, among: Sequence[Scored]) -> Scored:
        """The nearest on other trajectories."""
        return min(among, key=lambda each: float(self.errors(name, count, each).mean()))

    def shelf(self, bench: Bench, field: Sequence[Candidate]) -> Scored:
        """Of some stock samplers, the one that is nearest on the training trajectories."""
        number = 0
        for seeds, count in ((SCREEN, NEAREST), (None, 1)):
            scored = []
            for candidate in field:
                number -= 1
                self._say(1.0, f"stock: {candidate.label}")
                scored.append(self._try(bench, Trial(candidate, seeds=seeds), number)[0])
            nearest = best(scored, count)
            field = [each.candidate for each in nearest]
        return nearest[0]


_FEWER = "fewer evaluations: the net knows too few noise levels for so many"

_FREE = Speeds(0.0, 0.0, {})
"""For benches that time nothing."""


def _silent(share: float, message: str) -> None:
    """Nobody is listening."""
