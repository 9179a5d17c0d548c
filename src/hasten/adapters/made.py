"""The numbers of cells as a shower model makes them, before any calibration."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from hasten.adapters.showers import Showers
from hasten.core.model import Identity, Model
from hasten.core.plan import Plan
from hasten.models.calibration import Spread
from hasten.solvers.loop import sample

BATCH = 50
FIRST_SEED = 1 << 40
"""Far from seeds that people give; the chance that a search or a verdict draws these is nil."""


def batches(true: Spread, count: int) -> Iterator[tuple[Tensor, range]]:
    """Unit energies [B] and seeds of showers to calibrate with: the energies of the true ones.

    Args:
        true: Whose energies.
        count: Showers in all.
    """
    unit, seeds = true.unit(count), range(FIRST_SEED, FIRST_SEED + count)
    for first in range(0, count, BATCH):
        yield unit[first : first + BATCH], seeds[first : first + BATCH]


def numbers(model: Model, codec: Showers, plan: Plan, unit: Tensor, seeds: range) -> Tensor:
    """The numbers [B, *shape] of showers, with their layers' sums as they were sampled.

    Args:
        model: As it is to be sampled, with tactics attached.
        codec: Its codec.
        plan: Rows.
        unit: Unit energies [B].
        seeds: One a shower.
    """
    # whatever is attached goes by the clock of this very model
    bare = model.replace(codec=Identity(), energies=None, clock=model.clock)
    told = _told(codec, seeds, tuple(unit.tolist()), model.device)
    x0 = sample(bare, plan, seeds, told)
    return codec.agreed(x0 * codec.spread + codec.centre, codec.totals(told)).cpu()


@functools.lru_cache(maxsize=256)
def _told(codec: Showers, seeds: range, unit: tuple[float, ...], device: torch.device) -> Tensor:
    """What the cell net is told of showers; many recipes of one model are asked about the same."""
    found = codec.encode(codec.energies.of_unit(torch.tensor(unit, device=device)), seeds)
    assert found is not None
    return found


def joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Numbers and unit energies of batches together."""
    return torch.cat([part for part, _ in parts]), torch.cat([unit for _, unit in parts])
