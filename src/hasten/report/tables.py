"""The tables of a run as text, for the page and for the terminal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from hasten.recipe import Recipe
from hasten.report.story import Story
from hasten.report.values import Arm, Point
from hasten.report.words import (
    NONE,
    ROLE_NAMES,
    count,
    digits,
    duration,
    ends,
    factor,
    percent,
    ratio,
    sampler,
    span,
    threads,
)


@final
@dataclass(frozen=True)
class Column:
    """A column: its heading, and whether it holds figures (set to the right)."""

    name: str
    figures: bool = True


@final
@dataclass(frozen=True)
class Cell:
    """A value and, in smaller letters, what belongs to it (mostly its interval)."""

    value: str
    detail: str = ""


@final
@dataclass(frozen=True)
class Line:
    """A row of the verdict table; ``role`` decides how it is set off."""

    role: str
    verdict: str
    cells: tuple[Cell, ...]


VERDICTS: tuple[Column, ...] = (
    Column("recipe", figures=False),
    Column("verdict", figures=False),
    Column("time per sample"),
    Column("speed-up"),
    Column("evaluations"),
    Column("distance"),
    Column("ratio"),
    Column("n"),
    Column("pairing ρ"),
    Column("SE / reference"),
)
"""Columns of `verdicts`."""


def verdicts(story: Story) -> tuple[Line, ...]:
    """Every judged arm, slowest first, each figure with its interval."""
    return tuple(_verdict(arm) for arm in story.judged)


def _verdict(arm: Arm) -> Line:
    name = Cell(ROLE_NAMES.get(arm.role, arm.role), sampler(arm))
    partial = arm.nfe - arm.full_evaluations
    cells = (
        name,
        Cell(arm.verdict or "reference"),
        Cell(duration(arm.seconds), "" if arm.timed else "predicted"),
        Cell(factor(arm.speedup.value), ends(arm.speedup, factor)),
        Cell(count(arm.nfe), f"{partial} partial" if partial else ""),
        Cell(digits(arm.distance)),
        Cell(ratio(arm.ratio.value), ends(arm.ratio)),
        Cell(count(arm.n) if arm.n else NONE, _needed(arm)),
        Cell(f"{arm.rho:.2f}" if math.isfinite(arm.rho) else NONE),
        Cell(percent(arm.se_share)),
    )
    return Line(arm.role, arm.verdict, cells)


def _needed(arm: Arm) -> str:
    undecided = arm.verdict == "undecided" and math.isfinite(arm.n_needed)
    return f"needs {count(arm.n_needed)}" if undecided else ""


def checks(story: Story) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The further figures of quality (KID, density, ...): column names, and a row for each arm."""
    names = sorted({name for arm in story.judged for name in arm.checks})
    rows = tuple(
        (
            ROLE_NAMES.get(arm.role, arm.role),
            *(digits(arm.checks.get(name, math.nan)) for name in names),
        )
        for arm in story.judged
        if arm.checks
    )
    return ("recipe", *names), rows


def judge_facts(story: Story) -> dict[str, str]:
    """What stands behind the verdicts."""
    judge = story.judge
    better = story.converged if judge.better == "converged" else story.baseline
    name = "the converged ODE" if judge.better == "converged" else sampler(story.baseline)
    reference = "the model's own converged samples" if judge.own else "real data"
    finalists = f"{judge.looks} finalists" if judge.looks > 1 else "one finalist"
    return {
        "features": judge.features,
        "reference set": f"{judge.reference} ({reference})" if judge.reference else reference,
        "the search compared with": judge.search_reference or "the same",
        "floor, data to data": digits(judge.floor),
        "just visible": digits(judge.just_visible)
        + (f", {judge.degradation}" if judge.degradation else ""),
        "quality reference": f"{name}, distance {digits(better.distance if better else math.nan)}",
        "margin": f"{percent(judge.margin)}, {digits(judge.margin_abs)} in the metric's units",
        "confidence": f"{percent(judge.confidence)}, for {finalists} together",
    }


def search_facts(story: Story) -> dict[str, str]:
    """What the search did."""
    search = story.search
    stages = [sum(point.stage >= stage for point in story.points) for stage in (1, 2, 3)]
    facts = {
        "trials": count(_of(search, "trials")),
        "scored, judged on search seeds, finalists": ", ".join(map(count, stages)),
        "net evaluations": count(_of(search, "evaluations")),
        "time": span(_of(search, "seconds")),
        "stopped by": str(search.get("stopped_by") or NONE),
        "seeds, validation seeds": f"{count(_of(search, 'seeds'))}, "
        f"{count(_of(search, 'validation_seeds'))}",
        "Heun-64 to Heun-128": percent(_of(search, "converged_check")),
    }
    return {name: value for name, value in facts.items() if value.strip(f"{NONE}, ")}


def front(story: Story, limit: int = 15) -> tuple[tuple[str, ...], ...]:
    """The candidates nobody beats in both time and error, fastest first.

    Columns: label, time, evaluations, endpoint error, ratio on search seeds, how far it came.
    """
    chosen = sorted((p for p in story.points if p.on_front), key=lambda point: point.seconds)
    return tuple(_front_row(point) for point in chosen[:limit])


def _front_row(point: Point) -> tuple[str, ...]:
    stage = {1: "scored", 2: "judged in the search", 3: "finalist"}.get(point.stage, NONE)
    return (
        point.label,
        duration(point.seconds),
        count(point.nfe),
        digits(point.error),
        ratio(point.ratio),
        f"{stage}, {point.verdict}" if point.verdict else stage,
    )


def provenance(story: Story) -> dict[str, str]:
    """Where and with what the figures were made."""
    base = story.baseline
    facts = {
        "model": f"{story.model}, {count(story.parameters)} parameters",
        "run": str(story.folder),
        "run id": story.run_id,
        "device": f"{base.device}, {base.dtype}, batch {base.batch}, {threads(base.threads)}",
        "versions": ", ".join(f"{name} {value}" for name, value in story.versions.items()),
    }
    facts |= {
        f"recipe {ROLE_NAMES[arm.role].lower()}": arm.fingerprint
        for arm in story.trio
        if arm.fingerprint
    }
    settings = {k: v for k, v in story.settings.items() if v is not None and k != "recipes"}
    given = [Recipe.from_dict(dict(recipe)).label for recipe in story.settings.get("recipes", ())]
    facts["recipes given"] = ", ".join(given)
    facts["settings"] = ", ".join(f"{name} = {value}" for name, value in settings.items())
    return {name: value for name, value in facts.items() if value}


def _of(facts: object, key: str) -> float:
    value = facts.get(key) if isinstance(facts, dict) else None
    return math.nan if value is None else float(value)
