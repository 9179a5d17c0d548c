"""Means: what people look at as an average over showers, and not shower by shower.

An image of a shower and the centres and widths of all its layers are some hundred numbers. Only
sums over showers are kept of them: enough for means, standard deviations and the errors of both.
"""

from __future__ import annotations

import numpy as np

from hasten.data.geometry import Floats, Geometry
from hasten.measure.physics.observables import Observables
from hasten.measure.physics.rows import ranges

BY_LAYER = ("centres 1", "centres 2", "radii", "widths 1", "widths 2", "radial widths")
"""Observables of every layer, mm; a layer without energy counts as 0."""


def mean_columns(geometry: Geometry) -> dict[str, tuple[int, int]]:
    """First column and the one after the last of everything that is averaged.

    ``image`` holds the energies of rings and layers over the incident energy, layer by layer, and
    ``sectors`` the shares of the sectors in all energy; both are empty where layers differ. Those
    of `BY_LAYER` follow.
    """
    depth, around, out = geometry.shape or (len(geometry.layers), 0, 0)
    return ranges({"image": depth * out, "sectors": around} | dict.fromkeys(BY_LAYER, depth))


def to_sums(seen: Observables) -> Floats:
    """Sums over showers of all columns, and of their powers to the fourth [4, columns]."""
    image = (seen.image / seen.incident[:, None, None]).reshape(len(seen), -1)
    by_layer = [
        *(seen.centres[..., axis] for axis in (0, 1)),
        seen.radii,
        *(seen.widths[..., axis] for axis in (0, 1)),
        seen.spreads,
    ]
    table = np.concatenate([image, seen.sectors, *by_layer], axis=1)
    return np.stack([(table**power).sum(axis=0) for power in (1, 2, 3, 4)])
