"""Rows: a shower's observables as one row of numbers, for what is kept and drawn.

What a page needs of some thousand showers is too much as cells and little as observables.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hasten.data.geometry import Geometry
from hasten.measure.physics.observables import DECADES, PER_DECADE, Observables

Rows = NDArray[np.float32]

SINGLE = ("energy", "response", "depth", "length", "radius", "breadth")
"""Observables of one number; ``energy`` is log10 of the incident energy in MeV."""


def columns(geometry: Geometry) -> dict[str, tuple[int, int]]:
    """First column and the one after the last of every observable.

    After those of `SINGLE` come ``layers`` (their energies over the incident energy), ``hits`` of
    the layers, ``rings`` (their shares in all energy) and ``spectrum`` (cells by energy).
    """
    depth, rings = len(geometry.layers), geometry.shape[2] if geometry.shape else 0
    sizes = dict.fromkeys(SINGLE, 1)
    sizes |= {"layers": depth, "hits": depth, "rings": rings, "spectrum": PER_DECADE * DECADES}
    return ranges(sizes)


def ranges(sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """First column and the one after the last of parts that follow each other."""
    found, first = {}, 0
    for name, size in sizes.items():
        found[name] = first, first + size
        first += size
    return found


def to_rows(seen: Observables) -> Rows:
    """The observables of showers as `columns` orders them [n, columns]."""
    incident = seen.incident[:, None]
    single = (
        np.log10(seen.incident),
        seen.response,
        seen.depth,
        seen.length,
        seen.radius,
        seen.breadth,
    )
    parts = (np.stack(single, axis=1), seen.layers / incident, seen.hits, seen.rings, seen.spectrum)
    return np.concatenate(parts, axis=1).astype(np.float32)
