"""Apply: prepare, attach, sample, undo.

    with apply(model, recipe) as fast:
        images = fast.sample(range(60), torch.arange(60) % 10)

Transforms make another model and leave the given one alone; tactics edit the net through one
`Edit`, which is undone bit for bit when the block ends, however it ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from hasten.core.edit import Edit
from hasten.core.method import Given, Tactic, refuse
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.errors import MethodError
from hasten.preparing import transformed
from hasten.recipe import Recipe
from hasten.solvers import loop


@final
@dataclass
class Applied:
    """A model with a recipe on it; a sampler ``(seeds, cond) -> samples`` while its block lasts.

    Attributes:
        model: The net as it now is: transformed, with the tactics attached.
        plan: The rows that are played.
        recipe: What was applied.
        guidance: Weight of classifier-free guidance when `sample` is not told another.
        batch: Most samples in one pass when `sample` is not told otherwise; None takes all at once.
    """

    model: Model
    plan: Plan
    recipe: Recipe
    guidance: float = 1.0
    batch: int | None = None
    _open: bool = field(default=True, repr=False)

    def sample(
        self,
        seeds: Sequence[int],
        cond: Tensor | None = None,
        guidance: float | None = None,
        batch: int | None = None,
    ) -> Tensor:
        """Decoded samples, one a seed.

        Args:
            seeds: Each names the noise of its sample, whatever the batch it is in.
            cond: Conditions, first axis as long as `seeds`; as the model's codec takes them.
            guidance: Weight of classifier-free guidance; None takes the one given to `apply`.
            batch: Most samples in one pass; None takes the one given to `apply`.

        Returns:
            ``[len(seeds), ...]``.

        Raises:
            MethodError: After the block has ended.
            OutputError: If the net's numbers are not finite.
        """
        if not self._open:
            raise MethodError(
                "this recipe is no longer applied",
                where=self.model.name,
                hint="sample inside the block: with apply(model, recipe) as fast: ...",
            )
        return loop.sample(
            self.model,
            self.plan,
            seeds,
            cond,
            guidance=self.guidance if guidance is None else guidance,
            batch=self.batch if batch is None else batch,
        )

    def close(self) -> None:
        """Refuse to sample from here on."""
        self._open = False

    def __call__(self, seeds: Sequence[int], cond: Tensor | None = None) -> Tensor:
        """`sample`, as `hasten.measure` calls it."""
        return self.sample(seeds, cond)


@contextmanager
def apply(
    model: Model,
    recipe: Recipe,
    *,
    guidance: float = 1.0,
    batch: int | None = None,
    data: Iterable[Tensor] = (),
    seed: int = 0,
    store: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[Applied]:
    """Put a recipe on a model for the length of a block.

    Args:
        model: The model; as it was when the block ends.
        recipe: What to do.
        guidance: Weight of classifier-free guidance of every sample, unless `sample` says
            otherwise.
        batch: Most samples in one pass.
        data: What transforms may calibrate on.
        seed: Of everything random in the preparation of transforms.
        store: Folder for what transforms prepare; None takes the user's cache.
        progress: Told how much of how much is prepared, of each transform that has to be.

    Raises:
        MethodError: If the recipe cannot be applied to this model, with every reason.
    """
    refuse(model.name, recipe.obstacles(model))
    plan = recipe.resolve(model.process)
    given = Given(model, plan, data, torch.Generator().manual_seed(seed), progress)
    tactics = [method for method in recipe.ordered if isinstance(method, Tactic)]
    before, after = recipe.transforms
    model = transformed(given, before, seed=seed, store=store)
    with Edit(model) as edit:
        for method in tactics:
            method.attach(model, edit)
        given = dataclasses.replace(given, model=model)
        model = transformed(given, after, tactics, seed=seed, store=store)
        applied = Applied(model, plan, recipe, guidance, batch)
        try:
            yield applied
        finally:
            applied.close()
