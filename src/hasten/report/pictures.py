"""The same seeds before and after, drawn as their shape suggests.

a sample's shape              drawn as
1 or 3 channels of an image   pictures, one column a seed
two numbers                   clouds of points, one panel an arm
a few numbers                 distributions of each
anything larger (showers)     profiles along each axis, and the distribution of the sum
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from hasten.report.plots import responsive
from hasten.report.story import Story
from hasten.report.svg import ACCENT, INK, SOFT, canvas, frame
from hasten.report.values import Arm
from hasten.report.words import ROLE_NAMES, count

Samples: TypeAlias = NDArray[np.float32]

BLOCK, BLOCKS = 6, 2
"""Pictures side by side before a narrow page breaks the line, and number of such groups."""

_LARGEST = 160  # pixels; larger pictures are reduced, or the page would weigh megabytes


@final
@dataclass(frozen=True)
class Strip:
    """One arm's row of pictures."""

    name: str
    note: str
    pictures: tuple[str, ...]


@final
@dataclass(frozen=True)
class Gallery:
    """What the section shows.

    Attributes:
        strips: Rows of pictures (data URIs), the same seed in the same column; or empty.
        plot: A drawing in their place; or empty.
        text: What is to be seen.
    """

    strips: tuple[Strip, ...]
    plot: Markup
    text: str


def gallery(story: Story) -> Gallery | None:
    """Before and after; None if the run kept no samples."""
    arms = _arms(story)
    if len(arms) < 2:
        return None
    shape = next(iter(arms.values())).shape[1:]
    for suits, make in _TABLE:
        if suits(shape):
            return make(story, arms)
    return None


def _arms(story: Story) -> dict[str, Samples]:
    order = ("converged", "baseline", "fewer_steps", "best", "closest")
    same = [name for name in order if name in story.samples and len(story.samples[name])]
    return {name: story.samples[name] for name in same}


def is_picture(shape: Sequence[int]) -> bool:
    """Whether a sample of this shape is a picture: [1 or 3, height, width], and no sliver."""
    return len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= 8


def to_image(sample: Samples) -> Image.Image:
    """A sample [C, H, W] in [0, 1] as a picture."""
    pixels = np.rint(np.clip(sample, 0, 1) * 255).astype(np.uint8)
    if len(pixels) == 1:
        return Image.fromarray(pixels[0], "L")
    return Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)), "RGB")


def data_uri(picture: Image.Image) -> str:
    """The picture itself as an address."""
    if max(picture.size) > _LARGEST:
        picture = picture.copy()
        picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


_GAIN = 4.0


def _pictures(story: Story, arms: Mapping[str, Samples]) -> Gallery:
    shown = min(BLOCK * BLOCKS, *(len(samples) for samples in arms.values()))
    strips = [
        Strip(ROLE_NAMES[name], _evaluations(story, name), _uris(samples[:shown]))
        for name, samples in arms.items()
    ]
    hero = next((name for name in ("best", "closest") if name in arms), None)
    text = "One column is one seed: all arms began from the same noise."
    if hero and "baseline" in arms:
        difference = 0.5 + _GAIN / 2 * (arms[hero][:shown] - arms["baseline"][:shown])
        strips.append(Strip("Difference", f"to the baseline, ×{_GAIN:g}", _uris(difference)))
        text += " The last row is what changed between the baseline and the recipe."
    return Gallery(tuple(strips), Markup(""), text)


def _uris(samples: Samples) -> tuple[str, ...]:
    return tuple(data_uri(to_image(sample)) for sample in samples)


def _evaluations(story: Story, name: str) -> str:
    arm: Arm | None = getattr(story, name)
    return f"{arm.nfe} evaluations" if arm is not None else ""


def _clouds(story: Story, arms: Mapping[str, Samples]) -> Gallery:
    points = {name: samples.reshape(len(samples), 2) for name, samples in arms.items()}
    everything = np.concatenate(list(points.values()))
    low, high = everything.min(axis=0), everything.max(axis=0)
    pad = 0.06 * np.maximum(high - low, 1e-6)

    def draw(_: Story, width: float) -> Figure:
        figure, panels = _panels(width, len(points), 1.0)
        for axes, (name, cloud) in zip(panels, points.items(), strict=True):
            axes.set_xlim(low[0] - pad[0], high[0] + pad[0])
            axes.set_ylim(low[1] - pad[1], high[1] + pad[1])
            axes.plot(
                cloud[:, 0],
                cloud[:, 1],
                "o",
                markersize=2.6,
                color=_colour(name),
                alpha=0.6,
                markeredgewidth=0,
            )
            _entitle(axes, name)
        return figure

    size = count(min(len(cloud) for cloud in points.values()))
    plot = responsive(draw, story, "clouds", "Samples of every arm as points")
    return Gallery((), plot, f"{size} samples of each arm, from the same noise.")


def _distributions(story: Story, arms: Mapping[str, Samples]) -> Gallery:
    flat = {name: samples.reshape(len(samples), -1) for name, samples in arms.items()}
    columns = next(iter(flat.values())).shape[1]

    def draw(_: Story, width: float) -> Figure:
        figure, panels = _panels(width, columns, 0.8)
        for index, axes in enumerate(panels):
            _steps(axes, {name: values[:, index] for name, values in flat.items()})
            axes.set_title(f"component {index}", fontsize=12, loc="left", color=SOFT)
        _legend(panels[0], flat)
        return figure

    plot = responsive(draw, story, "distributions", "Distribution of every component")
    return Gallery((), plot, "Distribution of each component; all arms began from the same noise.")


def _profiles(story: Story, arms: Mapping[str, Samples]) -> Gallery:
    shape = next(iter(arms.values())).shape[1:]
    along = [axis for axis, size in enumerate(shape) if size > 1]

    def draw(_: Story, width: float) -> Figure:
        figure, panels = _panels(width, len(along) + 1, 0.8)
        for axes, axis in zip(panels, along, strict=False):
            others = tuple(a + 1 for a in range(len(shape)) if a != axis)
            for name, samples in arms.items():
                profile = samples.sum(axis=others).mean(axis=0)
                axes.plot(np.arange(len(profile)), profile, drawstyle="steps-mid", **_line(name))
            axes.set_title(f"mean along axis {axis}", fontsize=12, loc="left", color=SOFT)
            axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        totals = {name: s.reshape(len(s), -1).sum(axis=1) for name, s in arms.items()}
        _steps(panels[-1], totals)
        panels[-1].set_title("sum of a sample", fontsize=12, loc="left", color=SOFT)
        _legend(panels[0], arms)
        return figure

    plot = responsive(draw, story, "profiles", "Mean profiles and distribution of the sum")
    text = (
        "Mean profile along each axis, and the distribution of a sample's sum; same noise for all."
    )
    return Gallery((), plot, text)


_TABLE: tuple[
    tuple[
        Callable[[Sequence[int]], bool],
        Callable[[Story, Mapping[str, Samples]], Gallery],
    ],
    ...,
] = (
    (is_picture, _pictures),
    (lambda shape: int(np.prod(shape)) == 2, _clouds),
    (lambda shape: int(np.prod(shape)) <= 6, _distributions),
    (lambda shape: len(shape) > 0, _profiles),
)


# -- drawing ---------------------------------------------------------------------------------------

_LOOKS: Mapping[str, tuple[str, str, float]] = {
    "converged": (SOFT, "-", 3.0),
    "baseline": (INK, "-", 1.2),
    "fewer_steps": (INK, "--", 1.2),
}


def _colour(name: str) -> str:
    return _LOOKS.get(name, (ACCENT, "-", 1.8))[0]


def _line(name: str) -> dict[str, Any]:
    colour, dash, width = _LOOKS.get(name, (ACCENT, "-", 1.8))
    return {
        "color": colour,
        "linestyle": dash,
        "linewidth": width,
        "alpha": 0.5 if name == "converged" else 1,
    }


def _panels(width: float, number: int, aspect: float) -> tuple[Figure, list[Axes]]:
    """Panels in as many columns as the page has room for."""
    columns = min(number, 4 if width > 500 else 2)
    rows = -(-number // columns)
    gap, left, bottom, top = 38.0, 34.0, 28.0, 26.0
    size = (width - left - 10 - gap * (columns - 1)) / columns
    tall = size * aspect
    height = rows * (tall + bottom + top)
    figure = canvas(width, height)
    panels = []
    for index in range(number):
        row, column = divmod(index, columns)
        x = left + column * (size + gap)
        y = height - (row + 1) * (tall + bottom + top) + bottom
        panels.append(
            frame(figure, left=x, right=width - x - size, bottom=y, top=height - y - tall)
        )
    for axes in panels:
        axes.locator_params(nbins=4)
        axes.tick_params(labelsize=10)
    return figure, panels


def _entitle(axes: Axes, name: str) -> None:
    bold = "bold" if name in ("best", "closest") else "normal"
    colour = ACCENT if bold == "bold" else INK
    axes.set_title(ROLE_NAMES[name], fontsize=12, loc="left", color=colour, fontweight=bold)


def _steps(axes: Axes, values: Mapping[str, NDArray[np.float32]]) -> None:
    everything = np.concatenate(list(values.values()))
    edges = np.histogram_bin_edges(everything, bins=24)
    for name, column in values.items():
        heights, _ = np.histogram(column, edges, density=True)
        axes.stairs(heights, edges, **_line(name))
    axes.set_yticks([])


def _legend(axes: Axes, names: Mapping[str, object]) -> None:
    for index, name in enumerate(reversed(list(names))):
        axes.annotate(
            ROLE_NAMES[name],
            (1, 1),
            xycoords="axes fraction",
            xytext=(-2, -12 - 14 * index),
            textcoords="offset points",
            ha="right",
            fontsize=10.5,
            color=_colour(name),
        )
