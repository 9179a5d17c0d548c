"""The values a run folder holds: arms, points of the search, the judge."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hasten.errors import HastenError

ROLES = ("baseline", "fewer_steps", "best")
"""The arms every report sets side by side, in this order."""

SHOWN = (*ROLES, "closest")
"""The arms whose recipe can be taken from the page."""


@final
@dataclass(frozen=True)
class Interval:
    """A value with a 95 % interval; an end that was not measured is nan."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @classmethod
    def of(cls, facts: Mapping[str, Any] | None) -> Interval:
        """From ``{"value": ..., "low": ..., "high": ...}``, or nothing."""
        facts = facts or {}
        return cls(_number(facts, "value"), _number(facts, "low"), _number(facts, "high"))

    @property
    def known(self) -> bool:
        """Whether there is a value at all."""
        return math.isfinite(self.value)

    @property
    def wide(self) -> bool:
        """Whether both ends are known and apart."""
        return math.isfinite(self.low) and math.isfinite(self.high) and self.high > self.low


@final
@dataclass(frozen=True)
class Evaluation:
    """One row of a plan, as far as a picture needs it."""

    sigma: float
    step: int
    slot: int
    reuse: str

    @property
    def full(self) -> bool:
        """Whether the net computed everything here."""
        return self.reuse == "full"


@final
@dataclass(frozen=True)
class Arm:
    """A recipe that was timed and judged.

    Attributes:
        role: ``baseline``, ``fewer_steps``, ``best``, ``closest``, ``converged``, ``finalist`` or
            ``rival``.
        seconds: Seconds a sample.
        speedup: Baseline seconds over this arm's.
        endpoint: Root mean square distance to the converged sample from the same noise.
        distance: Bias-corrected distance of the judge's features to the reference set.
        ratio: ``distance`` over that of the better reference.
        search_ratio: The same on the seeds of the search, which flatter.
        toml: The recipe, ready to be saved.
    """

    role: str
    label: str
    fingerprint: str
    seconds: float
    batch: int
    device: str
    dtype: str
    threads: int
    nfe: int
    full_evaluations: int
    speedup: Interval
    pairs: tuple[tuple[float, float], ...]
    predicted: float
    endpoint: float
    verdict: str
    distance: float
    ratio: Interval
    n: int
    se: float
    rho: float
    se_share: float
    n_needed: float
    search_ratio: float
    checks: Mapping[str, float]
    rows: tuple[Evaluation, ...]
    recipe: Mapping[str, Any]
    toml: str = ""

    @classmethod
    def of(cls, facts: Mapping[str, Any], role: str, folder: Path | None = None) -> Arm:
        """From the object called `Arm` in ``docs/result.md``."""
        detail = facts.get("verdict_detail") or {}
        speedup = Interval.of(facts.get("speedup_interval"))
        if not speedup.known:
            speedup = Interval(_number(facts, "speedup"))
        recipe = facts.get("recipe") or {}
        return cls(
            role=role,
            label=str(facts.get("label") or role),
            fingerprint=str(facts.get("fingerprint") or ""),
            seconds=_number(facts, "seconds_per_sample"),
            batch=int(facts.get("batch") or 1),
            device=str(facts.get("device") or ""),
            dtype=str(facts.get("dtype") or ""),
            threads=int(facts.get("threads") or 0),
            nfe=int(facts.get("nfe") or 0),
            full_evaluations=int(facts.get("full_evaluations") or facts.get("nfe") or 0),
            speedup=speedup,
            pairs=tuple((float(a), float(b)) for a, b in facts.get("pairs") or ()),
            predicted=_number(facts, "predicted_seconds"),
            endpoint=_number(facts, "endpoint_error"),
            verdict=str(facts.get("verdict") or ""),
            distance=_number(facts, "distance"),
            ratio=Interval.of(facts.get("distance_ratio")),
            n=int(facts.get("n") or 0),
            se=_number(detail, "se"),
            rho=_number(detail, "rho"),
            se_share=_number(detail, "se_share"),
            n_needed=_number(detail, "n_needed"),
            search_ratio=_number(facts, "search_ratio"),
            checks={k: float(v) for k, v in (facts.get("checks") or {}).items() if v is not None},
            rows=tuple(
                Evaluation(
                    float(row["sigma"]),
                    int(row.get("step", index)),
                    int(row.get("slot", 0)),
                    str(row.get("reuse", "full")),
                )
                for index, row in enumerate(facts.get("rows") or ())
            ),
            recipe=recipe,
            toml=_toml(facts.get("recipe_file"), recipe, folder) if role in SHOWN else "",
        )

    @property
    def timed(self) -> bool:
        """Whether the time was measured; else it is the sum of what its rows are known to take."""
        if self.role == "baseline":
            return self.seconds != self.predicted
        return bool(self.pairs)

    @property
    def steps(self) -> int:
        """Steps of the solver."""
        return self.rows[-1].step + 1 if self.rows else self.nfe


@final
@dataclass(frozen=True)
class Point:
    """A candidate of the search that was scored."""

    seconds: float
    error: float
    nfe: int
    kind: str
    label: str
    stage: int
    ratio: float
    verdict: str
    on_front: bool

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Point:
        """From the object of that name in ``docs/result.md``."""
        return cls(
            seconds=_number(facts, "seconds"),
            error=_number(facts, "error"),
            nfe=int(facts.get("nfe") or 0),
            kind=str(facts.get("kind") or "search"),
            label=str(facts.get("label") or ""),
            stage=int(facts.get("stage") or 1),
            ratio=_number(facts, "ratio"),
            verdict=str(facts.get("verdict") or ""),
            on_front=bool(facts.get("on_front")),
        )


@final
@dataclass(frozen=True)
class Judge:
    """What stands behind the verdicts."""

    features: str
    reference: str
    own: bool
    margin: float
    margin_abs: float
    just_visible: float
    better: str
    confidence: float
    looks: int
    floor: float
    degradation: str = ""
    search_reference: str = ""

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Judge:
        """From the object of that name in ``docs/result.md``."""
        return cls(
            features=str(facts.get("features") or "unnamed features"),
            reference=str(facts.get("reference") or ""),
            own=facts.get("against") == "own",
            margin=_number(facts, "margin"),
            margin_abs=_number(facts, "margin_abs"),
            just_visible=_number(facts, "just_visible"),
            better=str(facts.get("better") or "baseline"),
            confidence=float(facts.get("confidence") or 0.95),
            looks=int(facts.get("looks") or 1),
            floor=_number(facts, "floor"),
            degradation=str(facts.get("degradation") or ""),
            search_reference=str(facts.get("search_reference") or ""),
        )


@final
@dataclass(frozen=True)
class Errors:
    """Error of every evaluation of one arm against the converged sample."""

    sigma: NDArray[np.float64]
    error: NDArray[np.float64]
    held: NDArray[np.bool_]


def _toml(file: Any, recipe: Mapping[str, Any], folder: Path | None) -> str:
    if file and folder is not None and (folder / str(file)).is_file():
        return (folder / str(file)).read_text(encoding="utf-8")
    if not recipe:
        return ""
    from hasten.recipe import Recipe  # here, because a page should not have to wait for torch

    try:
        return Recipe.from_dict(recipe).dumps()
    except HastenError:  # a recipe with someone's own methods: the table stands for it
        return json.dumps(recipe, indent=2)


def _number(facts: Mapping[str, Any], key: str) -> float:
    value = facts.get(key)
    return math.nan if value is None else float(value)
