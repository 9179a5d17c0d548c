"""Figures as inline SVG that take their colours and letters from the page; or as files.

matplotlib knows no style sheets, so drawings use stand-in colours; on the way out each becomes a
CSS variable, and the page's light and dark themes colour text and plots alike. A picture in a file
of its own has no page: it takes the light theme's colours.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, SOFT, HAIR, ACCENT, PAPER, WASH = (
    "#010101",
    "#020202",
    "#030303",
    "#040404",
    "#050505",
    "#060606",
)
"""Stand-ins for the page's text, quiet text, hairlines, accent, ground and tint of the accent."""

_VARIABLES = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    HAIR: "var(--hair)",
    ACCENT: "var(--accent)",
    PAPER: "var(--paper)",
    WASH: "var(--wash)",
}

LIGHT: Mapping[str, str] = {
    INK: "#1d1b18",
    SOFT: "#716c64",
    HAIR: "#e2ded6",
    ACCENT: "#0b6e63",
    PAPER: "#fdfcfa",
    WASH: "#eef5f2",
}
"""The page's light theme (`page.css`), for pictures in files of their own."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hasten",
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": HAIR,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 12,
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": HAIR,
    "grid.linewidth": 0.75,
    "xtick.color": HAIR,
    "ytick.color": HAIR,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
}


@contextmanager
def style(colours: Mapping[str, str] | None = None) -> Iterator[None]:
    """Draw in the page's style; matplotlib's own settings come back afterwards.

    Args:
        colours: What the stand-ins become at once (`LIGHT`); None leaves them to `inline`.
    """
    theme = {key: (colours or {}).get(str(value), value) for key, value in _STYLE.items()}
    with mpl.rc_context(theme):
        yield


def standalone(figure: Figure, form: str) -> bytes:
    """The figure as the content of a file of its own, on the light theme's ground.

    Args:
        figure: Drawn under ``style(LIGHT)``.
        form: ``png`` (two dots a page pixel), ``svg`` or ``pdf``; letters in the latter two are
            outlines, so that they look alike everywhere.
    """
    buffer = io.BytesIO()
    silent: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "hasten"}):
        figure.savefig(
            buffer,
            format=form,
            dpi=144 if form == "png" else 72,
            facecolor=LIGHT[PAPER],
            metadata=silent.get(form),
        )
    return buffer.getvalue()


def canvas(width: float, height: float) -> Figure:
    """An empty figure of this many page pixels (one point is one pixel)."""
    return Figure(figsize=(width / 72, height / 72), dpi=72, facecolor="none")


def frame(figure: Figure, *, left: float, right: float, bottom: float, top: float) -> Axes:
    """Axes with these distances to the figure's edges, in pixels."""
    width, height = figure.get_size_inches() * 72
    box = (
        left / width,
        bottom / height,
        (width - left - right) / width,
        (height - bottom - top) / height,
    )
    return figure.add_axes(box)


def inline(figure: Figure, name: str, title: str) -> Markup:
    """The figure as an SVG element to be set into a page.

    Args:
        figure: What to write.
        name: Unique on the page; it keeps the element's inner names apart from other figures'.
        title: For readers who cannot see it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\s(?:xmlns(?::\w+)?|version)="[^"]*"', "", text)
    text = text.replace("xlink:href", "href")
    # a hundredth of a pixel is enough for everyone, and half of the page's weight
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", text)
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(?:width|height)="[^"]*"', "", head)
    label = str(Markup.escape(title))
    return Markup(f'{head} role="img" aria-label="{label}">{rest.strip()}')
