"""Seeds: which noise and which condition each sample of a study begins with.

Every stage draws from its own stream. A sample's condition is a function of its seed, so whatever
is compared is compared on the same noise and the same condition, and no batch split can change
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hasten.core.model import Model
from hasten.errors import BudgetError

Conditions: TypeAlias = Callable[[Sequence[int]], Tensor | None]
"""The condition of every seed, first axis as long as the seeds; or None."""

_SPAN = 1 << 20
"""Seeds in one stream; far more than any study draws."""


def stream(origin: int | str, name: str, count: int) -> range:
    """The first ``count`` seeds of a named stream; streams of other names share none of them.

    Args:
        origin: The study's seed, or the run's id for what must be fresh.
        name: ``"train"``, ``"search"``, ``"final"``, ...
        count: How many.
    """
    if count > _SPAN:
        raise BudgetError(f"{count} samples", hint=f"at most {_SPAN}")
    digest = hashlib.sha256(f"{origin}/{name}".encode()).digest()
    first = int.from_bytes(digest[:4]) * _SPAN
    return range(first, first + count)


def trial_seed(seed: int, trial: int) -> int:
    """The random state of one proposal: of the study's seed and the trial's number alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}/trial/{trial}".encode()).digest()[:4])


def drawn_conditions(model: Model) -> Conditions:
    """Conditions drawn by the seed's own hash; None for models without.

    Classes are uniform, incident energies follow the law of the training.
    """
    if model.classes is not None:
        count = np.uint64(model.classes.count)
        return lambda seeds: torch.from_numpy((_hashes(seeds) % count).astype(np.int64))
    if model.energies is not None:
        law = model.energies
        return lambda seeds: law.at(torch.from_numpy((_hashes(seeds) >> np.uint64(11)) * 2.0**-53))
    return _nothing


def _hashes(seeds: Sequence[int]) -> NDArray[np.uint64]:
    """splitmix64 (Steele et al. 2014): neighbouring seeds get independent numbers."""
    z = np.asarray(list(seeds), dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def _nothing(_: Sequence[int]) -> None:
    """The condition of a model without any."""
