"""Geometry: where the cells of a calorimeter's showers are, and what a reading of them means.

A shower is read out in cylinders around the direction of the particle: layers along z, in every
layer rings and sectors. Cells are numbered layer by layer, in a layer sector by sector, in a sector
from the axis outwards (the order of the CaloChallenge: z, alpha, r with r fastest). Sector 0
begins at -pi. Lengths are in mm, energies in MeV.

Source: Faucci Giannelli et al., the Fast Calorimeter Simulation Challenge 2022 (arXiv 2410.21611).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from hasten.errors import DataError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

SILICON_SHARE = 0.033
"""Energies of the W-Si sets are deposits in silicon divided by this."""
DEPOSIT = 0.5e-3
"""MeV deposited in silicon below which a cell of Par04 is not read out."""


@final
@dataclass(frozen=True)
class Layer:
    """Rings and sectors of one layer.

    Attributes:
        edges: Radii between which the rings lie, ascending from 0 [rings + 1], mm.
        sectors: Equal parts of the full angle.
    """

    edges: tuple[float, ...]
    sectors: int

    def __post_init__(self) -> None:
        """Check that this can be a layer.

        Raises:
            DataError: If there is no ring or sector, or the radii do not ascend.
        """
        if self.sectors < 1 or len(self.edges) < 2:
            raise DataError(f"a layer of {len(self.edges) - 1} rings and {self.sectors} sectors")
        if self.edges[0] < 0 or any(
            a >= b for a, b in zip(self.edges, self.edges[1:], strict=False)
        ):
            raise DataError(f"radii of a layer must ascend from 0 or above, got {self.edges}")

    @property
    def rings(self) -> int:
        """Number of rings."""
        return len(self.edges) - 1

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.rings * self.sectors


@final
@dataclass(frozen=True)
class Geometry:
    """The cells of a detector as a shower sees them.

    Attributes:
        name: For people and cards.
        layers: From the front to the back.
        threshold: MeV; cells below it are not read out, so a shower has none of them.
        pitch: Depth of one layer, mm; 0 where layers differ or it is not known.
        share: What a reading times this is: the energy deposited in the active material.
    """

    name: str
    layers: tuple[Layer, ...]
    threshold: float
    pitch: float = 0.0
    share: float = 1.0

    def __post_init__(self) -> None:
        """Check that there is anything.

        Raises:
            DataError: If there is no layer or the threshold is negative.
        """
        if not self.layers or self.threshold < 0:
            raise DataError(
                f"{len(self.layers)} layers and a threshold of {self.threshold} MeV",
                where=f"geometry {self.name}",
            )

    @classmethod
    def regular(
        cls, name: str, shape: tuple[int, int, int], ring: float, threshold: float, **facts: float
    ) -> Geometry:
        """Equal layers of equally thick rings.

        Args:
            name: As in the class.
            shape: Layers, sectors, rings.
            ring: Thickness of a ring, mm.
            threshold: As in the class.
            facts: ``pitch`` and ``share``.
        """
        depth, sectors, rings = shape
        layer = Layer(tuple(ring * k for k in range(rings + 1)), sectors)
        return cls(name, (layer,) * depth, threshold, **facts)

    @functools.cached_property
    def cells(self) -> int:
        """Number of cells of all layers."""
        return sum(layer.cells for layer in self.layers)

    @functools.cached_property
    def shape(self) -> tuple[int, int, int] | None:
        """Layers, sectors, rings; None if layers differ."""
        first = self.layers[0]
        if any(layer != first for layer in self.layers):
            return None
        return len(self.layers), first.sectors, first.rings

    @functools.cached_property
    def starts(self) -> Indices:
        """Number of every layer's first cell [layers]."""
        return np.cumsum([0, *(layer.cells for layer in self.layers[:-1])])

    @functools.cached_property
    def layer_of(self) -> Indices:
        """Layer of every cell [cells]."""
        return np.repeat(np.arange(len(self.layers)), [layer.cells for layer in self.layers])

    @functools.cached_property
    def radius(self) -> Floats:
        """Middle of every cell's ring [cells], mm."""
        middles = [
            np.tile((np.array(each.edges[1:]) + each.edges[:-1]) / 2, each.sectors)
            for each in self.layers
        ]
        return np.concatenate(middles)

    @functools.cached_property
    def angle(self) -> Floats:
        """Middle of every cell's sector [cells], from -pi to pi."""
        middles = [
            np.repeat((np.arange(each.sectors) + 0.5) * 2 * math.pi / each.sectors, each.rings)
            for each in self.layers
        ]
        return np.concatenate(middles) - math.pi

    @functools.cached_property
    def across(self) -> tuple[Floats, Floats]:
        """The two coordinates of every cell's middle across the axis, mm (eta and phi there)."""
        return self.radius * np.cos(self.angle), self.radius * np.sin(self.angle)


SIW = Geometry.regular(
    "siw", (45, 16, 9), 4.65, DEPOSIT / SILICON_SHARE, pitch=3.4, share=SILICON_SHARE
)
"""W-Si of Par04 in 45 x 16 x 9 cells: CaloChallenge set 2, 6,480 cells."""
SIW_FINE = Geometry.regular(
    "siw-fine", (45, 50, 18), 2.325, DEPOSIT / SILICON_SHARE, pitch=3.4, share=SILICON_SHARE
)
"""The same in 45 x 50 x 18 cells: set 3, 40,500 cells."""

GEOMETRIES = {each.name: each for each in (SIW, SIW_FINE)}
"""Those that need no file."""
