"""Showers: energies in the cells of a calorimeter, read from and written to the field's formats.

The format that is written is the CaloChallenge's: HDF5 with ``incident_energies`` (N, 1) and
``showers`` (N, cells) in MeV, cells layer by layer, in a layer sector by sector, in a sector from
the axis outwards. Par04's and LEMURS' arrays (N, r, phi, z) and npz archives are read as well.

Source: Faucci Giannelli et al., the Fast Calorimeter Simulation Challenge 2022 (arXiv 2410.21611).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hasten.data.geometry import Geometry
from hasten.data.showers.binning import geometry_text
from hasten.data.showers.checks import (
    check_cells,
    check_energies,
    warn_of_units,
)
from hasten.data.showers.files import (
    CELLS,
    ENERGIES,
    GEOMETRY_NOTE,
    SPLIT_NOTE,
    Reading,
    ShowerFiles,
    open_showers,
)
from hasten.data.showers.hdf5 import write_hdf5
from hasten.data.showers.runs import Floats
from hasten.data.showers.stores import HDF5_ENDINGS
from hasten.errors import DataError
from hasten.files import atomic

_OURS = ("units", "geometry", "order", GEOMETRY_NOTE, SPLIT_NOTE)

Progress = Callable[[int, int], None]
"""Called with the showers written and showers in all."""


@final
@dataclass(frozen=True, eq=False)
class Showers:
    """Showers in memory.

    Attributes:
        energies: Incident energies, float32 [n], MeV.
        cells: Energies read out, float32 [n, geometry.cells], MeV; cells in the geometry's order
            (layer, sector, ring; ring fastest).
        geometry: Where the cells are.
        name: Where they came from, for people.
        split: ``train``, ``valid``, ``test``, or None if all or unknown.
    """

    energies: Floats
    cells: Floats
    geometry: Geometry
    name: str
    split: str | None = None

    def __post_init__(self) -> None:
        """Check types, shapes and that the energies can be.

        Raises:
            DataError: If a shape does not fit, an incident energy is not above 0, or a cell is
                negative or not finite.
        """
        shapes = {"energies": (len(self.cells),), "cells": (len(self.cells), self.geometry.cells)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.dtype != np.float32 or array.shape != shape:
                raise DataError(
                    f"{name} of {len(self.cells)} showers must be float32 {list(shape)} in the "
                    f"geometry {self.geometry.name}, got {array.dtype} {list(array.shape)}",
                    where=self.name,
                )
        check_energies(self.energies, self.name)
        check_cells(self.cells, self.name)

    def __len__(self) -> int:
        return len(self.energies)

    def __getitem__(self, rows: slice) -> Showers:
        """Those from one row to another, without copying them."""
        return replace(self, energies=self.energies[rows], cells=self.cells[rows])

    def part(self, indices: ArrayLike) -> Showers:
        """Those at ``indices`` [m] (whole numbers, or booleans [n]), copied.

        Raises:
            DataError: If there are no such rows.
        """
        try:
            at = np.asarray(indices)
            return replace(self, energies=self.energies[at], cells=self.cells[at])
        except IndexError as error:
            raise DataError(f"no such rows: {error}", where=self.name) from error

    @functools.cached_property
    def totals(self) -> NDArray[np.float64]:
        """Energy read out in all cells of each shower [n], MeV."""
        return np.asarray(self.cells.sum(axis=1, dtype=np.float64))


def load_showers(path: str | Path, **how: Unpack[Reading]) -> Showers:
    """Read showers.

    Only the rows asked for are read, so some rows of a large file cost little (in an npz archive,
    those before them are decompressed as well).

    Units are MeV throughout, and no number is changed that one was not asked to change. Showers of
    the challenge's sets 2 and 3 are deposits in silicon divided by 0.033 (`Geometry.share`); files
    made with Par04 itself may hold deposits that were not divided, and then ``scale=1/0.033`` makes
    them comparable. Incident angles (``incident_theta``, ``incident_phi``) are not read.

    Args:
        path: An HDF5 file or npz archive in one of the forms listed in `hasten.data.showers.files`,
            or a folder, whose HDF5 files (or else npz archives) are read as one in the order of
            their names.
        **how: Which of them and how: `Reading` says what may be given.

    Returns:
        The showers in the order of the files.

    Raises:
        DataError: If nothing readable is there, arrays are missing or do not fit each other or the
            geometry, numbers are negative or not finite, or there are no such rows.
        MissingExtra: If HDF5 is read without h5py.

    Warns:
        UnitWarning: If energies look like GeV, or like deposits not divided by `Geometry.share`.
        OrderWarning: If a split has other incident energies than its file, as if it were sorted.
    """
    files = open_showers(path, **how)
    energies, cells = files.read()
    warn_of_units(files.advice(energies, cells), str(path))
    return Showers(energies, cells, files.geometry, files.name, files.split)


def save_showers(
    path: str | Path,
    showers: Showers,
    *,
    attributes: Mapping[str, str | float] | None = None,
) -> None:
    """Write showers in the format of the CaloChallenge, whole or not at all.

    Numbers are written as they are, so that reading them gives the same bits. Attributes of the
    file say its units, geometry, order of cells, split and what made it.

    Args:
        path: ``.h5`` or ``.hdf5`` (compressed with gzip), or ``.npz`` for an archive of the same
            two arrays; its folder is made if missing.
        showers: What to write.
        attributes: Further attributes, such as ``creator``, a seed or a recipe. They cannot replace
            those about units, geometry, order and split.

    Raises:
        DataError: If the ending is another one.
        MissingExtra: If HDF5 is written without h5py.
        RunError: If the file cannot be written; an older one is left as it was.
    """
    notes = _notes(showers.geometry, showers.split, attributes)
    size = len(showers), showers.geometry.cells
    _write(Path(path).expanduser(), size, [(showers.energies, showers.cells)], notes)


def convert_showers(
    source: str | Path,
    target: str | Path,
    *,
    progress: Progress | None = None,
    **how: Unpack[Reading],
) -> int:
    """Read showers in any form and write them in the format of the CaloChallenge.

    They pass through memory some rows at a time (but not on their way to an npz archive).

    Args:
        source: As ``path`` in `load_showers`.
        target: As ``path`` in `save_showers`.
        progress: Called after each block of rows.
        **how: As in `load_showers`.

    Returns:
        The number of showers written.

    Raises:
        DataError: As `load_showers` and `save_showers` do.
        MissingExtra: If h5py is needed and not installed.
        RunError: If the target cannot be written.

    Warns:
        UnitWarning: As `load_showers` does.
        OrderWarning: As `load_showers` does.
    """
    path = Path(target).expanduser()
    _check_ending(path)
    files = open_showers(source, **how)
    warn_of_units(files.advice(*files.spread(256).read()), str(source))
    notes = _notes(files.geometry, files.split, {"source": files.name})
    _write(path, (len(files), files.geometry.cells), _counted(files, progress), notes)
    return len(files)


def _counted(files: ShowerFiles, progress: Progress | None) -> Iterable[tuple[Floats, Floats]]:
    done = 0
    for energies, cells in files.blocks():
        yield energies, cells
        done += len(energies)
        if progress:
            progress(done, len(files))


def _notes(
    geometry: Geometry, split: str | None, attributes: Mapping[str, str | float] | None
) -> dict[str, str | float]:
    return {
        "creator": "hasten",
        **(attributes or {}),
        "units": "MeV",
        "geometry": geometry.name,
        "order": "layer, sector, ring; ring fastest",
        GEOMETRY_NOTE: geometry_text(geometry),
        **({SPLIT_NOTE: split} if split else {}),
    }


def _check_ending(path: Path) -> None:
    if path.suffix.lower() not in (*HDF5_ENDINGS[:2], ".npz"):
        raise DataError(
            f"showers are written to .h5, .hdf5 or .npz, not '{path.suffix or path.name}'",
            where=str(path),
            hint="choose one of these endings",
        )


def _write(
    path: Path,
    size: tuple[int, int],
    blocks: Iterable[tuple[Floats, Floats]],
    notes: Mapping[str, str | float],
) -> None:
    _check_ending(path)
    named: Iterable[dict[str, NDArray[Any]]] = (
        {ENERGIES: energies[:, None], CELLS: cells} for energies, cells in blocks
    )
    if path.suffix.lower() != ".npz":
        write_hdf5(path, {ENERGIES: (size[0], 1), CELLS: size}, named, notes)
        return
    parts = list(named)
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in (ENERGIES, CELLS)}
    texts = {name: np.array(notes[name]) for name in _OURS if name in notes}
    texts["attributes"] = np.array(json.dumps({k: v for k, v in notes.items() if k not in _OURS}))
    with atomic(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays, **texts)
