"""Record: the JSON in which each part keeps what it read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from hasten.files import atomic_write_text
from hasten.measure.result import context, plain
from landscape.entrants import Entrant

DIGITS = 4
"""Significant digits of an error that is kept; its own spread is in the second."""


def entry(entrant: Entrant, errors: Sequence[float], floor: Sequence[float]) -> dict[str, Any]:
    """What a table says about an entrant.

    The excess is the error less that of the reference itself on the same seeds: by the triangle
    inequality the error against the finer reference is at least so much.
    """
    table, base = np.asarray(errors), np.asarray(floor)[: len(errors)]
    return {
        "evaluations": entrant.evaluations,
        "solver": entrant.solver,
        "grid": entrant.grid,
        "family": entrant.family,
        "key": entrant.key,
        "n": len(table),
        "error": _short(table.mean()),
        "se": _short(_se(table)),
        "excess": _short(table.mean() - base.mean()),
    }


def readings(errors: Iterable[float]) -> list[float]:
    """Errors of single samples as they are kept."""
    return [_short(error) for error in errors]


def mean_and_se(values: Sequence[float]) -> dict[str, Any]:
    """A mean with its standard error and n."""
    table = np.asarray(values)
    return {"n": len(table), "error": _short(table.mean()), "se": _short(_se(table))}


def write(path: Path, facts: Mapping[str, Any]) -> None:
    """The facts with machine and versions, whole or not at all; one line an entry."""
    versions = {name: metadata.version(name) for name in ("numpy", "diffusers")}
    whole = plain({**facts, "context": {**context(), **versions}})
    lines = []
    for key, value in whole.items():
        text = json.dumps(value)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            text = "[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]"
        lines.append(f"{json.dumps(key)}: {text}")
    atomic_write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def read(path: Path) -> dict[str, Any] | None:
    """What `write` wrote; None if nobody has yet."""
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def others(
    path: Path, evaluations: Iterable[int], *, seeds: Sequence[int], process: str
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """What an earlier run wrote of other numbers of evaluations: entries, machines and failures.

    The machines are all so far, this one too. A failure is named by solver, grid and evaluations.
    """
    here = str(context()["device"])
    held = read(path)
    if held is None:
        return [], [here], []
    if (held["seeds"], held["process"]) != (list(seeds), process):
        raise SystemExit(f"{path} is of other seeds or another process: give another --results")
    now = set(evaluations)
    machines = held.get("machines", [held["context"]["device"]])
    kept = [entry for entry in held["results"] if entry["evaluations"] not in now]
    failed = [name for name in held.get("failed", []) if int(name.split()[-1]) not in now]
    return kept, sorted({*machines, here} if kept else {here}), failed


def _se(table: np.ndarray[Any, Any]) -> float:
    return float(table.std(ddof=1) / np.sqrt(len(table)))


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
