"""Aiming: one recipe's plan moved to where its samples are distributed most like the data.

The search's real samples are compared with; where there is only one set, those that judge. What it
came to is told from seeds that nothing was moved on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from torch import Tensor

from hasten.applying import apply
from hasten.core.identity import model_fingerprint
from hasten.core.method import refuse
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.measure.quality import Arm, frechet
from hasten.recipe import Recipe
from hasten.tuning.aim import aim
from hasten.tuning.judging import Court
from hasten.tuning.recall import recalling
from hasten.tuning.seeds import drawn_conditions, stream
from hasten.tuning.space import finishing
from hasten.tuning.standard import Standard

CHUNK = 64
"""Samples in one pass."""

Say = Callable[[str], None]


@final
@dataclass(frozen=True, eq=False)
class Better:
    """What aiming came to.

    Attributes:
        recipe: With the plan that was found, and what is done to every output.
        before: The samples of the plan as it was given, on fresh seeds.
        after: Those of the plan that was found, on the same.
        runs: How many plans were sampled for it.
    """

    recipe: Recipe
    before: Arm
    after: Arm
    runs: int


def aim_recipe(
    model: Model,
    recipe: Recipe,
    standard: Standard,
    *,
    samples: int = 500,
    fresh: int = 1000,
    rounds: int = 3,
    guidance: float = 1.0,
    seed: int = 0,
    folder: Path,
    say: Say = lambda _: None,
) -> Better:
    """Move the numbers of a recipe's plan to where its samples come nearest to real ones.

    Args:
        model: Whose samples.
        recipe: Deterministic, one evaluation a step; methods that fit every output are added.
        standard: What samples are held against; `Standard.scout` is.
        samples: That every plan is sampled for, always from the same seeds.
        fresh: Samples from other seeds that tell what it came to.
        rounds: At most this many Gauss-Newton steps.
        guidance: Of every sample.
        seed: Of the streams that seeds are drawn from.
        folder: Where features of samples are kept; the same call goes on from there.
        say: Told what goes on.

    Raises:
        MethodError: If the recipe cannot be applied to the model.
        PlanError: If its plan has no numbers to move.
        BudgetError: If there are too few samples.
    """
    recipe = recipe.also(finishing(model))
    refuse(model.name, recipe.obstacles(model))
    court = Court(standard.features, standard.scout, drawn_conditions(model), CHUNK, (folder,))
    identity, runs = model_fingerprint(model), 0
    asked, net = recalling(model, recipe)

    def features(plan: Plan, seeds: Sequence[int], near: bool = False) -> Tensor:
        nonlocal runs
        which = dataclasses.replace(recipe, plan=plan)
        runs += 1
        say(f"plan {runs}")
        net.begin(anew=not near)
        with apply(asked, which, guidance=guidance) as sampler:
            name = f"{identity}|{which.fingerprint()}|{guidance}"
            return court.read(sampler, name, seeds).features

    start, seeds = recipe.resolve(model.process), stream(seed, "aim", samples)
    found = aim(
        lambda plan, near: features(plan, seeds, near),
        standard.scout.gaussian,
        start,
        model.process,
        rounds=rounds,
    )
    others = stream(seed, "aimed", fresh)
    before, after = (frechet(features(p, others), standard.scout) for p in (start, found.plan))
    return Better(dataclasses.replace(recipe, plan=found.plan), before, after, found.runs)
