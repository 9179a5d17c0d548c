"""What the studies of showers show of a row of physics, and where it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hasten.files import atomic_write_text
from landscape.tables import markdown

HEAD = ("separation of response", "of cell energies", "of hits")
HEAD += ("response, worst slice", "resolution, worst slice", "AUC", "distance")
POWERS = ("response", "cell energies", "hits")
SLICED = ("response", "resolution")


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row of `Physics.to_dict` as cells under `HEAD`; empty where a figure was not taken."""
    apart = [row["separations"][each]["corrected"] for each in POWERS]
    worst = [max(_ratios(row, each), key=lambda m: abs(m["value"] - 1)) for each in SLICED]
    return [
        *(interval(each, ".3f") for each in (*apart, *worst, row["high"])),
        interval(row["distance"], ".2f"),
    ]


def brief(physics: Mapping[str, Any]) -> dict[str, Any]:
    """`Physics.to_dict` without the separations of single layers, which are most of it."""
    found = dict(physics)
    for name in ("judged", "floor"):
        apart = {
            key: {fact: value for fact, value in each.items() if fact != "parts"}
            for key, each in physics[name]["separations"].items()
        }
        found[name] = {**physics[name], "separations": apart}
    return found


def interval(m: Mapping[str, Any] | None, form: str) -> str:
    """A figure with its interval."""
    return "" if m is None else f"{m['value']:{form}} [{m['low']:{form}}, {m['high']:{form}}]"


def write(page: Path, name: str, head: list[str], rows: list[list[str]], below: str) -> None:
    """Put a table between the marks of its name on a page, ``<!-- begin NAME -->`` and the end."""
    begin, end = f"<!-- begin {name} -->\n", "<!-- end -->"
    text = page.read_text("utf-8")
    before, rest = text.split(begin)
    after = rest.split(end, 1)[1]
    atomic_write_text(page, f"{before}{begin}{markdown(head, rows)}\n{below}\n{end}{after}")


def _ratios(row: Mapping[str, Any], figure: str) -> Iterator[Mapping[str, Any]]:
    """Ratio to true showers in every slice of the incident energy."""
    return (part[figure]["ratio"] for part in row["slices"] if part[figure] is not None)
