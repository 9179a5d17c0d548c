"""The law of GFlash as a source of showers.

What it has not, next to a full simulation: tracks (cells of neighbouring layers vary on their own),
the slow tail of MeV photons after some 16 X0, Landau tails, angles, magnetic fields, noise.

Source: Grindhammer and Peters, The Parameterized Simulation of Electromagnetic Showers in
Homogeneous and Sampling Calorimeters (hep-ex/0001020).
"""

# ruff: noqa: N803, N806 (the paper's letters)

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hasten.data.geometry import SIW, Geometry
from hasten.data.gflash import longitudinal, radial, spots
from hasten.data.gflash.medium import W_SI, Medium
from hasten.errors import DataError

Floats = NDArray[np.float64]

LOW, HIGH = 500.0, 2e6
"""Incident energies GFlash is drawn at, MeV. It was fitted from about 1 to 200 GeV; the formulas
stay smooth as far as this, and their guards are met by at most 2 % of the showers."""
BATCH = 250
"""Showers whose parameters are computed together: as many as stay in a processor's cache."""

Progress = Callable[[int, int], None]
"""Is told how many showers of how many are done."""


@final
@dataclass(frozen=True)
class Trace:
    """Showers before anything is cut away, and how they came to be. MeV and X0.

    Attributes:
        cells: What the cells read, no threshold applied [n, cells].
        beside: What fell outside all rings [n, layers].
        layers: What each layer was given: its cells' sum and what fell beside [n, layers].
        T: Depth of the maximum [n].
        alpha: Shape of the longitudinal profile [n].
    """

    cells: NDArray[np.float32]
    beside: Floats
    layers: Floats
    T: Floats
    alpha: Floats


@final
@dataclass(frozen=True)
class GFlash:
    """Electromagnetic showers of electrons that enter a calorimeter along its axis.

    As it stands, the published law; see `PRESETS` for what brings it near a silicon readout.

    Attributes:
        geometry: The cells; equal layers of known depth.
        medium: What the showers develop in.
        response: What a reading is of the energy lost, on average.
        spots: The paper's number of spots times this.
        shape: Of the Gamma law of a spot's energy; infinite if all weigh the same.
        stretch: The paper's alpha times this, at the same T: below 1, showers begin earlier.
        ionisation: Reading the primary particle leaves in the first layer before it has begun to
            shower, MeV; fades by e in every X0 and is added to the shower's.
    """

    geometry: Geometry = SIW
    medium: Medium = W_SI
    response: float = 1.0
    spots: float = 1.0
    shape: float = math.inf
    stretch: float = 1.0
    ionisation: float = 0.0

    def __post_init__(self) -> None:
        """Check that it can be drawn from.

        Raises:
            DataError: If layers differ or have no depth, or a factor is not positive.
        """
        if self.geometry.shape is None or not self.geometry.pitch > 0:
            raise DataError(
                "GFlash needs equal layers of a known depth",
                where=f"geometry {self.geometry.name}",
                hint="make one with Geometry.regular(..., pitch=...), or take SIW",
            )
        facts = {"response": self.response, "spots": self.spots, "stretch": self.stretch}
        wrong = [f"{name} = {fact:g}" for name, fact in facts.items() if not 0 < fact < math.inf]
        if not self.shape > 0:
            wrong.append(f"shape = {self.shape:g}")
        if not 0 <= self.ionisation < math.inf:
            wrong.append(f"ionisation = {self.ionisation:g}")
        if wrong:
            raise DataError(
                f"no law of showers has {', '.join(wrong)}",
                where="GFlash",
                hint="factors are positive and finite; only shape may be infinite, ionisation 0",
            )

    @functools.cached_property
    def depths(self) -> Floats:
        """Where layers begin and end [layers + 1], X0."""
        number = np.arange(len(self.geometry.layers) + 1, dtype=np.float64)
        return number * (self.geometry.pitch / self.medium.x0)

    @functools.cached_property
    def radii(self) -> Floats:
        """Between which radii the rings lie [rings + 1], R_M."""
        return np.array(self.geometry.layers[0].edges) / self.medium.moliere

    def draw(
        self,
        energies: ArrayLike,
        rng: np.random.Generator,
        *,
        threshold: float | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """Showers as they are read out.

        Every shower has random numbers of its own, from a seed that ``rng`` gives it: those of one
        call are the same bits as those of several calls with its parts, in order.

        Args:
            energies: Incident energies [n], MeV, from `LOW` to `HIGH`.
            rng: Where chance comes from.
            threshold: Cells that read less are 0, MeV; the geometry's if None, 0 keeps all.
            progress: Told after every batch.

        Returns:
            Readings of the cells [n, cells], MeV, numbered as the geometry says.

        Raises:
            DataError: If an energy is outside the range or no number.
        """
        energies = checked(energies)
        cut = self.geometry.threshold if threshold is None else threshold
        showers = np.empty((len(energies), self.geometry.cells), np.float32)
        for start in range(0, len(energies), BATCH):
            part = self.trace(energies[start : start + BATCH], rng).cells
            showers[start : start + BATCH] = np.where(part < cut, np.float32(0), part)
            if progress is not None:
                progress(min(start + BATCH, len(energies)), len(energies))
        return showers

    def trace(self, energies: ArrayLike, rng: np.random.Generator) -> Trace:
        """Showers with what they were made from; `draw` gives the same cells.

        Args:
            energies: As in `draw`; all are computed at once.
            rng: As in `draw`.

        Raises:
            DataError: As in `draw`.
        """
        energies = checked(energies)
        gev, count = energies / 1000, len(energies)
        seeds = rng.integers(2**64, size=count, dtype=np.uint64)
        chances = [np.random.Generator(np.random.PCG64(int(seed))) for seed in seeds]
        normal = np.array([chance.standard_normal(2) for chance in chances]).reshape(count, 2)
        law = longitudinal.moments(self.medium, np.log(energies / self.medium.critical))
        T, alpha = longitudinal.correlated(law, normal)
        alpha = np.maximum(alpha * self.stretch, longitudinal.LEAST_ALPHA)
        mean = energies[:, None] * longitudinal.shares(T, alpha, self.depths)
        rates = self._rates(gev, T, alpha)
        rings = self._rings(gev, T, alpha, np.exp(law.ln_alpha) * self.stretch)

        sectors = self.geometry.layers[0].sectors
        cells = np.empty((count, self.geometry.cells), np.float32)
        layers, beside = np.empty_like(mean), np.empty_like(mean)
        first = self.ionisation * np.exp(-self.depths[:-1])
        for i, chance in enumerate(chances):
            layers[i] = self.response * self._sampled(chance, mean[i]) + first
            inside, beside[i] = spots.scatter(
                chance, layers[i], rates[i], rings[i], sectors, self.shape
            )
            cells[i] = inside.ravel()
        return Trace(cells, beside, layers, T, alpha)

    def _sampled(self, rng: np.random.Generator, mean: Floats) -> Floats:
        """Energies of layers of which a part is seen (hep-ex/0001020, appendix A.2), MeV.

        A Gamma law of mean dE and variance c^2 dE, dE in GeV; sums over layers then are of the same
        kind, so that the whole shower has sigma / E = c / sqrt(E).
        """
        if self.medium.sampling is None:
            return mean
        quantum = 1000 * self.medium.sampling.resolution**2  # MeV
        return rng.standard_gamma(mean / quantum) * quantum

    def _rates(self, gev: Floats, T: Floats, alpha: Floats) -> Floats:
        """Mean numbers of spots [n, layers]."""
        shares = longitudinal.shares(*spots.profile(self.medium, T, alpha), self.depths)
        return self.spots * spots.number(self.medium, gev)[:, None] * shares

    def _rings(self, gev: Floats, T: Floats, alpha: Floats, mean_alpha: Floats) -> Floats:
        """Probabilities of rings and of none, in the middle of layers [n, layers, rings + 1]."""
        middles = (self.depths[1:] + self.depths[:-1]) / 2
        mean_alpha = np.maximum(mean_alpha, longitudinal.LEAST_ALPHA)
        tau = radial.scaled_depth(middles, T[:, None], alpha[:, None], mean_alpha[:, None])
        return radial.rings(radial.profile(self.medium, tau, gev[:, None]), self.radii)


def checked(energies: ArrayLike) -> Floats:
    """Incident energies as numbers one can draw at.

    Args:
        energies: [n], MeV.

    Raises:
        DataError: If they are no list of finite numbers from `LOW` to `HIGH`.
    """
    found = np.asarray(energies, dtype=np.float64)
    if found.ndim != 1:
        raise DataError(f"energies have the shape {found.shape}", hint="give one a shower: [n]")
    if len(wrong := np.flatnonzero(~((found >= LOW) & (found <= HIGH)))):
        first = wrong[0]
        raise DataError(
            f"GFlash cannot be drawn at {found[first] / 1000:g} GeV"
            + (f" and {len(wrong) - 1} other energies" if len(wrong) > 1 else ""),
            where=f"energy {first}",
            hint=f"keep between {LOW / 1000:g} and {HIGH / 1000:g} GeV; in Python they are in MeV",
        )
    return found


STRICT = GFlash()
"""The published law."""
DS2_LIKE = GFlash(response=0.778, spots=2.35, shape=0.7)
"""With the response, and one spot for every minimum ionising particle, of 0.3 mm of silicon read in
the units of the CaloChallenge's second set. The response follows from e/mip and energy losses; the
spots' shape is a choice."""
DS2_FITTED = GFlash(response=0.778, spots=2.35, shape=0.7, stretch=0.85, ionisation=7.0)
"""The same with an earlier start, chosen to come near that set's mean layers: a fit, so agreement
with them proves nothing, and it fluctuates less like them."""

PRESETS = {"strict": STRICT, "ds2-like": DS2_LIKE, "ds2-fitted": DS2_FITTED}
"""By the names the command line knows."""
