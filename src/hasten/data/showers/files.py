"""Files of showers: what is where in them, found from shapes alone, and read row by row.

    keys                                          shape of showers
    incident_energies, showers                    [N, cells] or [N, z, phi, r] (CaloChallenge)
    incident_energy, showers                      [N, r, phi, z] (Par04, LEMURS)
    1, 2, 4 ... 1024 (each an energy in GeV)      [N, r, phi, z] (Par04's first public files)

Source: Faucci Giannelli et al. (arXiv 2410.21611); Geant4's extended example Par04; LEMURS (Zenodo
10.5281/zenodo.17045562).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, TypedDict, Unpack, final, get_args

import numpy as np

from hasten.data.geometry import Geometry
from hasten.data.showers.checks import check_cells, check_energies, unit_advice, warn_of_order
from hasten.data.showers.runs import Floats, Run, bounds, cut, energies_of, scaled
from hasten.data.showers.shapes import Axes, oriented, settle
from hasten.data.showers.stores import ENDINGS, HDF5_ENDINGS, Store, open_store
from hasten.errors import DataError, HastenError

Split = Literal["train", "valid", "test"]

ENERGIES, CELLS = "incident_energies", "showers"
"""Names of the two arrays in the format of the CaloChallenge."""
SPELLINGS = (ENERGIES, "incident_energy")
GEOMETRY_NOTE, SPLIT_NOTE = "hasten_geometry", "split"
"""Attributes by which a file that hasten wrote says what is in it."""

_PARTS: dict[str, tuple[int, int]] = {"train": (0, 8), "valid": (8, 9), "test": (9, 10)}


class Reading(TypedDict, total=False):
    """Which showers are read, and how; all that is not said is found out or left as it is.

    Keys:
        geometry: A `Geometry`, the name of a known one (`binning.KNOWN`), or an XML
            binning file. By default what the file states (if hasten wrote it), else an XML file
            ``binning*.xml`` beside it that has so many cells, else the known one that has: a guess,
            as other detectors of LEMURS have 6,480 cells too.
        split: ``train`` is the first 80 % of the rows of each file, ``valid`` the next 10 % and
            ``test`` the last 10 %, in the order of the file, which should have been shuffled. In
            files with one array for each energy, these parts are taken of each array. None is all.
        rows: At most so many from the beginning of what ``split`` leaves, or a slice of it.
        axes: Order of the axes of a shower, ``z-phi-r`` (CaloChallenge) or ``r-phi-z`` (Par04). By
            default what the shape can only mean; showers that are flat are taken for ``z-phi-r``.
        scale: Factor to multiply the cells by.
        energy_scale: Factor to multiply the incident energies by.
    """

    geometry: Geometry | str | Path | None
    split: Split | None
    rows: int | slice | None
    axes: Axes | None
    scale: float
    energy_scale: float


@final
@dataclass(frozen=True)
class ShowerFiles:
    """Showers on disk: looked at, not read.

    Attributes:
        runs: What is to be read, in order.
        geometry: Of all of them.
        name: Where they come from, for people.
        split: ``train``, ``valid``, ``test``, or None if all or unknown.
        scale: Factor by which energies of cells are multiplied when read.
        energy_scale: The same for incident energies.
    """

    runs: tuple[Run, ...]
    geometry: Geometry
    name: str
    split: str | None = None
    scale: float = 1.0
    energy_scale: float = 1.0

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    def take(self, start: int, stop: int) -> ShowerFiles:
        """Showers ``start`` to ``stop``."""
        return replace(self, runs=cut(self.runs, start, stop))

    def spread(self, count: int, windows: int = 8) -> ShowerFiles:
        """About ``count`` showers in a few pieces that lie evenly over all of them."""
        if len(self) <= count:
            return self
        starts = [len(self) * k // windows for k in range(windows)]
        pieces = [cut(self.runs, start, start + count // windows) for start in starts]
        return replace(self, runs=tuple(run for piece in pieces for run in piece))

    def advice(self, energies: Floats, cells: Floats) -> str | None:
        """What is odd about the units of some of them that were read (see `unit_advice`)."""
        totals = cells.sum(axis=1, dtype=np.float64)
        weakest = float(cells.min(initial=np.inf, where=cells > 0))
        return unit_advice(energies, totals, self.geometry, self.scale, self.energy_scale, weakest)

    def energies(self) -> Floats:
        """Incident energies of all [n], MeV.

        Raises:
            DataError: If any is not finite or not above 0, or they cannot be read.
        """
        return energies_of(self.runs, self.energy_scale)

    def blocks(self) -> Iterator[tuple[Floats, Floats]]:
        """Incident energies [m] and cells [m, cells] in MeV, some rows at a time.

        Raises:
            DataError: If numbers cannot be, or rows cannot be read.
        """
        for run in self.runs:
            with open_store(run.file) as store:
                for start, stop in run.windows():
                    energies = scaled(run.read_energies(store, start, stop), self.energy_scale)
                    check_energies(energies, f"{run.file}:{run.energies}", start)
                    rows = scaled(store.read(run.key, start, stop), self.scale)
                    cells = oriented(rows, self.geometry, run.axes)
                    check_cells(cells, run.where, start)
                    yield energies, cells

    def read(self) -> tuple[Floats, Floats]:
        """All incident energies [n] and cells [n, cells], MeV.

        Raises:
            DataError: As in `blocks`, or if they do not fit into memory.
        """
        size = len(self), self.geometry.cells
        try:
            energies, cells = np.empty(size[0], np.float32), np.empty(size, np.float32)
        except MemoryError as error:
            raise DataError(
                f"{size[0]:,} showers need {math.prod(size) / 2.5e8:,.1f} GB of memory",
                where=self.name,
                hint="read fewer of them (rows=..., --rows)",
            ) from error
        start = 0
        for some, block in self.blocks():
            stop = start + len(some)
            energies[start:stop], cells[start:stop] = some, block
            start = stop
        return energies, cells


def open_showers(path: str | Path, **how: Unpack[Reading]) -> ShowerFiles:
    """Find showers without reading them; arguments and errors as in `load_showers`."""
    if unknown := how.keys() - Reading.__annotations__.keys():
        raise TypeError(
            f"unexpected argument {min(unknown)!r}; known: {[*Reading.__annotations__]}"
        )
    scale, energy_scale = how.get("scale", 1.0), how.get("energy_scale", 1.0)
    split, axes = how.get("split"), how.get("axes")
    for name, value in (("scale", scale), ("energy_scale", energy_scale)):
        if not (value > 0 and math.isfinite(value)):
            raise DataError(f"{name} must be a number above 0, got {value}")
    if axes not in (None, *get_args(Axes)):
        raise DataError(f"unknown order of axes '{axes}'", hint=f"known are {get_args(Axes)}")
    folder = Path(path).expanduser()
    found = find_runs(folder, split)
    name = folder.resolve().name
    settled: dict[tuple[tuple[int, ...], str | None], tuple[Geometry, Axes]] = {}
    runs = []
    for run, notes in found:
        kind = run.inner, notes.get(GEOMETRY_NOTE)
        if kind not in settled:
            settled[kind] = settle(run.inner, run.file, run.key, kind[1], how.get("geometry"), axes)
        runs.append(replace(run, axes=settled[kind][1]))
    kinds = [each for each, _ in settled.values()]
    if len({each.layers for each in kinds}) > 1:
        raise DataError(
            f"showers of different geometries: {', '.join(each.name for each in kinds)}",
            where=str(folder),
            hint="read the files one by one",
        )
    chosen = cut(runs, *bounds(how.get("rows"), sum(map(len, runs)), name))
    noted = {split or notes.get(SPLIT_NOTE) for _, notes in found}
    part = next((each for each in _PARTS if noted == {each}), None)
    return ShowerFiles(chosen, kinds[0], name, part, scale, energy_scale)


def find_runs(path: Path, split: Split | None) -> list[tuple[Run, dict[str, str]]]:
    """The arrays of showers in a file or folder and the texts beside them; of a part its rows.

    Raises:
        DataError: If there are none, or no such part.
        MissingExtra: If h5py is needed and not installed.
    """
    if split not in (None, *_PARTS):
        raise DataError(
            f"unknown split '{split}'", where=str(path), hint=f"ask for {', '.join(_PARTS)} or none"
        )
    found = [each for file in _files(path) for each in _look(file)]
    if split is None:
        return found
    for run, notes in found:
        if (already := notes.get(SPLIT_NOTE)) in _PARTS:
            raise DataError(
                f"it is the {already} part of a file already",
                where=str(run.file),
                hint="read it without a split (--split)",
            )
    low, high = _PARTS[split]
    parts = [
        (replace(run, start=len(run) * low // 10, stop=len(run) * high // 10), notes)
        for run, notes in found
    ]
    kept = [each for each in parts if len(each[0])]
    if not kept:
        raise DataError(
            f"{sum(len(run) for run, _ in found)} showers are too few for a {split} part",
            where=str(path),
        )
    part, whole = ([run for run, _ in each] for each in (kept, found))
    warn_of_order(energies_of(part), energies_of(whole), split, str(path), depth=5)
    return kept


def holds_showers(path: str | Path) -> bool:
    """Whether a file or folder is to be read as showers rather than anything else.

    HDF5 files are, there or not; npz archives are if they have an array of showers.
    """
    return bool(_candidates(Path(path).expanduser()))


def _candidates(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.suffix.lower() in HDF5_ENDINGS or _is_archive(path) else []
    files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    return [p for p in files if p.suffix.lower() in HDF5_ENDINGS] or [
        p for p in files if _is_archive(p)
    ]


def _is_archive(file: Path) -> bool:
    if file.suffix.lower() != ".npz" or not file.is_file():
        return False
    try:
        with open_store(file) as store:
            return CELLS in (*store.shapes, *store.others)
    except HastenError:  # damaged: whoever reads it will say so
        return False


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise DataError("there is no such file or folder", where=str(path))
    files = [path] if path.is_file() else _candidates(path)
    if not files:
        raise DataError(
            "no showers were found",
            where=str(path),
            hint=f"they are read from files that end in {', '.join(ENDINGS)}",
        )
    return files


def _look(file: Path) -> list[tuple[Run, dict[str, str]]]:
    """The arrays of showers in a file."""
    with open_store(file) as store:
        key = next((name for name in SPELLINGS if name in store.shapes), None)
        if key and CELLS in store.shapes:
            runs = [_run(store, file, CELLS, key)]
        elif CELLS not in store.shapes and (points := _points(store)):
            runs = [_run(store, file, name, 1000 * float(name)) for name in points]
        else:
            raise _missing(store, ENERGIES if CELLS in store.shapes else CELLS)
        return [(run, dict(store.notes)) for run in runs]


def _points(store: Store) -> list[str]:
    """Names of arrays that are energies in GeV, ascending."""
    names = [name for name in store.shapes if re.fullmatch(r"\d+(\.\d+)?", name)]
    return sorted((name for name in names if float(name)), key=float)


def _run(store: Store, file: Path, key: str, energies: str | float) -> Run:
    shape = store.shapes[key]
    if len(shape) not in (2, 4):
        raise DataError(
            f"an array {list(shape)} is not a set of showers",
            where=f"{file}:{key}",
            hint="shapes may be [N, cells], [N, z, phi, r] or [N, r, phi, z]",
        )
    if not math.prod(shape):
        raise DataError("it holds no showers", where=f"{file}:{key}")
    if isinstance(energies, str) and store.shapes[energies] not in (shape[:1], (shape[0], 1)):
        raise DataError(
            f"{shape[0]} showers but incident energies {list(store.shapes[energies])}",
            where=f"{file}:{energies}",
            hint="there must be one incident energy for each shower",
        )
    return Run(file, key, energies, shape[1:], store.stride(key), 0, shape[0])


def _missing(store: Store, wanted: str) -> DataError:
    names = [*store.shapes, *store.others]
    held = ", ".join(f"'{name}'" for name in names[:12]) + (" ..." if len(names) > 12 else "")
    near = get_close_matches(wanted, [*store.shapes], 1)
    asks = " or ".join(f"'{name}'" for name in (SPELLINGS if wanted == ENERGIES else (CELLS,)))
    return DataError(
        f"no array {asks}; it holds {held or 'nothing'}",
        where=store.where,
        hint=f"'{wanted}' is there but holds no numbers: make it an array of them, a row a shower"
        if wanted in store.others
        else f"if '{near[0]}' is it, rename it to '{wanted}'"
        if near
        else "showers are two arrays, 'incident_energies' (N, 1) and 'showers' (N, cells), "
        "or one array for each energy named by its GeV",
    )
