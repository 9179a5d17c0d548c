"""The physics of showers: every arm beside real showers, as a table and in groups of figures.

Below the table of separation powers come what papers on shower generators show: response and
resolution, profiles, moments and cells, centres and widths of the layers, the mean shower and the
correlations of layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from markupsafe import Markup

from hasten.report import shower_maps, shower_panels
from hasten.report.plots import Drawing, responsive
from hasten.report.shower_plots import drawable, drawing
from hasten.report.shower_table import table
from hasten.report.story import REAL, Physics, Story
from hasten.report.tables import Cell
from hasten.report.words import count


@final
@dataclass(frozen=True)
class Group:
    """Figures that belong together.

    Attributes:
        title: What they are about.
        text: What is to be seen; may be empty.
        plot: The drawing.
    """

    title: str
    text: str
    plot: Markup


@final
@dataclass(frozen=True)
class Shown:
    """What the section shows.

    Attributes:
        text: Of what showers.
        columns: Of the table of separation powers.
        rows: Of it.
        groups: Figures below.
    """

    text: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    groups: tuple[Group, ...]


def showers(story: Story) -> Shown | None:
    """The section; None if the run is not about showers."""
    physics = story.physics
    if physics is None or not physics.arms:
        return None
    first = next(iter(physics.arms.values()))
    text = (
        f"{count(len(first))} showers of every arm and {count(len(physics.reference))} real ones "
        f"({story.judge.reference}). Bands are one standard error, of the real showers and of "
        "hasten's; the strip below a panel is the arms over the real showers, "
        "where these are known to 30 %."
    )
    if {REAL, *physics.arms} - set(physics.means):
        text += (
            " Mean showers, sectors, centres and widths are missing: they were not kept by an "
            "earlier version of hasten. A new judge (hasten data judge) and a new run have them."
        )
    groups = [
        Group(title, words, responsive(draw, story, f"showers-{name}", title))
        for name, title, words, draw in _drawings(physics)
    ]
    return Shown(text, *table(physics), tuple(groups))


def _drawings(physics: Physics) -> list[tuple[str, str, str, Drawing]]:
    """Those there is something for: a name, a title, what is to be seen, and the drawing."""
    found = []
    for name, (title, text, panels, wide, narrow) in _PANELS.items():
        if shown := drawable(physics, panels):
            found.append((name, title, text, drawing(physics, shown, wide, narrow)))
    if mean := shower_maps.mean_showers(physics):
        found.append(("image", "The mean shower", _IMAGE, mean))
    found.append(("matrix", "Correlations of layers", _MATRIX, shower_maps.correlations(physics)))
    return found


_BY_LAYER = (
    "Centre and width of the energy in every layer along both axes across and in radius, and how "
    "far they spread from shower to shower. An empty layer counts as 0. Below the centres is the "
    "difference to the real showers."
)
_IMAGE = "Rings of every layer. Grey is where chance alone moves the ratio by more than 10 %."
_MATRIX = (
    "Of their shares of the incident energy, less those of the real showers. The last is one half "
    "of the real showers less the other: what chance makes of half as many."
)
_SLICED = "Mean shares of the energy; below in slices of the incident energy."
_PANELS = {
    "energy": ("Energy", "", shower_panels.ENERGY, 3, 1),
    "profiles": (
        "Profiles",
        _SLICED,
        (*shower_panels.PROFILE, *shower_panels.BY_ENERGY),
        3,
        2,
    ),
    "moments": ("Moments and cells", "", shower_panels.MOMENTS, 3, 2),
    "layers": ("Layer by layer", _BY_LAYER, shower_panels.LAYERS, 4, 2),
}
"""Figures of panels: title, text, panels, and how many side by side on wide and narrow pages."""
