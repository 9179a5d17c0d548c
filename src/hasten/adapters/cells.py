"""Cells: a shower model without a layer model, as most published ones are.

The net makes the numbers of all cells at once and is told the incident energy alone. Nothing makes
the cells add up to the right total: a loss over thousands of cells says next to nothing about their
sum. It is here to measure what `hasten.adapters.showers.Showers` gains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from hasten.core.model import Codec, Energies
from hasten.data.geometry import Geometry
from hasten.models.scale import Logit, Scale


@final
@dataclass(frozen=True)
class Cells(Codec):
    """From an incident energy to the cells of a shower, directly.

    Attributes:
        geometry: The cells.
        energies: Incident energies it was trained on.
        scale: Makes numbers of cells' energies.
        centre: Taken from the numbers.
        spread: And what they are then divided by.
    """

    geometry: Geometry
    energies: Energies
    scale: Scale | Logit
    centre: float
    spread: float

    def clean(self, cells: Tensor, incident: Tensor) -> Tensor:
        """x0 [n, *shape] of cells [n, cells] and incident energies [n], MeV."""
        numbers = (self.scale(cells, incident.reshape(-1, 1)) - self.centre) / self.spread
        return numbers.reshape(len(cells), *(self.geometry.shape or (self.geometry.cells,)))

    def condition(self, incident: Tensor) -> Tensor:
        """What the net is told [n, 1 + L]: the unit energy, and nothing about the layers."""
        unit = self.energies.unit(incident.float().reshape(-1, 1))
        return torch.cat([unit, unit.new_zeros(len(unit), len(self.geometry.layers))], dim=1)

    def encode(self, cond: Tensor | None, seeds: Sequence[int]) -> Tensor | None:  # noqa: ARG002
        """`condition` for incident energies [B], MeV."""
        return None if cond is None else self.condition(cond)

    def decode(self, x: Tensor, cond: Tensor | None) -> Tensor:
        """Cells [B, cells], MeV, none below the threshold."""
        if cond is None:
            raise TypeError("showers need an incident energy")
        incident = self.energies.of_unit(cond[:, :1])
        cells = self.scale.inverse(x.flatten(1) * self.spread + self.centre, incident)
        return torch.where(cells >= self.geometry.threshold, cells, torch.zeros_like(cells))
