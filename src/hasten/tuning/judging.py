"""Court: the features, the real data and the seeds on which distributions are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from hasten.files import atomic
from hasten.measure import Sampler
from hasten.measure.features import Features
from hasten.measure.reading import Reading
from hasten.measure.reference import Reference
from hasten.tuning.seeds import Conditions

FIRST, BLOCK = 64, 256
"""Samples of the first look at a candidate; most samples whose features are written together."""

Report = Callable[[int, int], None]
"""Told how many samples of how many are done."""


def edges(count: int) -> list[int]:
    """Where the blocks end in which samples are drawn: 64, 128, 256, then every 256, the last."""
    inner = (FIRST, 2 * FIRST, *range(BLOCK, count, BLOCK))
    return [*(end for end in inner if end < count), count]


@final
@dataclass(frozen=True, eq=False)
class Court:
    """Turns samplers into features, and remembers them.

    Attributes:
        features: What is looked at.
        reference: Real samples in these features, or the model's own.
        conditions: Condition of every seed.
        batch: Samples in one pass.
        folders: Where features of earlier samplings may lie; new ones go to the first.
    """

    features: Features
    reference: Reference
    conditions: Conditions
    batch: int
    folders: tuple[Path, ...]

    def read(
        self, sampler: Sampler, identity: str, seeds: Sequence[int], report: Report | None = None
    ) -> Reading:
        """What the features say about a sampler's samples.

        Args:
            sampler: What to sample with.
            identity: Names model, weights and recipe; features are stored under it.
            seeds: One a sample.
            report: Told of progress.
        """
        parts, done = [], 0
        for end in edges(len(seeds)):
            parts.append(self._block(sampler, identity, seeds[done:end]))
            done = end
            if report is not None:
                report(done, len(seeds))
        return Reading.joined(parts)

    def _block(self, sampler: Sampler, identity: str, seeds: Sequence[int]) -> Reading:
        facts = f"{identity}|{self.reference.metric}|{seeds[0]}+{len(seeds)}"
        name = f"features-{hashlib.sha256(facts.encode()).hexdigest()[:20]}.npz"
        for folder in self.folders:
            if (folder / name).exists():
                with np.load(folder / name) as file:
                    return Reading(**{key: torch.from_numpy(file[key]) for key in file})
        parts = []
        for first in range(0, len(seeds), self.batch):
            some = seeds[first : first + self.batch]
            cond = self.conditions(some)
            parts.append(self.features.read(sampler(some, cond), cond))
        found = Reading.joined(parts)
        with atomic(self.folders[0] / name) as file:
            held = {key: value for key, value in found._asdict().items() if value is not None}
            plain: dict[str, Any] = {key: value.numpy() for key, value in held.items()}
            np.savez_compressed(file, **plain)
        return found
