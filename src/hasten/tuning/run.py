"""``tune``: the one function that users call."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hasten.core.method import refuse
from hasten.core.model import Model
from hasten.errors import BudgetError, PlanError, RunError
from hasten.recipe import Recipe
from hasten.tuning.folder import begin, check_free, finished, resume_folder
from hasten.tuning.outcome import Outcome
from hasten.tuning.results import Results
from hasten.tuning.seeds import Conditions
from hasten.tuning.settings import Objective, Settings
from hasten.tuning.standard import settle_given
from hasten.tuning.study import Progress, Study


def tune(
    model: Model,
    *,
    margin: float = 0.05,
    objective: str = "latency",
    batch: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    threads: int | None = None,
    minutes: float | None = None,
    trials: int = 400,
    seeds: int = 64,
    search_samples: int = 1000,
    samples: int | None = None,
    max_samples: int = 10_000,
    finalists: int = 3,
    confidence: float = 0.95,
    guidance: float = 1.0,
    only: str = "",
    recipes: Sequence[Recipe] = (),
    reference: str | Path | Tensor | None = None,
    judge: str | None = None,
    conditions: Conditions | None = None,
    seed: int = 0,
    shown: int = 64,
    run: str | Path | None = None,
    run_id: str | None = None,
    resume: str | Path | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Find the fastest recipe whose samples stay within a margin of the model's own quality.

    Args:
        model: To be made faster; it is not changed.
        margin: Share of the reference's distance that is granted.
        objective: ``latency`` (one sample at a time) or ``throughput``.
        batch: Samples in one pass when time is measured.
        device: Where to run; None leaves the model where it is.
        dtype: Number format of the net; None leaves it.
        threads: Of torch on the CPU; None leaves them.
        minutes: Cap on the search's time; a capped search is not reproducible.
        trials: Candidates the search may try, beside the stock ones.
        seeds: Trajectories that candidates are fitted and ranked on.
        search_samples: Samples a candidate is judged on during the search.
        samples: Samples a finalist is judged on; None takes as many as the search finds necessary.
        max_samples: Never more than this.
        finalists: How many candidates are tested on fresh seeds.
        confidence: Of all verdicts together.
        guidance: Weight of classifier-free guidance in every arm.
        only: ``plan`` leaves out every reuse of features.
        recipes: Are tried beside what the search proposes, whatever ``only`` says: found earlier,
            by hand or by others.
        reference: Real samples: a path that `hasten.data` reads, or decoded samples [n, ...]; None
            takes those of the judge, or else the model's own converged samples.
        judge: Name or folder of a judge; None takes the one on the model's card.
        conditions: Gives the conditions of seeds; None draws classes uniformly.
        seed: Of everything random but the final seeds.
        shown: Samples kept for people.
        run: A new folder for the study; None makes one under ``runs``.
        run_id: What the final seeds come from; None draws a fresh one.
        resume: The folder of an unfinished study, which is continued with its own settings; all
            other arguments but model, conditions, progress and a tensor of reference samples are
            ignored.
        progress: Told the stage, its share that is done, and a message.

    Returns:
        The outcome; also in the run folder (docs/result.md).

    Raises:
        BudgetError: If the settings make no sense.
        RunError: If the folder cannot be used.
        ModelError: If the judge or the model is unsuitable.
        DataError: If the reference is.
        MethodError: If a recipe that is given cannot be applied.
        PlanError: If it draws noise on the way.
    """
    if resume is not None and recipes:
        raise RunError(
            "recipes are given to a study at its beginning, and this one has begun",
            where=str(resume),
            hint="go on without them, or begin a new study with them",
        )
    folder = None if resume is None else resume_folder(model, resume, reference)
    if folder is not None and finished(folder.path):
        return Outcome.read(folder.path)
    if folder is None:
        try:
            goal = Objective(objective)
        except ValueError as error:
            raise BudgetError(f"objective = {objective!r}", hint="latency or throughput") from error
        settings = Settings(
            objective=goal,
            batch=batch,
            device=device,
            dtype=dtype,
            threads=threads,
            margin=margin,
            confidence=confidence,
            finalists=finalists,
            trials=trials,
            minutes=minutes,
            seeds=seeds,
            search_samples=search_samples,
            samples=samples,
            max_samples=max_samples,
            guidance=guidance,
            only=only,
            seed=seed,
            shown=shown,
            recipes=[recipe.to_dict() for recipe in recipes],
        )
        for recipe in recipes:
            _check_given(model, recipe)
    else:
        settings = folder.settings
    data = reference if isinstance(reference, Tensor) else None
    with _machine(model, settings) as placed:
        standard = None
        if folder is None:
            if run is not None:
                check_free(Path(run).expanduser())
            # before there is a folder, which a wrong file would leave behind
            standard = settle_given(placed, judge, reference)
            names: dict[str, Any] = {"judge": judge, "reference": reference}
            folder = begin(model, settings, run=run, run_id=run_id, **names)
        study = Study(placed, folder, conditions, data, progress or _silent, standard)
        chosen, rivals = study.find()
        final = study.final(chosen, rivals)
        return Results(study, chosen, rivals, final).write()


def _check_given(model: Model, recipe: Recipe) -> None:
    """Refuse a recipe that cannot be tried on this model, before there is a folder.

    Raises:
        MethodError: If it cannot be applied.
        PlanError: If it draws noise on the way, so that nothing says where its samples should end.
    """
    refuse(model.name, recipe.obstacles(model))
    if recipe.resolve(model.process).stochastic:
        raise PlanError(
            "a study ranks by where samples end, and this recipe draws noise on the way",
            where=recipe.label,
            hint="give deterministic recipes; hasten compare judges any",
        )


@contextmanager
def _machine(model: Model, settings: Settings) -> Iterator[Model]:
    """The model where and as it shall run, and torch with as many threads; both for a while."""
    before = torch.get_num_threads()
    placed = model.replace()
    device = model.device if settings.device is None else torch.device(settings.device)
    dtype = model.dtype if settings.torch_dtype is None else settings.torch_dtype
    if (device, dtype) != (model.device, model.dtype):
        nets = {"net": copy.deepcopy(model.net), "guide": copy.deepcopy(model.guide)}
        placed = model.replace(**nets).to(device, dtype)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    try:
        yield placed
    finally:
        torch.set_num_threads(before)


def _silent(stage: str, share: float, message: str) -> None:
    """Nobody is listening."""
