"""Outcome: what a study found, as an object and as ``result.json`` (docs/result.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from hasten.core.plan import Plan
from hasten.errors import RunError
from hasten.measure.result import plain
from hasten.measure.speed import SpeedRatio
from hasten.recipe import Recipe

SCHEMA = 1
RESULT = "result.json"


@final
@dataclass(frozen=True)
class Outcome:
    """A finished study.

    Attributes:
        folder: The run folder.
        facts: The contents of ``result.json``.
    """

    folder: Path
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: str | Path) -> Outcome:
        """A study that was finished earlier.

        Raises:
            RunError: If there is none.
        """
        path = Path(folder) / RESULT
        try:
            facts = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"no finished run: {error}",
                where=str(path),
                hint="hasten tune --resume finishes it",
            ) from error
        return cls(Path(folder), facts)

    @property
    def best(self) -> Recipe | None:
        """The fastest recipe that was judged within; None if there is none."""
        return _recipe(self.facts["best"])

    @property
    def fewer_steps(self) -> Recipe | None:
        """The stock sampler with the fewest evaluations that was judged within."""
        return _recipe(self.facts["fewer_steps"])

    @property
    def baseline(self) -> Recipe:
        """The speed reference."""
        return Recipe.from_dict(self.facts["baseline"]["recipe"])

    @property
    def message(self) -> str:
        """The result in one sentence."""
        return str(self.facts["message"])


def _recipe(arm: Mapping[str, Any] | None) -> Recipe | None:
    return None if arm is None else Recipe.from_dict(arm["recipe"])


def arm_facts(
    recipe: Recipe,
    plan: Plan,
    *,
    label: str,
    predicted: float,
    machine: Mapping[str, Any],
    error: float | None,
    verdict: Mapping[str, Any] | None,
    checks: Mapping[str, Any],
    search_ratio: float | None = None,
    recipe_file: str | None = None,
) -> dict[str, Any]:
    """An arm of the study, before it is timed."""
    facts = {
        "label": label,
        "recipe": recipe.to_dict(),
        "recipe_file": recipe_file,
        "fingerprint": recipe.fingerprint(),
        "seconds_per_sample": predicted,
        **machine,
        "nfe": plan.nfe,
        "full_evaluations": sum(entry.full for entry in plan.reuse),
        "speedup": None,
        "speedup_interval": None,
        "pairs": [],
        "predicted_seconds": predicted,
        "endpoint_error": error,
        "search_ratio": search_ratio,
        "checks": dict(checks),
        "rows": [
            {"sigma": row.sigma, "step": row.step, "slot": row.slot, "reuse": str(row.reuse)}
            for row in plan.rows
        ],
    }
    return facts | verdict_facts(verdict)


def verdict_facts(verdict: Mapping[str, Any] | None) -> dict[str, Any]:
    """A verdict as an arm states it; None is the reference itself, which needs none."""
    if verdict is None:
        return {"verdict": None, "distance": None, "distance_ratio": None, "n": None}
    detail = ("margin_abs", "se", "rho", "se_share", "n_needed", "contrast", "reason", "critical")
    return {
        "verdict": verdict["outcome"],
        "distance": verdict["distance_candidate"]["value"],
        "distance_ratio": {key: verdict["ratio"][key] for key in ("value", "low", "high")},
        "n": verdict["n"],
        "verdict_detail": {key: verdict[key] for key in detail}
        | {"distance_baseline": verdict["distance_baseline"]["value"]},
    }


def timed(arm: dict[str, Any], ratio: SpeedRatio) -> dict[str, Any]:
    """The arm with its time, measured in pairs against the baseline (A) as B."""
    return arm | {
        "seconds_per_sample": ratio.seconds_b.value,
        "speedup": ratio.ratio.value,
        "speedup_interval": interval(ratio),
        "pairs": [
            list(pair) for pair in zip(ratio.seconds_a.raw, ratio.seconds_b.raw, strict=True)
        ],
    }


def in_seconds(baseline: dict[str, Any], arms: Sequence[dict[str, Any]]) -> None:
    """State the times of arms in seconds such that they agree with their speed-ups.

    Each arm was timed in pairs with the baseline, at another moment of the machine. What such pairs
    know is their ratio; seconds of different pairs say little about each other. So the baseline's
    time is the median of all its readings, and an arm's is that over the arm's own ratio.
    """
    readings = [before for arm in arms for before, _ in arm["pairs"]]
    baseline["seconds_per_sample"] = float(np.median(readings))
    for arm in arms:
        arm["seconds_per_sample"] = baseline["seconds_per_sample"] / arm["speedup"]


def interval(ratio: SpeedRatio) -> dict[str, Any]:
    """The ratio's value and ends."""
    facts = plain(ratio.ratio)
    return {key: facts[key] for key in ("value", "low", "high")}


def sentence(
    best: Mapping[str, Any] | None,
    fewer: Mapping[str, Any] | None,
    closest: Mapping[str, Any] | None,
    margin: float,
) -> str:
    """The result in one sentence, of the arms that are best or nearest to it."""
    share = f"{100 * margin:.3g}%"
    if best is not None:
        text = (
            f"{best['speedup']:.1f} times faster than the baseline, with its distance to the "
            f"reference within {share}"
        )
        if fewer is not None and fewer["fingerprint"] == best["fingerprint"]:
            text += "; that is fewer steps alone, to which the search added nothing"
        elif fewer is not None and fewer["speedup"]:
            text += f"; fewer steps alone reach {fewer['speedup']:.1f} times"
        return text
    if closest is None:
        return f"nothing faster than the baseline was found within {share}"
    needed = (closest.get("verdict_detail") or {}).get("n_needed")
    if closest["verdict"] == "undecided":
        more = f"; about {needed} samples would" if needed else ""
        return f"undecided: {closest['n']} samples do not tell whether anything is within{more}"
    return f"nothing faster than the baseline is within {share} of the reference"
