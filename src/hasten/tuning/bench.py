"""Bench: where candidates are tried on the teacher's trajectories."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import final

import numpy as np
from torch import Tensor

from hasten.applying import apply
from hasten.core.method import Stage
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.errors import OutputError, PlanError
from hasten.recipe import Recipe
from hasten.tuning.fit import Fit
from hasten.tuning.learn import learn
from hasten.tuning.newton import Floats, mean_error, sample_errors
from hasten.tuning.play import Played, play
from hasten.tuning.refine import distinct, refine
from hasten.tuning.space import Candidate, Scored
from hasten.tuning.speeds import Speeds
from hasten.tuning.teacher import Teacher

HOPELESS = 1e9
"""Error of a plan that cannot be built or leaves the numbers."""


@final
@dataclass
class Bench:
    """Tries candidates; all with the same noise, so that they can be compared in pairs.

    Attributes:
        model: Whose candidates.
        train: Trajectories that candidates are fitted and ranked on.
        valid: Others, on which what was fitted is checked.
        speeds: What rows cost.
        guidance: Weight of every run.
        evaluations: Of the net so far, counted per sample.
    """

    model: Model
    train: Teacher
    valid: Teacher
    speeds: Speeds
    guidance: float = 1.0
    evaluations: int = field(default=0)

    def score(self, candidate: Candidate, trial: int, seeds: int | None = None) -> Scored:
        """Fit if asked, and measure the distance to the converged samples.

        A candidate that cannot be carried out gets an infinite error, not an exception: the search
        goes on.
        """
        teacher = self.train if seeds is None else self.train.part(0, seeds)
        try:
            plan = self._plan(candidate)
        except PlanError:
            return self._hopeless(candidate, trial)
        try:
            with self._attached(candidate.recipe) as model:
                played = self._play(model, plan, teacher, fitted=candidate.fitted)
        except (OutputError, PlanError):
            return self._hopeless(candidate, trial)
        error = mean_error(played.end, teacher.end)
        plan = dataclasses.replace(played.plan, label=candidate.label)
        return Scored(candidate, plan, self.speeds.of(plan, candidate.tactic), error, trial)

    def ask(self, x: Tensor, sigma: float, teacher: Teacher) -> Tensor:
        """The net's x0 for points of these trajectories [n, *shape], counted."""
        self.evaluations += len(x)
        cond = self.model.encode(teacher.cond, teacher.seeds)
        return self.model.denoise(x, sigma, cond, self.guidance)

    def seconds(self, candidate: Candidate) -> float:
        """Predicted time a sample."""
        return self.speeds.of(self._plan(candidate), candidate.tactic)

    def refine(self, candidate: Candidate, trial: int, *, seeds: int, rounds: int = 6) -> Scored:
        """Move the candidate's noise levels to where its error is least, then score it.

        Args:
            candidate: With explicit noise levels or a grid.
            trial: Its number.
            seeds: How many trajectories the moves are judged on.
            rounds: At most this many Gauss-Newton steps.
        """
        teacher = self.train.part(0, min(seeds, len(self.train)))
        process = self.model.process
        try:
            start = np.array([row.sigma for row in self._plan(candidate).rows if row.slot == 0])
            with self._attached(candidate.recipe) as model:

                def ask(levels: Floats, before: Played | None) -> Played:
                    plan = self._plan(candidate.moved(distinct(process, levels)))
                    return self._play(model, plan, teacher, fitted=candidate.fitted, before=before)

                sigmas, _ = refine(
                    ask,
                    teacher.end,
                    start,
                    high=process.sigma_max,
                    low=process.sigma_min,
                    rounds=rounds,
                )
            moved = candidate.moved(distinct(process, sigmas))
        except (OutputError, PlanError):
            return self._hopeless(candidate, trial)
        return self.score(moved, trial)

    def learn(
        self, candidate: Candidate, plan: Plan, trial: int, *, seeds: int, rounds: int = 8
    ) -> Scored:
        """Move all free numbers of a candidate's plan to where its error is least, then score it.

        Args:
            candidate: What carries out the plan.
            plan: Where to begin: its rows, with coefficients as they were fitted.
            trial: Its number.
            seeds: How many trajectories the moves are judged on.
            rounds: At most this many Gauss-Newton steps.
        """
        teacher = self.train.part(0, min(seeds, len(self.train)))
        candidate = dataclasses.replace(candidate, fitted=True)
        try:
            with self._attached(candidate.recipe) as model:
                learned, _ = learn(
                    lambda rows, near: self._play(model, rows, teacher, fitted=False, before=near),
                    teacher.end,
                    plan,
                    self.model.process,
                    rounds=rounds,
                )
        except (OutputError, PlanError):
            return self._hopeless(candidate, trial)
        return self.placed(candidate, learned, trial)

    def placed(self, candidate: Candidate, plan: Plan, trial: int) -> Scored:
        """A candidate with a plan of its own that was found elsewhere, scored as it is."""
        candidate = dataclasses.replace(candidate, fitted=True)
        try:
            with self._attached(candidate.recipe) as model:
                end = self._play(model, plan, self.train, fitted=False).end
        except (OutputError, PlanError):
            return self._hopeless(candidate, trial)
        plan = dataclasses.replace(plan, label=candidate.label)
        seconds = self.speeds.of(plan, candidate.tactic)
        return Scored(candidate, plan, seconds, mean_error(end, self.train.end), trial)

    def recipe_error(self, recipe: Recipe) -> float | None:
        """Error of a finished recipe, validation seeds; None where noise is drawn on the way."""
        played = self._validate(recipe)
        return None if played is None else mean_error(played.end, self.valid.end)

    def sample_errors(self, recipe: Recipe) -> list[float]:
        """Error of each sample of a finished recipe, validation seeds [n].

        Raises:
            PlanError: If it draws noise on the way, so that it follows no trajectory.
        """
        played = self._validate(recipe)
        if played is None:
            raise PlanError("a plan that draws noise has no endpoint error", where=recipe.label)
        return [float(error) for error in sample_errors(played.end, self.valid.end)]

    def row_errors(self, recipe: Recipe) -> list[float]:
        """Error of the x0 that each row of a finished recipe gave, validation seeds; or nothing."""
        played = self._validate(recipe)
        outputs = () if played is None else played.outputs
        return [mean_error(output, self.valid.end) for output in outputs]

    def _validate(self, recipe: Recipe) -> Played | None:
        plan = recipe.resolve(self.model.process)
        if plan.stochastic:
            return None
        with self._attached(recipe) as model:
            return self._play(model, plan, self.valid, fitted=False)

    def _plan(self, candidate: Candidate) -> Plan:
        return candidate.recipe.resolve(self.model.process)

    def _play(
        self,
        model: Model,
        plan: Plan,
        teacher: Teacher,
        *,
        fitted: bool,
        before: Played | None = None,
    ) -> Played:
        revise = Fit(teacher) if fitted else None
        played = play(
            model,
            plan,
            teacher.noise,
            self.model.encode(teacher.cond, teacher.seeds),
            guidance=self.guidance,
            revise=revise,
            before=before,
        )
        self.evaluations += played.evaluated * len(teacher)
        return played

    @contextmanager
    def _attached(self, recipe: Recipe) -> Iterator[Model]:
        # what is done to the output does not change where a sample ends
        methods = tuple(each for each in recipe.methods if each.stage is not Stage.DECODE)
        if not methods:
            yield self.model
            return
        recipe = dataclasses.replace(recipe, methods=methods)
        with apply(self.model, recipe, guidance=self.guidance) as applied:
            yield applied.model

    def _hopeless(self, candidate: Candidate, trial: int) -> Scored:
        plan = Candidate.stock("ddim", "trailing", 1).spec.resolve(self.model.process)
        return Scored(candidate, plan, HOPELESS, HOPELESS, trial)
