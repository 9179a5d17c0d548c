"""Showers: two models and a codec that joins them, so that energy is conserved by construction.

    incident energy ── layer model ── total and layers' energies ─┬─ condition of the cell model
                                                                  └─ what its cells are scaled to

The layer model is small and sampled in `Showers.encode`, with a plan of its own. It knows the
response and the energies of the layers as standard numbers under the incident energy
(`LayerEnergies`): a net is good at numbers near a unit normal, and the resolution it must hit is
then the same number at every energy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from hasten.core.fingerprint import fingerprint
from hasten.core.model import Codec, Energies, Model
from hasten.core.plan import Plan
from hasten.data.geometry import Geometry
from hasten.models.calibration import Calibration, Spread
from hasten.models.scale import Scale, conserve, nudge
from hasten.solvers.loop import sample

DEGREE = 3
"""Of the polynomials in log E that centre and spread the numbers of the layer model."""
NARROW = 0.1
"""Least spread: layers that are empty at most energies must not blow up where they are not."""
TOLD = 5.0
"""The cell net is told the layers' numbers divided by this, so that they are about 1."""
HUGE = 40.0
"""No number is taken for more: the energy, e^40 MeV, must not overflow when it is squared."""
EDGE = 1 + 1e-6
"""The polynomials take unit energies beyond for this: they fly off outside of -1 to 1. Those at the
ends of the training, which rounding may put a little outside, stay what they are."""
_ASIDE = 1 << 63


@final
@dataclass(frozen=True, eq=False, repr=False)
class LayerEnergies(Codec):
    """The numbers of the layer model: response, then one a layer.

    Attributes:
        energies: Incident energies it was trained on.
        scale: Makes numbers of layers' energies.
        centre: Mean of every number as a polynomial in the unit energy [1 + L, DEGREE + 1].
        spread: Logarithm of its standard deviation, likewise.
    """

    energies: Energies
    scale: Scale
    centre: Tensor
    spread: Tensor

    @classmethod
    def fit(
        cls, layers: Tensor, incident: Tensor, energies: Energies, scale: Scale
    ) -> LayerEnergies:
        """From showers: polynomials of largest likelihood, as if all numbers were normal.

        Args:
            layers: Energies of the layers [n, L], MeV.
            incident: Incident energies [n], MeV.
            energies: Their range.
            scale: Makes numbers of layers' energies.
        """
        plain = _numbers(layers, incident, scale).double()
        basis = _basis(energies.unit(incident.double()))
        centre = torch.linalg.lstsq(basis, plain).solution.contiguous()
        deviation = (plain - basis @ centre).square().mean(dim=0).sqrt().clamp(min=NARROW)
        spread = torch.zeros_like(centre)
        spread[0] = deviation.log()
        centre.requires_grad_()
        spread.requires_grad_()
        optimiser = torch.optim.LBFGS([centre, spread], max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> float:
            optimiser.zero_grad()
            log = (basis @ spread).clamp(min=_least(plain.shape[1]))
            value = (log + 0.5 * ((plain - basis @ centre) * (-log).exp()).square()).mean()
            value.backward()
            return float(value.detach())

        optimiser.step(loss)  # type: ignore[no-untyped-call]
        found = (each.detach().T.float().contiguous() for each in (centre, spread))
        return cls(energies, scale, *found)

    def clean(self, layers: Tensor, incident: Tensor) -> Tensor:
        """x0 [n, 1 + L] of layers' energies [n, L] and incident energies [n], MeV."""
        centre, spread = self._law(self.energies.unit(incident))
        return (_numbers(layers, incident, self.scale) - centre) / spread

    def encode(self, cond: Tensor | None, seeds: Sequence[int]) -> Tensor | None:  # noqa: ARG002
        """The unit energy [B, 1] of incident energies [B], MeV."""
        return None if cond is None else self.energies.unit(cond.float().reshape(-1, 1))

    def decode(self, x: Tensor, cond: Tensor | None) -> Tensor:
        """Energies of the layers [B, L], MeV; their sum is response times incident energy."""
        if cond is None:
            raise TypeError("layer energies need an incident energy")
        unit = cond[:, 0]
        centre, spread = self._law(unit)
        number = x * spread + centre
        total = number[:, 0].clamp(min=0) * self.energies.of_unit(unit)
        parts = number[:, 1:]
        return conserve(self.scale.inverse(parts), total, self.scale.threshold, parts)

    def __repr__(self) -> str:
        """Facts that change a sample: fingerprints of models are made of it."""
        tables = fingerprint([self.centre.tolist(), self.spread.tolist()])
        return f"LayerEnergies({self.energies}, {self.scale}, {tables})"

    def _law(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        basis = _basis(unit.clamp(-EDGE, EDGE))
        centre, spread = self.centre.to(basis), self.spread.to(basis)
        log = (basis @ spread.T).clamp(min=_least(len(spread)).to(basis))
        return basis @ centre.T, log.exp()


@final
@dataclass(frozen=True, eq=False, repr=False)
class Showers(Codec):
    """From an incident energy to the cells of a shower.

    Attributes:
        geometry: The cells.
        layers: The layer model; decodes to energies of the layers [B, L], MeV.
        plan: How it is sampled.
        scale: Makes numbers of cells' and layers' energies.
        centre: Taken from the cells' numbers.
        spread: And what they are then divided by.
        calibration: Puts the spread of the cells' numbers right, or None.
        true: How the numbers of true showers' cells are spread, or None: what other calibrations
            are fitted to.
    """

    geometry: Geometry
    layers: Model
    plan: Plan
    scale: Scale
    centre: float
    spread: float
    calibration: Calibration | None = None
    true: Spread | None = None

    def numbers(self, cells: Tensor) -> Tensor:
        """Numbers [n, *shape] of cells [n, cells], MeV."""
        shape = self.geometry.shape or (self.geometry.cells,)
        return self.scale(cells).reshape(len(cells), *shape)

    def clean(self, cells: Tensor) -> Tensor:
        """x0 [n, *shape] of cells [n, cells], MeV."""
        return (self.numbers(cells) - self.centre) / self.spread

    def condition(self, layers: Tensor, incident: Tensor) -> Tensor:
        """What the cell net is told [n, 1 + L]: the unit energy and the layers' numbers."""
        unit = self.energies.unit(incident.float().reshape(-1, 1))
        return torch.cat([unit, self.scale(layers) / TOLD], dim=1)

    def encode(self, cond: Tensor | None, seeds: Sequence[int]) -> Tensor | None:
        """Sample the layers' energies for incident energies [B], MeV."""
        if cond is None:
            return None
        asked = self.layers.replace(energies=None)  # whoever asks has looked at the range
        found = sample(asked, self.plan, aside(seeds), cond.reshape(-1))
        return self.condition(found, cond)

    def decode(self, x: Tensor, cond: Tensor | None) -> Tensor:
        """Cells [B, cells], MeV: none below the threshold, layers' sums as they were sampled."""
        if cond is None:
            raise TypeError("showers need an incident energy")
        totals = self.totals(cond)
        numbers = self.agreed(x * self.spread + self.centre, totals)
        if self.calibration is not None:
            numbers = self.agreed(self.calibration(numbers, cond[:, 0]), totals)
        numbers = numbers.reshape(*totals.shape, -1)
        cells = self.scale.inverse(numbers)
        return conserve(cells, totals, self.scale.threshold, numbers).flatten(1)

    def agreed(self, numbers: Tensor, totals: Tensor) -> Tensor:
        """Numbers [B, L, ...] whose energies add up to about the layers' [B, L], MeV.

        The layers' energies are known, so how far the sum of a layer is off tells how far its
        strong cells are. A common factor for all cells would blur the peak of one particle.
        """
        apart = numbers.reshape(*totals.shape, -1).clamp(max=HUGE)
        return (apart + nudge(self.scale.inverse(apart), totals)).reshape(numbers.shape)

    def totals(self, cond: Tensor) -> Tensor:
        """Energies of the layers [B, L], MeV, of which the cell net is told [B, 1 + L]."""
        return self.scale.inverse(cond[:, -len(self.geometry.layers) :] * TOLD)

    def models(self) -> Sequence[Model]:
        return (self.layers,)

    def __repr__(self) -> str:
        """Facts that change a sample, beside those of the layer model."""
        facts = (self.geometry, self.plan.fingerprint(), self.scale, self.centre, self.spread)
        more = [repr(each) for each in (self.calibration, self.true) if each is not None]
        return f"Showers{facts}{' '.join(more)}"

    @property
    def energies(self) -> Energies:
        codec = self.layers.codec
        if not isinstance(codec, LayerEnergies):
            raise TypeError("the layer model must decode to layer energies")
        return codec.energies


def aside(seeds: Sequence[int]) -> list[int]:
    """Seeds of the layer model: its noise must not be the beginning of the cells' noise."""
    return [(seed + _ASIDE) % (1 << 64) for seed in seeds]


def layer_sums(cells: Tensor, geometry: Geometry) -> Tensor:
    """Energies of the layers [n, L] of cells [n, cells], summed in double precision."""
    parts = torch.split(cells, [layer.cells for layer in geometry.layers], dim=1)
    return torch.stack([part.sum(dim=1, dtype=torch.float64) for part in parts], dim=1).float()


def _numbers(layers: Tensor, incident: Tensor, scale: Scale) -> Tensor:
    response = layers.sum(dim=1, keepdim=True) / incident.reshape(-1, 1)
    return torch.cat([response, scale(layers)], dim=1)


def _basis(unit: Tensor) -> Tensor:
    return torch.stack([unit**power for power in range(DEGREE + 1)], dim=-1)


def _least(numbers: int) -> Tensor:
    """Least log spread: the response, which comes first, may be as narrow as it is."""
    least = torch.full((numbers,), NARROW, dtype=torch.float64).log()
    least[0] = -20.0
    return least
