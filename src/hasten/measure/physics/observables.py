"""Observables: what physicists look at in a shower, computed from its cells.

Definitions are those of the Fast Calorimeter Simulation Challenge (arXiv 2410.21611) and of the
histograms of Geant4's example Par04. Energies are in MeV, lengths in mm, except that depth is
counted in layers: layer 0 is the first, and the middle of layer l lies at l.

Cells are taken as they are: whoever wants cells below the threshold cut must cut them before.
Where there is no energy to weigh with, centres, widths and moments are 0, as in the challenge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hasten.data.geometry import Floats, Geometry
from hasten.errors import DataError

AT_ONCE = 1 << 22
"""Cells held in double precision at a time."""
PER_DECADE, DECADES = 4, 7
"""Bins of the cell spectrum, from the threshold up."""
ROUNDING = 1e-12
"""Least variance, as a share of the mean square, that is told from none."""
LOWEST = 1e-3
"""MeV where the cell spectrum begins if the geometry has no threshold."""


@final
@dataclass(frozen=True, eq=False)
class Observables:
    """Showers as numbers, a row each.

    Attributes:
        geometry: Where the cells are.
        incident: Energies of the particles [n], MeV.
        layers: Energies of the layers [n, layers], MeV.
        centres: Centres of energy of the layers along the two axes across [n, layers, 2], mm:
            sum(x E) / sum(E) with x a cell's middle.
        widths: Their widths [n, layers, 2], mm: sqrt(max(<x^2> - <x>^2, 0)).
        radii: Mean distance from the axis in the layers [n, layers], mm.
        spreads: Its width [n, layers], mm.
        hits: Cells at or above the threshold [n, layers].
        image: Energies of the rings of every layer, from the axis outwards [n, layers, rings], MeV;
            no rings where layers differ.
        sectors: Shares of the sectors in the energy of all layers [n, sectors]; none where layers
            differ.
        spectrum: Cells by the logarithm of their energy [n, bins], between `spectrum_edges`;
            cells above the last edge are in the last bin.
    """

    geometry: Geometry
    incident: Floats
    layers: Floats
    centres: Floats
    widths: Floats
    radii: Floats
    spreads: Floats
    hits: Floats
    image: Floats
    sectors: Floats
    spectrum: Floats

    def __len__(self) -> int:
        return len(self.incident)

    @property
    def total(self) -> Floats:
        """Energy of all layers [n], MeV."""
        found: Floats = self.layers.sum(axis=1)
        return found

    @property
    def response(self) -> Floats:
        """Total energy over incident energy [n]."""
        return self.total / self.incident

    @property
    def rings(self) -> Floats:
        """Shares of the rings in the energy of all layers [n, rings]."""
        return over(self.image.sum(axis=1), self.total[:, None])

    @property
    def sparsity(self) -> Floats:
        """Share of cells without a hit in the layers [n, layers]."""
        cells = np.array([layer.cells for layer in self.geometry.layers])
        found: Floats = 1 - self.hits / cells
        return found

    @property
    def empty(self) -> Floats:
        """Share of all cells without a hit [n]."""
        found: Floats = 1 - self.hits.sum(axis=1) / self.geometry.cells
        return found

    @property
    def depth(self) -> Floats:
        """First longitudinal moment [n]: sum(l E_l) / sum(E_l), layers."""
        return over(self.layers @ np.arange(self.layers.shape[1]), self.total)

    @property
    def length(self) -> Floats:
        """Root of the second central longitudinal moment [n], layers."""
        at = np.arange(self.layers.shape[1], dtype=np.float64)
        away = np.square(at - self.depth[:, None])
        return np.sqrt(np.maximum(over((self.layers * away).sum(axis=1), self.total), 0))

    @property
    def radius(self) -> Floats:
        """First transverse moment [n]: mean distance of the energy from the axis, mm."""
        return over((self.layers * self.radii).sum(axis=1), self.total)

    @property
    def breadth(self) -> Floats:
        """Root of the second central transverse moment [n], mm."""
        square = (self.layers * (np.square(self.spreads) + np.square(self.radii))).sum(axis=1)
        return width(over(square, self.total), self.radius)

    def rows(self, which: ArrayLike | slice) -> Observables:
        """The same of some of the showers, by number or mask."""
        index: Any = which if isinstance(which, slice) else np.asarray(which)
        values = {
            field.name: getattr(self, field.name)[index]
            for field in dataclasses.fields(self)
            if field.name != "geometry"
        }
        return dataclasses.replace(self, **values)


def observe(
    cells: Tensor | ArrayLike, energies: Tensor | ArrayLike, geometry: Geometry
) -> Observables:
    """The observables of showers.

    Sums are in double precision, a block of showers at a time.

    Args:
        cells: Cell energies [n, cells] in the geometry's order, or any [n, ...] that is flattened
            to it, MeV.
        energies: Incident energies [n] or [n, 1], MeV.
        geometry: Where the cells are.

    Raises:
        DataError: If shapes do not fit, cells are not finite or energies not above 0.
    """
    table = as_cells(cells, geometry)
    incident = as_energies(energies, len(table))
    # one product a layer gives its energy and the moments along both axes and the radius
    across = geometry.across
    weights = np.stack(
        [np.ones(geometry.cells), *across, *(np.square(x) for x in across), geometry.radius], axis=1
    )
    sums = np.empty((len(table), len(geometry.layers), weights.shape[1]))
    hits = np.empty((len(table), len(geometry.layers)))
    depth, around, out = geometry.shape or (len(geometry.layers), 0, 0)
    image, sectors = np.zeros((len(table), depth, out)), np.zeros((len(table), around))
    edges = spectrum_edges(geometry)
    spectrum = np.empty((len(table), len(edges) - 1))
    stops = np.append(geometry.starts[1:], geometry.cells)
    for rows in blocks(len(table), geometry):
        block = table[rows].astype(np.float64)
        for layer, (start, stop) in enumerate(zip(geometry.starts, stops, strict=True)):
            sums[rows, layer] = block[:, start:stop] @ weights[start:stop]
        # a cell is judged in the precision it came in: the threshold must not fall between
        hit = table[rows] >= np.asarray(geometry.threshold, table.dtype)
        hit &= table[rows] > 0
        hits[rows] = np.add.reduceat(hit, geometry.starts, axis=1, dtype=np.float64)
        spectrum[rows] = _spectrum(block, hit, edges)
        if geometry.shape:
            grid = block.reshape(len(block), *geometry.shape)
            image[rows], sectors[rows] = grid.sum(axis=2), grid.sum(axis=(1, 3))
    _check_finite(sums)
    layers = sums[..., 0]
    mean, square = (over(sums[..., a:b], layers[..., None]) for a, b in ((1, 3), (3, 5)))
    radii = over(sums[..., 5], layers)
    return Observables(
        geometry=geometry,
        incident=incident,
        layers=layers,
        centres=mean,
        widths=width(square, mean),
        radii=radii,
        spreads=width(square.sum(axis=-1), radii),
        hits=hits,
        image=image,
        sectors=over(sectors, layers.sum(axis=1, keepdims=True)),
        spectrum=spectrum,
    )


def high_level(seen: Observables) -> Floats:
    """The challenge's high-level features [n, 8 layers + 2]: 362 of data set 2.

    log10 E_inc; log10(E_layer + 1e-8); centres along the first, then the second axis, then widths
    likewise, / 100; log10 E_tot; sparsity of the layers; mean radius and its width / 100
    (arXiv 2410.21611, classifier inputs). Energies below 0 count as 0.
    """
    across = [values[..., axis] / 100 for values in (seen.centres, seen.widths) for axis in (0, 1)]
    parts = (
        np.log10(seen.incident)[:, None],
        np.log10(np.maximum(seen.layers, 0) + 1e-8),
        *across,
        np.log10(np.maximum(seen.total, 0) + 1e-8)[:, None],
        seen.sparsity,
        seen.radii / 100,
        seen.spreads / 100,
    )
    return np.concatenate(parts, axis=1)


def spectrum_edges(geometry: Geometry) -> Floats:
    """Cell energies between which the spectrum counts [bins + 1], MeV, from the threshold up."""
    steps = np.arange(PER_DECADE * DECADES + 1) / PER_DECADE
    found: Floats = (geometry.threshold or LOWEST) * 10.0**steps
    return found


def as_cells(cells: Tensor | ArrayLike, geometry: Geometry) -> NDArray[np.floating[Any]]:
    """Cell energies as a table [n, cells] of floating numbers on the host.

    Raises:
        DataError: If they are not as many as the geometry has.
    """
    held = cells.detach().cpu().numpy() if isinstance(cells, Tensor) else np.asarray(cells)
    if held.ndim < 2 or held[:1].size != geometry.cells * len(held[:1]) or not len(held):
        raise DataError(
            f"showers must be [n, {geometry.cells}], got {held.shape}",
            where=f"geometry {geometry.name}",
        )
    table: NDArray[np.floating[Any]] = held.reshape(len(held), geometry.cells)
    return table if table.dtype in (np.float32, np.float64) else table.astype(np.float64)


def as_energies(energies: Tensor | ArrayLike, count: int) -> Floats:
    """Incident energies as [n], double precision.

    Raises:
        DataError: If there is not one above 0 a shower.
    """
    held = energies.detach().cpu().numpy() if isinstance(energies, Tensor) else np.asarray(energies)
    if held.shape not in ((count,), (count, 1)):
        raise DataError(
            f"{count} showers need incident energies [{count}], got {held.shape}",
            hint="one energy a shower, in MeV",
        )
    found: Floats = held.reshape(count).astype(np.float64)
    if not (np.isfinite(found).all() and (found > 0).all()):
        raise DataError("incident energies must be above 0", hint="they are in MeV")
    return found


def blocks(count: int, geometry: Geometry) -> Iterator[slice]:
    """Slices of showers that are few enough to hold in double precision."""
    step = max(1, AT_ONCE // geometry.cells)
    return (slice(first, first + step) for first in range(0, count, step))


def over(top: Floats, bottom: Floats) -> Floats:
    """``top / bottom`` where there is energy, else 0."""
    found: Floats = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
    return found


def width(square: Floats, mean: Floats) -> Floats:
    """``sqrt(<x^2> - <x>^2)``, and 0 where the difference is of the order of its rounding."""
    variance = square - np.square(mean)
    found: Floats = np.sqrt(np.where(variance > ROUNDING * square, variance, 0))
    return found


def _spectrum(block: Floats, hit: NDArray[np.bool_], edges: Floats) -> Floats:
    """Hits by energy [rows, bins]; only hits are looked at, for most cells are empty."""
    bins = len(edges) - 1
    row, cell = np.nonzero(hit)
    which = np.searchsorted(edges, block[row, cell], side="right") - 1
    counts = np.bincount(row * bins + np.clip(which, 0, bins - 1), minlength=len(block) * bins)
    return counts.reshape(len(block), bins).astype(np.float64)


def _check_finite(sums: Floats) -> None:
    bad = int((~np.isfinite(sums)).any(axis=(1, 2)).sum())
    if bad:
        raise DataError(
            f"{bad} of {len(sums)} showers have cells that are not finite",
            hint="look at these samples: the sampler probably diverged",
        )
