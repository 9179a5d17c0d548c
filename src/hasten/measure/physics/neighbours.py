"""Neighbours of a calorimeter's cells."""

from __future__ import annotations

import math

import numpy as np

from hasten.data.geometry import Geometry, Indices, Layer


def neighbours(geometry: Geometry) -> Indices:
    """The six cells next to each [6, cells]; where there is none, the number of cells.

    In order: the sectors before and after, the rings inside and outside, the layers in front and
    behind. Sectors go round. In another layer it is the cell that holds the middle of this one.
    """
    none = geometry.cells
    found = np.full((6, geometry.cells), none, dtype=np.int64)
    for number, layer in enumerate(geometry.layers):
        start = int(geometry.starts[number])
        here = np.arange(start, start + layer.cells)
        grid = here.reshape(layer.sectors, layer.rings)
        if layer.sectors > 1:
            found[0, here] = np.roll(grid, 1, axis=0).ravel()
            found[1, here] = np.roll(grid, -1, axis=0).ravel()
        found[2, grid[:, 1:].ravel()] = grid[:, :-1].ravel()
        found[3, grid[:, :-1].ravel()] = grid[:, 1:].ravel()
        for side, other in ((4, number - 1), (5, number + 1)):
            if 0 <= other < len(geometry.layers):
                inside = _holds(geometry.layers[other], geometry.radius[here], geometry.angle[here])
                found[side, here] = np.where(inside < 0, none, inside + geometry.starts[other])
    return found


def _holds(layer: Layer, radius: np.ndarray, angle: np.ndarray) -> Indices:
    """Number in the layer of the cell that holds each point; -1 where none does."""
    ring = np.searchsorted(layer.edges, radius, side="right") - 1
    sector = np.floor((angle + math.pi) / (2 * math.pi) * layer.sectors).astype(np.int64)
    inside = (ring >= 0) & (ring < layer.rings)
    found: Indices = np.where(inside, (sector % layer.sectors) * layer.rings + ring, -1)
    return found
