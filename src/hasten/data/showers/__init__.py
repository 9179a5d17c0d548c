"""Showers: energies in the cells of a calorimeter, read from and written to the field's formats.

whole        showers in memory: read, cut, written
files        what lies in a file or folder, read as it is asked for
runs         rows of one array, or of several as if they were one
shapes       which axes a shower has, and in which order
stores       HDF5 and npz behind one interface (`hdf5`)
binning      geometries that files, XML and names stand for
checks       numbers that cannot be, and units that were mixed up
survey       what ``hasten data info`` says
conditions   incident energies to sample at
"""

from __future__ import annotations

from hasten.data.showers.checks import OrderWarning, UnitWarning
from hasten.data.showers.files import Reading, Split, holds_showers, open_showers
from hasten.data.showers.shapes import Axes
from hasten.data.showers.whole import Showers, convert_showers, load_showers, save_showers

__all__ = [
    "Axes",
    "OrderWarning",
    "Reading",
    "Showers",
    "Split",
    "UnitWarning",
    "convert_showers",
    "holds_showers",
    "load_showers",
    "open_showers",
    "save_showers",
]
