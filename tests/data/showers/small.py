"""Small showers whose every cell is different, so that no two orders of cells look alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hasten.data.geometry import SIW, Geometry
from hasten.data.showers import Showers

SMALL = Geometry.regular("small", (3, 4, 2), 10.0, 0.1)
"""Three layers of four sectors of two rings: 24 cells."""
CUBE = Geometry.regular("cube", (3, 4, 3), 10.0, 0.1)
"""As many layers as rings: axes cannot be told by the shape."""


def made(count: int = 5, geometry: Geometry = SMALL, seed: int = 0, **facts: Any) -> Showers:
    """Showers that read out 80 % of energies from 1 to 100 GeV; every third cell is empty."""
    rng = np.random.default_rng(seed)
    energies = (1000 * 100 ** rng.random(count)).astype(np.float32)
    cells = rng.random((count, geometry.cells))
    cells[:, ::3] = 0
    cells *= 0.8 * energies[:, None] / cells.sum(1, keepdims=True)
    facts = {"name": "made", **facts}
    return Showers(energies, cells.astype(np.float32), geometry, **facts)


def write(path: Path, arrays: Mapping[str, Any], **options: Any) -> Path:
    """An HDF5 file of these arrays, written with h5py alone."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **options)
    return path


def challenge(path: Path, showers: Showers, rows: int | None = None) -> Path:
    """Exactly the format of the CaloChallenge; in chunks of so many rows, or as h5py guesses."""
    with h5py.File(path, "w") as file:
        for name, array in (
            ("incident_energies", showers.energies[:, None]),
            ("showers", showers.cells),
        ):
            chunks = (rows, array.shape[1]) if rows else True
            file.create_dataset(name, data=array, compression="gzip", chunks=chunks)
    return path


def damage(path: Path, chunk: int) -> None:
    """Make one chunk of the showers in a file unreadable."""
    with h5py.File(path) as file:
        place = file["showers"].id.get_chunk_info(chunk)
    with path.open("r+b") as raw:
        raw.seek(place.byte_offset)
        raw.write(b"\xff" * min(place.size, 200))


def par04(cells: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Showers [n, cells] as Par04 numbers them [n, r, phi, z], put there cell by cell."""
    layers, sectors, rings = shape
    out = np.full((len(cells), rings, sectors, layers), np.nan, np.float32)
    for cell in range(cells.shape[1]):
        layer, sector, ring = np.unravel_index(cell, shape)
        out[:, ring, sector, layer] = cells[:, cell]
    return out


def siw(count: int, **facts: Any) -> Showers:
    """Showers of 6,480 cells, with different energies in all of them."""
    return made(count, SIW, **facts)


def same(one: Showers, other: Showers) -> None:
    """The same numbers bit for bit, in the same cells."""
    np.testing.assert_array_equal(one.energies.view(np.int32), other.energies.view(np.int32))
    np.testing.assert_array_equal(one.cells.view(np.int32), other.cells.view(np.int32))
    assert one.geometry == other.geometry
