"""Study: the whole of ``tune``, from a model to a result on the disk.

speeds ─► teacher ─► stock samplers ─► own plans ─► finalists ─► verdicts ─► timing ─► result
                     (cheap errors, then distributions     (fresh seeds)   (pairs)
                      on the search's seeds)
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from hasten.core.identity import model_fingerprint
from hasten.core.method import Tactic
from hasten.core.model import Model
from hasten.errors import RecipeError
from hasten.recipe import PlanSpec, Recipe
from hasten.solvers import loop
from hasten.tuning.bench import Bench
from hasten.tuning.contest import Contest
from hasten.tuning.folder import TRIALS, Folder
from hasten.tuning.hunt import Hunt
from hasten.tuning.journal import Journal
from hasten.tuning.judging import Court
from hasten.tuning.search import Search
from hasten.tuning.seeds import Conditions, drawn_conditions, stream
from hasten.tuning.space import Scored, finishing, tactics
from hasten.tuning.speeds import Speeds, measure_speeds
from hasten.tuning.stages import Judging, samples_needed
from hasten.tuning.standard import Standard, settle
from hasten.tuning.teacher import Teacher, converged_plan, kept

OWN_SAMPLES = 2000
"""Converged samples drawn as reference when there are no data."""
CHUNK = 64
"""Samples in one pass where time is not measured."""

Progress = Callable[[str, float, str], None]
"""Told the stage, its share that is done, and a message."""


@final
class Study:
    """One study; `tune` runs its parts in order.

    Args:
        model: To be made faster.
        folder: Where it lives.
        conditions: Condition of every seed; None draws classes uniformly.
        data: Reference samples given as a tensor, instead of the folder's path.
        progress: Told how it goes.
        standard: What judges, if that is settled already.
    """

    def __init__(
        self,
        model: Model,
        folder: Folder,
        conditions: Conditions | None,
        data: Tensor | None,
        progress: Progress,
        standard: Standard | None = None,
    ) -> None:
        self.model, self.folder, self.settings = model, folder, folder.settings
        self.conditions = drawn_conditions(model) if conditions is None else conditions
        self.progress = progress
        self.journal = Journal(folder.path / TRIALS)
        self.fingerprint = model_fingerprint(model)
        finish = finishing(model)
        self.baseline = baseline(model).also(finish)
        self.converged = Recipe(converged_plan(model.process)).also(finish)
        self.references = {"baseline": self.baseline, "converged": self.converged}
        self.options = [] if self.settings.only == "plan" else tactics(model)
        self.speeds = self._speeds()
        self.options = self.speeds.worthwhile(self.options)
        self.standard = self._settled(data) if standard is None else standard
        self.court = self._court()
        self.session = self.judging(
            "judge", self.settings.seed, self.settings.search_samples, self.settings.finalists
        )
        self.bench = Bench(
            model,
            self._teacher("train"),
            self._teacher("valid"),
            self.speeds,
            self.settings.guidance,
        )
        self.search = Search(
            self.bench, self.journal, self.settings, self.options, self._say("search")
        )

    # --------------------------------------------------------------------------- what it rests on

    def _say(self, stage: str) -> Callable[[float, str], None]:
        return lambda share, message: self.progress(stage, share, message)

    def _speeds(self) -> Speeds:
        def compute() -> dict[str, Any]:
            self.progress("speeds", 0.0, "timing every kind of row")
            seeds = stream(self.settings.seed, "speed", self.settings.timed_batch)
            cond = self.conditions(seeds)
            brought = [
                method
                for recipe in self.settings.given
                for method in recipe.methods
                if isinstance(method, Tactic) and method not in self.options
            ]
            timed = [*self.options, *dict.fromkeys(brought)]
            found = measure_speeds(self.model, timed, seeds, cond, guidance=self.settings.guidance)
            return found.to_dict()

        path = self.folder.path / "speeds.json"
        if path.exists():  # measured once; a user may also bring a table measured elsewhere
            return Speeds.from_dict(json.loads(path.read_text("utf-8")))
        facts = self.journal.remember("speeds", compute) | self.machine()
        self.folder.write_json("speeds.json", facts)
        return Speeds.from_dict(facts)

    def machine(self) -> dict[str, Any]:
        """Where and how it is timed, as every arm states it."""
        return {
            "batch": self.settings.timed_batch,
            "device": str(self.model.device),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
        }

    def _teacher(self, name: str) -> Teacher:
        """Trajectories of the better reference: what candidates shall come near to."""
        settings, better = self.settings, self.session.better
        seeds = stream(settings.seed, name, settings.seeds)
        cond = self.conditions(seeds)
        recipe = self.references[better]
        if recipe.resolve(self.model.process).stochastic:
            better, recipe = "converged", self.converged  # there is no path where noise is drawn
        self.progress("teacher", 0.0, f"{better} trajectories ({name}, {len(seeds)})")
        return kept(
            self.folder.cache,
            self.model,
            recipe.resolve(self.model.process),
            seeds,
            cond,
            identity=self.fingerprint,
            guidance=settings.guidance,
            batch=CHUNK,
        )

    def _settled(self, data: Tensor | None) -> Standard:
        given = data if data is not None else self.folder.reference
        return settle(self.model, self.folder.judge, given, self._own)

    def _court(self) -> Court:
        folders = [self.folder.cache]
        if "folder" in self.model.card:  # features of the reference arms, shipped with the model
            folders.append(Path(self.model.card["folder"]) / "evidence")
        standard = self.standard
        return Court(
            standard.features,
            standard.reference,
            self.conditions,
            CHUNK,
            tuple(folders),
        )

    def _own(self) -> tuple[Tensor, Tensor | None]:
        """The model's own converged samples and conditions, from seeds no arm is sampled with."""
        path = self.folder.cache / "own.npz"
        seeds = stream(self.settings.seed, "reference", OWN_SAMPLES)
        if not path.exists():
            parts = []
            for first in range(0, len(seeds), CHUNK):
                self.progress("reference", first / len(seeds), "the model's own converged samples")
                some = seeds[first : first + CHUNK]
                plan, cond = self.converged.resolve(self.model.process), self.conditions(some)
                parts.append(
                    loop.sample(self.model, plan, some, cond, guidance=self.settings.guidance)
                )
            self.folder.write_arrays("cache/own.npz", {"samples": torch.cat(parts).cpu().numpy()})
        with np.load(path) as file:
            return torch.from_numpy(file["samples"]), self.conditions(seeds)

    # ---------------------------------------------------------------------------------- the search

    def judging(self, stage: str, origin: int | str, count: int, finalists: int) -> Judging:
        """A court session on the seeds of a stage."""
        court = self.court
        if stage == "judge":  # the search sees other real data than the verdicts
            court = dataclasses.replace(court, reference=self.standard.scout)
        return Judging(
            self.model,
            court,
            self.settings,
            self.journal,
            stage,
            stream(origin, stage, count),
            self.references,
            self._say(stage),
            finalists,
        )

    def find(self) -> tuple[list[Scored], list[Scored]]:
        """Finalists of the search, fastest first, and as many rivals off the shelf."""
        contest = Contest(self.session, self.settings)
        reference = self.baseline.resolve(self.model.process).nfe
        hunt = Hunt(self.search, contest, self.settings, reference, self.standard.apart)
        rivals = hunt.rivals()
        ours = hunt.ours(rivals)
        return ours, rivals[: max(1, len(ours))]

    def final(self, finalists: Sequence[Scored], rivals: Sequence[Scored]) -> Judging:
        """The session on fresh seeds, as many as the search found necessary."""
        chosen = [s.recipe for s in (*finalists[:1], *rivals[:1])]
        keys = [self.session.key(recipe) for recipe in chosen]
        verdicts = [self.journal.get(key) for key in keys if key in self.journal]
        count = samples_needed(verdicts, self.settings)
        return self.judging("final", self.folder.run_id, count, max(1, len(finalists)))


def baseline(model: Model) -> Recipe:
    """The speed reference: the sampler named on the model's card, DDIM-50 if there is none.

    Raises:
        RecipeError: If the card names an unknown one.
    """
    stated = model.card.get("reference", {}).get("speed")
    if stated is None:
        return Recipe(PlanSpec("ddim", "trailing", 50))
    try:
        return Recipe.from_dict({"hasten": 1, "plan": dict(stated)})
    except RecipeError as error:
        raise RecipeError(
            f"the speed reference on the model's card cannot be read: {error.what}",
            where=f"{model.name}: [reference] speed",
            hint=error.hint,
        ) from error
