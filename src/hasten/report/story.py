"""What a run folder tells, read into plain values.

The folder's contents are described in ``docs/result.md``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hasten.errors import RunError
from hasten.report.values import Arm, Errors, Interval, Judge, Point

SCHEMA = 1
REAL = "reference"
"""What the real showers are called beside the arms."""


@final
@dataclass(frozen=True, eq=False)
class Physics:
    """Observables of showers, a row each, columns as `columns` says; and means over showers.

    Attributes:
        reference: Real showers [m, k].
        arms: Those of every arm [n, k].
        columns: First column of an observable and the one after its last.
        edges: Cell energies between which the spectrum counts, MeV.
        means: Of every arm and of the `REAL` ones [4, j]: means, their errors, standard deviations
            over showers, their errors. Those written by an earlier version have none.
        mean_columns: As `columns`, of `means`.
    """

    reference: NDArray[np.float32]
    arms: Mapping[str, NDArray[np.float32]]
    columns: Mapping[str, tuple[int, int]]
    edges: NDArray[np.float64]
    means: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    mean_columns: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def rows(self, name: str) -> NDArray[np.float32]:
        """Showers of an arm, or the `REAL` ones."""
        return self.reference if name == REAL else self.arms[name]

    def part(self, rows: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        """An observable of these rows [n, its columns]."""
        first, last = self.columns[name]
        return rows[:, first:last]

    def mean(self, arm: str, name: str) -> NDArray[np.float64] | None:
        """An observable's rows of `means` [4, its columns]; None if not kept."""
        first, last = self.mean_columns.get(name, (0, 0))
        return self.means[arm][:, first:last] if arm in self.means and last > first else None


@final
@dataclass(frozen=True)
class Story:
    """Everything a report says, before any of it is worded or drawn."""

    folder: Path
    model: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    run_id: str
    message: str
    baseline: Arm
    best: Arm | None
    fewer_steps: Arm | None
    closest: Arm | None
    converged: Arm | None
    finalists: tuple[Arm, ...]
    rivals: tuple[Arm, ...]
    over_fewer: Interval
    points: tuple[Point, ...]
    judge: Judge
    search: Mapping[str, Any]
    speeds: Mapping[str, Any]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    warnings: tuple[str, ...]
    seeds: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    samples: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    errors: Mapping[str, Errors] = field(default_factory=dict)
    physics: Physics | None = None

    @property
    def hero(self) -> Arm | None:
        """The arm the report is about: the best, or else the finalist nearest to the margin."""
        return self.best or self.closest

    @property
    def stock(self) -> bool:
        """Whether the best is a stock sampler, so that searching brought nothing."""
        best, fewer = self.best, self.fewer_steps
        return best is not None and fewer is not None and best.fingerprint == fewer.fingerprint

    @property
    def trio(self) -> tuple[Arm, ...]:
        """Baseline, fewer steps and the hero, those that exist."""
        arms = (self.baseline, self.fewer_steps, self.hero)
        return tuple(arm for arm in arms if arm is not None)

    @property
    def judged(self) -> tuple[Arm, ...]:
        """Every arm with a verdict, once each, slowest first; named arms keep their role."""
        named = [self.baseline, self.converged, self.best, self.closest, self.fewer_steps]
        seen: dict[str, Arm] = {}
        for arm in (*named, *self.finalists, *self.rivals):
            if arm is not None and (arm.verdict or arm.role in ("baseline", "converged")):
                seen.setdefault(arm.fingerprint or arm.label, arm)
        slow_first = lambda arm: -arm.seconds if math.isfinite(arm.seconds) else -math.inf  # noqa: E731
        return tuple(sorted(seen.values(), key=slow_first))


def read(run: Path) -> Story:
    """Read a run folder.

    Args:
        run: The folder, or its ``result.json``.

    Raises:
        RunError: If there is no finished result there, or it cannot be understood.
    """
    folder = run.parent if run.name == "result.json" else run
    facts = _load(folder)
    try:
        return _story(folder, facts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"the result cannot be understood: {type(error).__name__} {error}",
            where=str(folder / "result.json"),
            hint="the file is described in docs/result.md; run hasten tune --resume on the folder",
        ) from error


def _load(folder: Path) -> dict[str, Any]:
    path = folder / "result.json"
    if not path.is_file():
        started = (folder / "facts.json").is_file()
        raise RunError(
            "this run has not finished" if started else "there is no run here",
            where=str(folder),
            hint=f"hasten tune MODEL --resume {folder} finishes it"
            if started
            else "give the folder that hasten tune named as its run",
        )
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"unreadable: {error}", where=str(path)) from error
    if not isinstance(facts, dict) or facts.get("hasten") != SCHEMA:
        raise RunError(
            f"a result of schema {SCHEMA} is expected",
            where=str(path),
            hint="it was written by another version of hasten; tune again",
        )
    return facts


def _story(folder: Path, facts: Mapping[str, Any]) -> Story:
    baseline = Arm.of(facts["baseline"], "baseline", folder)

    def make(table: Mapping[str, Any], role: str) -> Arm:
        arm = Arm.of(table, role, folder)
        if arm.speedup.known or not arm.predicted > 0:
            return arm
        return dataclasses.replace(arm, speedup=Interval(baseline.predicted / arm.predicted))

    def arm(role: str) -> Arm | None:
        return make(facts[role], role) if facts.get(role) else None

    def several(key: str, role: str) -> tuple[Arm, ...]:
        return tuple(make(table, role) for table in facts.get(key) or ())

    seeds, samples = _samples(folder, facts.get("samples") or {})
    return Story(
        folder=folder,
        model=str(facts["model"]),
        kind=str(facts.get("kind") or "image"),
        shape=tuple(int(size) for size in facts.get("shape") or ()),
        parameters=int(facts.get("parameters") or 0),
        run_id=str(facts.get("run_id") or ""),
        message=str(facts.get("message") or ""),
        baseline=baseline,
        best=arm("best"),
        fewer_steps=arm("fewer_steps"),
        closest=arm("closest"),
        converged=arm("converged"),
        finalists=several("finalists", "finalist"),
        rivals=several("rivals", "rival"),
        over_fewer=Interval.of(facts.get("best_over_fewer_steps")),
        points=tuple(Point.of(p) for p in facts.get("front") or ()),
        judge=Judge.of(facts["judge"]),
        search=facts.get("search") or {},
        speeds=facts.get("speeds") or {},
        settings=facts.get("settings") or {},
        versions=facts.get("versions") or {},
        warnings=tuple(str(w) for w in facts.get("warnings") or ()),
        seeds=seeds,
        samples=samples,
        errors=_errors(folder, facts.get("errors") or {}),
        physics=_physics(folder, facts.get("physics")),
    )


def _samples(
    folder: Path, facts: Mapping[str, Any]
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]]:
    arrays = _arrays(folder / str(facts.get("file") or "samples.npz"))
    names = ("baseline", "fewer_steps", "best", "closest", "converged")
    samples = {name: np.asarray(arrays[name], np.float32) for name in names if name in arrays}
    return np.asarray(arrays.get("seeds", ()), np.int64), samples


def _physics(folder: Path, facts: Mapping[str, Any] | None) -> Physics | None:
    arrays = _arrays(folder / str(facts["file"])) if facts else {}
    if not facts or REAL not in arrays:
        return None
    columns, mean_columns = (
        {name: (int(first), int(last)) for name, (first, last) in table.items()}
        for table in (facts["columns"], facts.get("means") or {})
    )
    arms = {name: np.asarray(arrays[name], np.float32) for name in facts["arms"] if name in arrays}
    means = {
        name: np.asarray(arrays[f"{name}_means"], np.float64)
        for name in (REAL, *arms)
        if f"{name}_means" in arrays
    }
    edges = np.asarray(arrays["edges"], np.float64)
    real = np.asarray(arrays[REAL], np.float32)
    return Physics(real, arms, columns, edges, means, mean_columns)


def _errors(folder: Path, facts: Mapping[str, Any]) -> dict[str, Errors]:
    arrays = _arrays(folder / str(facts.get("file") or "errors.npz"))
    found = {}
    for key in arrays:
        name = key.removesuffix("_sigma")
        if name != key and f"{name}_error" in arrays:
            sigma = np.asarray(arrays[key], np.float64)
            held = np.asarray(arrays.get(f"{name}_held", np.zeros(len(sigma))), bool)
            found[name] = Errors(sigma, np.asarray(arrays[f"{name}_error"], np.float64), held)
    return found


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise RunError(f"unreadable: {error}", where=str(path)) from error
