"""Figures for ``measure`` and ``compare``: samples, their quality, and times taken in pairs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

from hasten.cli import talk

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from hasten.core.model import Model
    from hasten.measure.features import Features
    from hasten.measure.reference import Reference
    from hasten.recipe import Recipe
    from hasten.tuning.seeds import Conditions

_PASS = 64  # samples in one pass where time is not measured
_OWN = 1000  # converged samples that stand for data where there are none, at least


@final
@dataclass
class Evidence:
    """Samples and times of one model under several recipes, always with the same seeds.

    Attributes:
        net: The model.
        n: Samples that quality rests on.
        judge: The judge's name or folder; None takes the card's.
        reference: Real samples; None takes the judge's, else the model's own converged samples.
        guidance: Of every sample.
        origin: What all seeds come from.
        advance: Told how it goes.
    """

    net: Model
    n: int
    judge: str | None
    reference: str | None
    guidance: float
    origin: str
    advance: talk.Advance

    @cached_property
    def conditions(self) -> Conditions:
        """The condition of every seed."""
        from hasten.tuning.seeds import drawn_conditions

        return drawn_conditions(self.net)

    def seeds(self, name: str, count: int) -> range:
        """Seeds of a stream that shares none with those of other names."""
        from hasten.tuning.seeds import stream

        return stream(self.origin, name, count)

    @cached_property
    def court(self) -> tuple[Features, Reference, str]:
        """Features, reference, and whether that is ``data`` or the model's ``own`` samples."""
        from hasten.recipe import Recipe
        from hasten.tuning.standard import settle
        from hasten.tuning.teacher import converged_plan

        def own() -> tuple[Tensor, Tensor | None]:
            exact = Recipe(plan=converged_plan(self.net.process))
            seeds = self.seeds("own", max(self.n, _OWN))
            return self.draw(exact, seeds, "own converged samples"), self.conditions(seeds)

        found = settle(self.net, self.judge, self.reference, own, split=False)
        return found.features, found.reference, found.against

    def draw(self, recipe: Recipe, seeds: range, text: str) -> Tensor:
        """Decoded samples of a recipe, on the CPU."""
        import torch

        from hasten.applying import apply

        parts = []
        preparing = talk.part(self.advance, f"{text}, preparing")
        with apply(self.net, recipe, guidance=self.guidance, progress=preparing) as sampler:
            for first in range(0, len(seeds), _PASS):
                self.advance(first, len(seeds), text)
                some = seeds[first : first + _PASS]
                parts.append(sampler(some, self.conditions(some)).float().cpu())
        return torch.cat(parts)

    def judged(self, recipe: Recipe, text: str) -> Tensor:
        """The samples that quality is measured on."""
        return self.draw(recipe, self.seeds("quality", self.n), text)

    def quality(self, recipe: Recipe) -> dict[str, Any]:
        """Distance to the reference and what else is said of samples."""
        from hasten.measure.quality import measure_quality

        features, real, against = self.court
        cond = self.conditions(self.seeds("quality", self.n))
        found = measure_quality(features, self.judged(recipe, "sampling"), real, cond)
        return {**found.to_dict(), "against": against}

    def features(self, recipe: Recipe, text: str) -> tuple[Tensor, NDArray[Any] | Tensor]:
        """Samples, and what the judge's features say of them."""
        samples = self.judged(recipe, text)
        return samples, self.court[0](samples, self.conditions(self.seeds("quality", self.n)))

    def seconds(self, recipe: Recipe, batch: int, repeats: int) -> dict[str, Any]:
        """Seconds a sample."""
        from hasten.applying import apply
        from hasten.measure.speed import time_sampler

        seeds = self.seeds("timing", batch)
        with apply(self.net, recipe, guidance=self.guidance) as sampler:
            return time_sampler(
                sampler,
                seeds,
                self.conditions(seeds),
                repeats=repeats,
                device=self.net.device,
                dtype=self.net.dtype,
            ).to_dict()

    def speed(self, slow: Recipe, fast: Recipe, batch: int, pairs: int) -> dict[str, Any]:
        """Pairs of timings; a net can wear one recipe at a time, so each arm has its own copy."""
        from hasten.applying import apply
        from hasten.measure.speed import compare_speed

        twin = self.net.replace(net=copy.deepcopy(self.net.net))
        seeds = self.seeds("timing", batch)
        with ExitStack() as stack:
            first = stack.enter_context(apply(self.net, slow, guidance=self.guidance))
            second = stack.enter_context(apply(twin, fast, guidance=self.guidance))
            return compare_speed(
                first,
                second,
                seeds,
                self.conditions(seeds),
                pairs=pairs,
                device=self.net.device,
                dtype=self.net.dtype,
            ).to_dict()


def interval(facts: dict[str, Any], form: Callable[[float], str]) -> str:
    """A measurement as ``value (low to high)``."""
    known = (facts[key] for key in ("value", "low", "high"))
    value, low, high = (float("nan") if number is None else number for number in known)
    if not low < high:
        return form(value)
    return f"{form(value)} ({form(low)} to {form(high)})"


def size(count: float) -> str:
    """Bytes, in the unit that suits."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"
