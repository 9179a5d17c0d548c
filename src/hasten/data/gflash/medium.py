"""The matter a shower develops in, as GFlash sees it: a few numbers.

Sources: Grindhammer and Peters (hep-ex/0001020) for the critical energy and the effective medium
of a sampling calorimeter; Particle Data Group, Atomic and Nuclear Properties of
Materials, for the constants.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from hasten.errors import DataError

SCALE_ENERGY = 21.2
"""E_s = m_e c^2 sqrt(4 pi / alpha), MeV; the Moliere radius is X0 E_s / Ec."""


@final
@dataclass(frozen=True)
class Material:
    """An element, or a compound with Z and A averaged by mass.

    Attributes:
        name: For people.
        z: Atomic number.
        a: Atomic mass, g/mol.
        density: g/cm^3.
        x0: Radiation length, g/cm^2.
    """

    name: str
    z: float
    a: float
    density: float
    x0: float

    def __post_init__(self) -> None:
        """Check that this can be a material.

        Raises:
            DataError: If a number is not positive and finite.
        """
        numbers = (self.z, self.a, self.density, self.x0)
        if not all(0 < number < math.inf for number in numbers):
            raise DataError(
                f"Z, A, density and X0 must be positive, got {numbers}",
                where=f"material {self.name}",
            )

    @property
    def critical(self) -> float:
        """Critical energy ``Ec = 2.66 (X0 Z / A)^1.1``, MeV (hep-ex/0001020)."""
        return 2.66 * math.pow(self.x0 * self.z / self.a, 1.1)


@final
@dataclass(frozen=True)
class Sampling:
    """What passive layers between the active ones change.

    Attributes:
        frequency: ``F_S = X0 / (d_passive + d_active)``.
        e_mip: Signal of an electron over that of a minimum ionising particle.
        resolution: c of ``sigma / E = c / sqrt(E / GeV)``.
    """

    frequency: float
    e_mip: float
    resolution: float


@final
@dataclass(frozen=True)
class Medium:
    """A calorimeter's effective medium.

    Attributes:
        name: For people and cards.
        z: Atomic number, averaged by mass.
        a: Atomic mass, averaged by mass, g/mol.
        x0: Radiation length, mm.
        moliere: Moliere radius, mm.
        critical: Critical energy, MeV.
        sampling: None for a homogeneous calorimeter.
    """

    name: str
    z: float
    a: float
    x0: float
    moliere: float
    critical: float
    sampling: Sampling | None = None

    @classmethod
    def homogeneous(cls, material: Material) -> Medium:
        """All of it is active."""
        length = 10 * material.x0 / material.density
        return cls(
            material.name,
            material.z,
            material.a,
            length,
            length * SCALE_ENERGY / material.critical,
            material.critical,
        )

    @classmethod
    def layered(
        cls,
        passive: tuple[Material, float],
        active: tuple[Material, float],
        resolution: float = 0.11,
    ) -> Medium:
        """Thin layers of two materials in turn (hep-ex/0001020).

        With shares by mass ``w_i`` and radiation lengths in g/cm^2: ``1/X0 = sum w_i / X0_i``,
        ``Ec = X0 sum w_i Ec_i / X0_i``, ``1/R_M = sum w_i Ec_i / X0_i / E_s``, and
        ``e/mip = 1 / (1 + 0.007 (Z_passive - Z_active))``.

        Args:
            passive: A material and the thickness of one layer, mm.
            active: The same of what is read out.
            resolution: As in `Sampling`; .11 is the usual value for thin silicon behind tungsten.

        Raises:
            DataError: If a thickness or the resolution is not positive, or the passive material is
                so much lighter that e/mip has no meaning.
        """
        layers = (passive, active)
        depth = passive[1] + active[1]
        name = "-".join(material.name for material, _ in layers)
        if not all(0 < number < math.inf for number in (passive[1], active[1], resolution)):
            raise DataError(
                f"layers of {passive[1]:g} and {active[1]:g} mm with a resolution of "
                f"{resolution:g}; all must be positive",
                where=f"medium {name}",
            )
        excess = 1 + 0.007 * (passive[0].z - active[0].z)
        if excess <= 0:
            raise DataError(
                f"e/mip has no meaning for Z = {passive[0].z:g} passive, {active[0].z:g} active",
                where=f"medium {name}",
                hint="the first material is the passive one",
            )
        mass = sum(material.density * thickness for material, thickness in layers)
        shares = [material.density * thickness / mass for material, thickness in layers]
        parts = [(share, material) for share, (material, _) in zip(shares, layers, strict=True)]
        x0 = 1 / sum(share / material.x0 for share, material in parts)
        loss = sum(share * material.critical / material.x0 for share, material in parts)
        to_mm = 10 * depth / mass  # mm of the mixture in 1 g/cm^2, as mass/depth is g/cm^3
        return cls(
            name,
            sum(share * material.z for share, material in parts),
            sum(share * material.a for share, material in parts),
            x0 * to_mm,
            SCALE_ENERGY / loss * to_mm,
            x0 * loss,
            Sampling(x0 * to_mm / depth, 1 / excess, resolution),
        )


TUNGSTEN = Material("W", 74, 183.84, 19.30, 6.76)
SILICON = Material("Si", 14, 28.0855, 2.329, 21.82)
LEAD_TUNGSTATE = Material("PbWO4", 68.36, 170.9, 8.30, 7.39)

W_SI = Medium.layered((TUNGSTEN, 1.4), (SILICON, 0.3))
"""1.4 mm of tungsten and 0.3 mm of silicon: the calorimeter of Geant4's Par04 example."""
PBWO4 = Medium.homogeneous(LEAD_TUNGSTATE)
"""Lead tungstate crystals."""
