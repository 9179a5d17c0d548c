"""Scale: energies as numbers that a net can learn, and back; and sums that hold.

An energy E becomes 0 if nothing was read out, else ``gap + ln((E + soft) / (threshold + soft))``.
The gap keeps "nothing" apart from the weakest reading, so that a small error of a sampler changes
energies a little and never makes a reading out of nothing. The soft start gives the few readings
below that of one particle no more room than they deserve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


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

    def __call__(self, energy: Tensor) -> Tensor:
        """Numbers of energies, MeV, of any shape."""
        least = self.threshold + self.soft
        known = self.gap + ((energy + self.soft) / least).clamp(min=1.0).log()
        return torch.where(energy >= self.threshold, known, torch.zeros_like(known))

    def inverse(self, number: Tensor) -> Tensor:
        """Energies, MeV, of numbers; those nearer to 0 than to a reading are none."""
        grown = (self.threshold + self.soft) * (number - self.gap).clamp(min=0).exp() - self.soft
        return torch.where(number >= self.gap / 2, grown, torch.zeros_like(grown))


def conserve(parts: Tensor, total: Tensor, threshold: float, rounds: int = 3) -> Tensor:
    """Parts scaled so that they add up to their total, without any below the threshold.

    Cutting weak parts changes the sum, and scaling makes others weak: a few rounds settle it. If
    nothing is left of a total that could be one part, the strongest part takes it all; a smaller
    total is nothing.

    Args:
        parts: Energies [..., n], MeV.
        total: What they must add up to [...], MeV.
        threshold: MeV.
        rounds: Of cutting and scaling.

    Returns:
        Energies [..., n], MeV.
    """
    whole = torch.where(total >= threshold, total, torch.zeros_like(total))[..., None]
    found = parts
    for _ in range(rounds):
        found = _scaled(found, whole)
        found = torch.where(found >= threshold, found, torch.zeros_like(found))
    strongest = torch.nn.functional.one_hot(parts.argmax(dim=-1), parts.shape[-1]).to(parts.dtype)
    none = found.sum(dim=-1, keepdim=True) <= 0
    return _scaled(torch.where(none, strongest, found), whole)


def _scaled(parts: Tensor, whole: Tensor) -> Tensor:
    total = parts.sum(dim=-1, keepdim=True)
    return parts * (whole / total.clamp(min=torch.finfo(parts.dtype).tiny))
