"""Binning: geometries from the challenge's XML files, and those that can be told by a count.

    <Bins>
      <Bin pid="22" name="photon">
        <Layer id="0" r_edges="0,5,10,30" n_bin_alpha="1"/>
        <Layer id="4" r_edges="0" n_bin_alpha="1"/>         (no ring: this layer is not there)
      </Bin>
    </Bins>

Layers keep their order and lose their numbers: the layers 0, 1, 2, 3 and 12 of set 1 are layers 0
to 4 here, as they are in the files of showers.

Source: Faucci Giannelli et al., the Fast Calorimeter Simulation Challenge 2022 (arXiv 2410.21611)
and its published binning files.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import final
from xml.parsers import expat

from hasten.data.geometry import GEOMETRIES, Geometry, Layer
from hasten.errors import DataError

ATLAS_THRESHOLD = 1.0
"""MeV below which the challenge does not count a cell of its set 1."""

_STRIPS = ((0, 5, 10, 30, 50, 100, 200, 400, 600), 1)
_BACK = ((0, 50, 100, 200, 400, 600), 1)
_SECOND = (0, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 130, 160, 200, 250, 300, 350, 400)
_PHOTON_LAYERS = (
    _STRIPS,
    ((0, 2, 4, 6, 8, 10, 12, 15, 20, 30, 40, 50, 70, 90, 120, 150, 200), 10),
    (_SECOND, 10),
    _BACK,
    ((0, 100, 200, 400, 1000, 2000), 1),
)
_HADRONIC = (0, 10, 20, 30, 50, 80, 100, 130, 160, 200, 250, 300, 350, 400)
_PION_LAYERS = (
    _STRIPS,
    ((0, 1, 4, 7, 10, 15, 30, 50, 90, 150, 200), 10),
    ((0, 5, 10, 20, 30, 50, 80, 130, 200, 300, 400), 10),
    _BACK,
    ((*_HADRONIC, 1000, 2000), 10),
    ((*_HADRONIC, 600, 1000, 2000), 10),
    ((0, 50, 100, 150, 200, 250, 300, 400, 600, 1000, 2000), 1),
)


def _atlas(name: str, layers: Iterable[tuple[tuple[int, ...], int]]) -> Geometry:
    made = (Layer(tuple(map(float, edges)), sectors) for edges, sectors in layers)
    return Geometry(name, tuple(made), ATLAS_THRESHOLD)


ATLAS_PHOTONS = _atlas("atlas-photons", _PHOTON_LAYERS)
"""CaloChallenge set 1, photons: ATLAS layers 0, 1, 2, 3, 12; 368 cells."""
ATLAS_PIONS = _atlas("atlas-pions", _PION_LAYERS)
"""CaloChallenge set 1, pions: ATLAS layers 0, 1, 2, 3, 12, 13, 14; 533 cells."""

KNOWN = {**GEOMETRIES, ATLAS_PHOTONS.name: ATLAS_PHOTONS, ATLAS_PIONS.name: ATLAS_PIONS}
"""Geometries that need no file, by name."""

_MOST_LAYERS = 10_000
_MOST_BYTES = 1 << 24


@final
@dataclass
class _Bin:
    """A ``Bin`` element: the particle it is for, and its layers."""

    pid: str
    name: str
    layers: list[Layer] = field(default_factory=list)

    def __str__(self) -> str:
        return self.name or self.pid or "(no name)"


def read_binning(
    path: str | Path, particle: str | int | None = None, *, threshold: float | None = None
) -> Geometry:
    """A geometry from an XML binning file of the CaloChallenge.

    Args:
        path: The file. It may not declare a document type or entities; nothing is fetched.
        particle: Name or PDG number of the ``Bin`` to take, ``photon`` or 22; it may be left out
            if there is only one.
        threshold: MeV below which a cell is not read out. The file does not say; by default that
            of the known geometry with these layers, or else the 1 MeV of set 1.

    Returns:
        The known geometry with these layers if there is one (`KNOWN`), or a new one named after
        the file. Lengths in mm.

    Raises:
        DataError: If the file is missing, damaged or no binning file, or has no such particle.
    """
    file = Path(path).expanduser()
    found = _read_bins(file)
    if particle is None:
        chosen = found
    else:
        wanted = str(particle).strip().lower()
        chosen = [each for each in found if wanted in {each.pid, each.name, f"{each.name}s"}]
    if len(chosen) != 1:
        there = ", ".join(map(str, found))
        raise DataError(
            f"no particle {particle!r}, only {there}"
            if not chosen
            else f"it bins several particles: {there}",
            where=str(file),
            hint=f'name one of them: particle="{found[0]}"',
        )
    return _geometry(chosen[0], file, threshold)


def geometry_text(geometry: Geometry) -> str:
    """All that a geometry is, as JSON to store beside showers; equal layers stand there once."""
    runs = itertools.groupby(geometry.layers)
    layers = [
        {"count": len(list(run)), "edges": layer.edges, "sectors": layer.sectors}
        for layer, run in runs
    ]
    facts = {name: getattr(geometry, name) for name in ("name", "threshold", "pitch", "share")}
    return json.dumps({**facts, "layers": layers})


def geometry_from_text(text: str, where: str) -> Geometry:
    """What `geometry_text` wrote.

    Raises:
        DataError: If it is something else.
    """
    try:
        data = json.loads(text)
        kinds = [
            (_layer(each["edges"], each["sectors"]), int(each["count"])) for each in data["layers"]
        ]
        if not 0 < sum(count for _, count in kinds) <= _MOST_LAYERS:
            raise ValueError("no layers, or too many")
        layers = tuple(layer for layer, count in kinds for _ in range(count))
        facts = (float(data[name]) for name in ("threshold", "pitch", "share"))
        geometry = Geometry(str(data["name"]), layers, *facts)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, DataError) as error:
        raise DataError(
            f"the geometry noted in the file cannot be understood ({error})",
            where=where,
            hint="name the geometry yourself: geometry=... (--geometry)",
        ) from error
    return next((known for known in KNOWN.values() if known == geometry), geometry)


def candidates(
    wanted: Geometry | str | Path | None, folder: Path
) -> tuple[list[Geometry], list[Geometry]]:
    """Geometries that showers may have: those that were named or lie in files, and the known ones.

    Args:
        wanted: A geometry, the name of a known one, or an XML file; None for the XML files
            ``binning*.xml`` in ``folder`` and the known ones.
        folder: Where the showers are.

    Raises:
        DataError: If there is no such geometry, or a file cannot be read.
    """
    if isinstance(wanted, Geometry):
        return [wanted], []
    if wanted is None:
        return [one for file in sorted(folder.glob("binning*.xml")) for one in _all(file)], [
            *KNOWN.values()
        ]
    if str(wanted) in KNOWN:
        return [KNOWN[str(wanted)]], []
    if Path(wanted).suffix.lower() == ".xml":
        return _all(Path(wanted).expanduser()), []
    near = get_close_matches(str(wanted), KNOWN, 1)
    raise DataError(
        f"unknown geometry '{wanted}'",
        hint=f"{f'did you mean {near[0]}? ' if near else ''}known are {', '.join(KNOWN)}, "
        "or give an XML binning file",
    )


def _all(file: Path) -> list[Geometry]:
    return [_geometry(each, file, None) for each in _read_bins(file)]


def _geometry(found: _Bin, file: Path, threshold: float | None) -> Geometry:
    layers = tuple(found.layers)
    for known in KNOWN.values():
        if threshold in (None, known.threshold) and _alike(known.layers, layers):
            return known
    name = f"{file.stem.removeprefix('binning').strip('_-') or 'binning'}:{found}"
    return Geometry(name, layers, ATLAS_THRESHOLD if threshold is None else threshold)


def _alike(first: tuple[Layer, ...], second: tuple[Layer, ...]) -> bool:
    """Equal up to the rounding of radii."""
    return len(first) == len(second) and all(
        one.sectors == other.sectors
        and one.rings == other.rings
        and all(map(math.isclose, one.edges, other.edges))
        for one, other in zip(first, second, strict=True)
    )


def _read_bins(file: Path) -> list[_Bin]:
    where, found = str(file), list[_Bin]()

    def refuse(*_: object) -> None:
        raise DataError(
            "it declares a document type, which is not read",
            where=where,
            hint="a binning file needs none; remove the declaration",
        )

    def begin(tag: str, given: dict[str, str]) -> None:
        if tag == "Bin":
            found.append(_Bin(given.get("pid", "").strip(), given.get("name", "").strip().lower()))
        elif tag == "Layer" and found:
            layer = _layer_of(given, where)
            if layer is not None:
                found[-1].layers.append(layer)

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse  # and with it goes every entity of its own
    parser.StartElementHandler = begin
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise DataError("it is too large for a binning file", where=where)
        parser.Parse(file.read_bytes(), True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"cannot be read ({reason[:1].lower()}{reason[1:]})", where=where
        ) from error
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise DataError(
            f"not readable as XML ({error})",
            where=where,
            hint="the file is truncated or damaged; fetch it again",
        ) from error
    filled = [each for each in found if each.layers]
    if not filled:
        raise DataError(
            "no <Bin> with layers in it",
            where=where,
            hint='a binning file has <Bins><Bin name=""><Layer r_edges="0,..." n_bin_alpha=""/>',
        )
    return filled


def _layer_of(given: dict[str, str], where: str) -> Layer | None:
    """The layer of an element; None if its radii are a single one."""
    try:
        edges = tuple(float(word) for word in given["r_edges"].split(","))
        sectors = int(given["n_bin_alpha"])
    except KeyError as error:
        problem = f"has no {error.args[0]}"
    except ValueError as error:
        problem = f"cannot be understood ({error})"
    else:
        if len(edges) == 1:
            return None
        try:
            return _layer(edges, sectors)
        except DataError as error:
            problem = f"is wrong: {error.what}"
    raise DataError(f"layer {given.get('id', '?')} {problem}", where=where)


def _layer(edges: Iterable[float], sectors: int) -> Layer:
    radii = tuple(map(float, edges))
    if not all(map(math.isfinite, radii)):
        raise DataError(f"radii must be finite, got {radii}")
    return Layer(radii, int(sectors))
