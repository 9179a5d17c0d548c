"""Shapes of showers: which geometry and which order of axes a shape can only mean.

The CaloChallenge counts cells layer by layer, then by angle, then by radius (z, phi, r); Par04
counts by radius, then by angle, then by depth (r, phi, z). A flat shower is taken to be the former.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hasten.data.geometry import Geometry
from hasten.data.showers.binning import KNOWN, candidates, geometry_from_text
from hasten.errors import DataError

Axes = Literal["z-phi-r", "r-phi-z"]


def settle(
    inner: tuple[int, ...],
    file: Path,
    key: str,
    note: str | None,
    wanted: Geometry | str | Path | None,
    axes: Axes | None,
) -> tuple[Geometry, Axes]:
    """The geometry and the order of axes that the shape of a shower has.

    Args:
        inner: Shape of one shower.
        file: Where it is; XML files are looked for beside it.
        key: And in which array.
        note: The geometry that the file states, if it does.
        wanted: That the user named, which goes before.
        axes: That the user named.

    Raises:
        DataError: If nothing fits, or more than one thing.
    """
    where = f"{file}:{key}"
    if wanted is None and note is not None:
        first, known = [geometry_from_text(note, str(file))], list[Geometry]()
    else:
        first, known = candidates(wanted, file.parent)
    fitting = [each for each in first if _orders(each, inner)]
    if len({each.layers for each in fitting}) > 1:
        raise DataError(
            f"{_words(inner)} fit several geometries: {', '.join(e.name for e in fitting)}",
            where=where,
            hint="name the one meant: geometry=read_binning(file, particle)",
        )
    fitting = fitting or [each for each in known if _orders(each, inner)]
    if not fitting:
        raise _unfit(inner, where, first if wanted is not None else [])
    geometry = fitting[0]
    orders = _orders(geometry, inner)
    if axes and axes not in orders:
        raise DataError(
            f"{_words(inner)} cannot have the axes {axes} in the geometry {geometry.name}",
            where=where,
            hint=f"leave the axes out, or say {orders[0]}",
        )
    if axes is None and len(orders) > 1 and len(inner) > 1:
        raise DataError(
            f"{_words(inner)} may be z, phi, r as well as r, phi, z",
            where=where,
            hint="say which: axes='z-phi-r' or 'r-phi-z' (--axes)",
        )
    return geometry, axes or orders[0]


def _orders(geometry: Geometry, inner: tuple[int, ...]) -> list[Axes]:
    """Orders of axes in which a shower of this shape is one of the geometry, likeliest first."""
    if len(inner) == 1 and inner[0] == geometry.cells:
        return ["z-phi-r", "r-phi-z"] if geometry.shape else ["z-phi-r"]
    shapes: dict[Axes, tuple[int, ...] | None] = {"z-phi-r": geometry.shape}
    if geometry.shape:
        shapes["r-phi-z"] = geometry.shape[::-1]
    return [axes for axes, shape in shapes.items() if shape == inner]


def _words(inner: tuple[int, ...]) -> str:
    return f"{' x '.join(f'{size:,}' for size in inner)} cells"


def _unfit(inner: tuple[int, ...], where: str, wanted: list[Geometry]) -> DataError:
    have = ", ".join(
        f"{each.name} has {' x '.join(map(str, each.shape)) if each.shape else f'{each.cells:,}'}"
        for each in wanted or KNOWN.values()
    )
    right = [each.name for each in KNOWN.values() if wanted and _orders(each, inner)]
    return DataError(
        f"{_words(inner)} fit no geometry: {have}",
        where=where,
        hint=f"this looks like {right[0]}"
        if right
        else "give the geometry: put its binning*.xml beside the data, or name it "
        "(geometry=..., --geometry)",
    )


def oriented(rows: NDArray[np.float32], geometry: Geometry, axes: Axes) -> NDArray[np.float32]:
    """Showers [m, ...] in any order of axes as [m, cells] in the order of the geometry."""
    if axes == "r-phi-z" and geometry.shape:
        rows = rows.reshape(-1, *geometry.shape[::-1]).transpose(0, 3, 2, 1)
    return rows.reshape(len(rows), geometry.cells)
