"""Energies as numbers that a net can learn, and back; and sums that hold.

With `Scale` an energy E becomes 0 if nothing was read out, else
``gap + ln((E + soft) / (threshold + soft))``. The gap keeps "nothing" apart from the weakest
reading, so that a small error of a sampler changes energies a little and never makes a reading out
of nothing. The soft start gives the few readings below that of one particle no more room than they
deserve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

FARTHEST = 0.5
"""No logarithm is changed by more: a sum so far off is not the fault of strong parts alone."""


@final
@dataclass(frozen=True)
class Scale:
    """The map, for all energies alike.

    Attributes:
        threshold: MeV; weaker readings do not exist.
        soft: MeV; well above it the map is a logarithm, well below it is linear.
        gap: Between nothing and the weakest reading.
    """

    threshold: float
    soft: float = 1.0
    gap: float = 1.0

    def __call__(self, energy: Tensor, incident: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Numbers of energies, MeV, of any shape, whatever the incident energy."""
        least = self.threshold + self.soft
        known = self.gap + ((energy + self.soft) / least).clamp(min=1.0).log()
        return torch.where(energy >= self.threshold, known, torch.zeros_like(known))

    def inverse(self, number: Tensor, incident: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Energies, MeV, of numbers; those nearer to 0 than to a reading are none."""
        grown = (self.threshold + self.soft) * (number - self.gap).clamp(min=0).exp() - self.soft
        return torch.where(number >= self.gap / 2, grown, torch.zeros_like(grown))


@final
@dataclass(frozen=True)
class Logit:
    """The map of most published models: the logit of a share of the incident energy.

    No energy lies at ``logit(limit)``, a spike far from all readings, and a small error of a
    number is multiplied by the energy. As in CaloDiffusion (Amram and Pedro, arXiv 2308.03876).

    Attributes:
        whole: Times the incident energy, what a share is of.
        limit: Shares are kept so far from 0 and 1.
    """

    whole: float = 2.0
    limit: float = 1e-6

    def __call__(self, energy: Tensor, incident: Tensor) -> Tensor:
        """Numbers of energies [n, m] for incident energies [n, 1], MeV."""
        share = (energy / (self.whole * incident)).clamp(0, 1)
        return torch.logit(self.limit + (1 - 2 * self.limit) * share)

    def inverse(self, number: Tensor, incident: Tensor) -> Tensor:
        """Energies [n, m], MeV."""
        share = (torch.sigmoid(number) - self.limit) / (1 - 2 * self.limit)
        return share.clamp(0, 1) * (self.whole * incident)


def nudge(parts: Tensor, total: Tensor) -> Tensor:
    """What to add to the logarithms of parts so that their sum comes close to their total.

    If all logarithms are equally uncertain, the most probable of the errors that explain the sum
    are, to first order, in proportion to the parts. So the strongest take what is missing, and
    weak ones stay, where a common factor would move them all.

    Args:
        parts: Energies [..., n], MeV.
        total: What they should add up to [...], MeV.

    Returns:
        Changes [..., n], at most `FARTHEST`.
    """
    missing = total[..., None] - parts.sum(dim=-1, keepdim=True)
    weight = parts.square().sum(dim=-1, keepdim=True)
    found = missing * parts / weight.clamp(min=torch.finfo(parts.dtype).tiny)
    return found.clamp(-FARTHEST, FARTHEST)


def conserve(
    parts: Tensor, total: Tensor, threshold: float, numbers: Tensor, rounds: int = 3
) -> Tensor:
    """Parts scaled so that they add up to their total, without any below the threshold.

    Cutting weak parts changes the sum, and scaling makes others weak: a few rounds settle it. If
    nothing is left of a total that could be one part, the strongest part takes it all; a smaller
    total is nothing.

    Args:
        parts: Energies [..., n], MeV.
        total: What they must add up to [...], MeV.
        threshold: MeV.
        numbers: What the parts were made of [..., n]: where all parts are nothing, these still
            tell which is the strongest.
        rounds: Of cutting and scaling.

    Returns:
        Energies [..., n], MeV.
    """
    whole = torch.where(total >= threshold, total, torch.zeros_like(total))[..., None]
    found = parts
    for _ in range(rounds):
        found = _scaled(found, whole)
        found = torch.where(found >= threshold, found, torch.zeros_like(found))
    strongest = torch.nn.functional.one_hot(numbers.argmax(dim=-1), parts.shape[-1]).to(parts.dtype)
    none = found.sum(dim=-1, keepdim=True) <= 0
    return _scaled(torch.where(none, strongest, found), whole)


def _scaled(parts: Tensor, whole: Tensor) -> Tensor:
    total = parts.sum(dim=-1, keepdim=True)
    return parts * (whole / total.clamp(min=torch.finfo(parts.dtype).tiny))
