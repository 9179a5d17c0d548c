"""Tables: what docs/solvers.md shows of the results.

The page marks where each table goes, ``<!-- begin endpoint fashion-unet -->`` to ``<!-- end -->``.
What lies between is written here and nowhere else; the words around it are people's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import scipy.stats

from hasten.files import atomic_write_text
from landscape import record

Entry = Mapping[str, Any]
PLACE = re.compile(r"(<!-- begin (\S+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
MISSING = "Not measured yet.\n"
FIRST = 5
SOLVED = (5, 8, 12, 20, 50)
"""Numbers of evaluations in the table of solvers."""


def fill(results: Path, page: Path) -> None:
    """Write every table into the page."""

    def table(place: re.Match[str]) -> str:
        text = TABLES[place[2]](results, place[3])
        return f"{place[1]}{text}{place[4]}"

    atomic_write_text(page, PLACE.sub(table, page.read_text()))


def endpoint(results: Path, model: str) -> str:
    """The best five at every number of evaluations."""
    found = record.read(results / f"endpoint-{model}.json")
    if found is None:
        return MISSING
    rows = []
    for evaluations, entries in by_evaluations(found["results"]):
        first = top(entries)[:FIRST]
        excess = f"{first[0]['excess']:.3g}"
        rows.append([f"{evaluations}", *map(named, first), excess, f"{first[0]['n']}"])
    head = ["evaluations", "best", "2nd", "3rd", "4th", "5th", "excess of the best", "n"]
    floor = f"{error(found['floor'])} (n = {found['floor']['n']})"
    return markdown(head, rows) + f"\nThe reference's own error: {floor}. {origin(found)}\n"


def solver(results: Path, model: str) -> str:
    """Every solver on its best grid."""
    found = record.read(results / f"endpoint-{model}.json")
    if found is None:
        return MISSING
    best: dict[str, dict[int, Entry]] = {}
    for evaluations, entries in by_evaluations(found["results"]):
        for entry in entries:
            row = best.setdefault(entry["solver"], {})
            if evaluations not in row or better(entry, row[evaluations]):
                row[evaluations] = entry
    rows = [
        [name, *(f"{row[n]['grid']} {row[n]['error']:.3g}" if n in row else "" for n in SOLVED)]
        for name, row in sorted(best.items())
    ]
    return markdown(["solver", *(f"{n} evaluations" for n in SOLVED)], rows)


def diffusers(results: Path, model: str) -> str:
    """The best of ours beside the best of theirs."""
    ours = record.read(results / f"endpoint-{model}.json")
    theirs = record.read(results / f"diffusers-{model}.json")
    if ours is None or theirs is None:
        return MISSING
    rival = dict(by_evaluations(theirs["results"]))
    rows = []
    for evaluations, entries in by_evaluations(ours["results"]):
        if evaluations in rival:
            mine, other = top(entries)[0], top(rival[evaluations])[0]
            # errors on different seeds do not compare
            ratio = f"{other['error'] / mine['error']:.2f}" if other["n"] == mine["n"] else ""
            card = [e for e in rival[evaluations] if named_so(e, "DDIM", "trailing")]
            rows.append([f"{evaluations}", named(mine), named(other), ratio, *map(error, card)])
    head = ["evaluations", "hasten's best", "diffusers' best", "ratio", "their DDIM, trailing"]
    return markdown(head, rows) + f"\n{origin(theirs)}\n"


def distance(results: Path, model: str) -> str:
    """Distances with intervals, and whether endpoint errors order the solvers alike."""
    found = record.read(results / f"distance-{model}.json")
    errors = record.read(results / f"endpoint-{model}.json")
    if found is None or errors is None:
        return MISSING
    ends = {entry["key"]: entry["error"] for entry in errors["results"]}
    columns = by_evaluations(found["results"])
    names = dict.fromkeys(entry["solver"] for entry in found["results"])
    cells = {(e["solver"], n): shown(e) for n, entries in columns for e in entries}
    rows = [[name, *(cells.get((name, n), "") for n, _ in columns)] for name in names]
    # equal plans under two names would count twice
    single = [list({e["key"]: e for e in entries}.values()) for _, entries in columns]
    rows.append(
        ["*nearest to the endpoint*"]
        + [min(entries, key=lambda e: ends[e["key"]])["solver"] for entries in single]
    )
    rows.append(
        ["*nearest to real data*"]
        + [min(entries, key=lambda e: e["distance"])["solver"] for entries in single]
    )
    rows.append(["*rank correlation*", *(f"{alike(e, ends):.2f}" for e in single)])
    references = "; ".join(f"{name} {shown(e)}" for name, e in found["references"].items())
    n = found["seeds"][1]
    return markdown(["solver", *(f"{n} evaluations" for n, _ in columns)], rows) + (
        f"\n{references}. {found['judge']['metric']}, n = {n}. {origin(found)}\n"
    )


def alike(entries: Sequence[Entry], ends: Mapping[str, float]) -> float:
    """Spearman's correlation of endpoint errors and distances."""
    pairs = [(ends[entry["key"]], entry["distance"]) for entry in entries]
    return float(scipy.stats.spearmanr(*zip(*pairs, strict=True)).statistic)


def top(entries: Iterable[Entry]) -> list[Entry]:
    """Those on the most samples, by error."""
    held = list(entries)
    most = max(entry["n"] for entry in held)
    return sorted((e for e in held if e["n"] == most), key=lambda e: e["error"])


def better(a: Entry, b: Entry) -> bool:
    """Whether a came further in the race, or as far with less error."""
    return (-a["n"], a["error"]) < (-b["n"], b["error"])


def by_evaluations(entries: Iterable[Entry]) -> list[tuple[int, list[Entry]]]:
    found: dict[int, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry["evaluations"], []).append(entry)
    return sorted(found.items())


def named(entry: Entry) -> str:
    return f"{entry['solver']} {entry['grid']}<br>{error(entry)}"


def named_so(entry: Entry, solver: str, grid: str) -> bool:
    return (entry["solver"], entry["grid"]) == (solver, grid)


def error(entry: Entry) -> str:
    return f"{entry['error']:.3g} ± {entry['se']:.1g}"


def shown(entry: Entry) -> str:
    return f"{entry['distance']:.2f} [{entry['low']:.2f}, {entry['high']:.2f}]"


def origin(found: Mapping[str, Any]) -> str:
    """Where the numbers are from."""
    facts = found["context"]
    versions = ", ".join(f"{name} {facts[name]}" for name in ("torch", "numpy", "diffusers"))
    first, count = found["seeds"]
    machines = " and ".join(found.get("machines", [facts["device"]]))
    return f"Seeds {first} to {first + count - 1}; {machines}, one thread, {versions}."


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


TABLES: Mapping[str, Callable[[Path, str], str]] = {
    "endpoint": endpoint,
    "solver": solver,
    "diffusers": diffusers,
    "distance": distance,
}
