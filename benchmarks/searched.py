"""Searched plans against the best sampler off the shelf with more evaluations.

    python benchmarks/searched.py MODEL OUT.json --plans A.toml:7 B.toml:11 [--work DIR]

For every plan and the number of evaluations it is to beat: its endpoint error beside that of every
deterministic solver on every grid with so many evaluations (the race of `benchmarks/solvers.py`, on
its seeds, which no search draws from). The rival is the nearest of them on these very seeds, which
is in its favour. Differences are paired, with 95 % intervals. Then the distance to real data of
both, on other seeds, as a ratio in pairs. Resumable through --work.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hasten.core.plan import Plan
from hasten.files import atomic_write_text
from hasten.measure.verdict import judge_contrast
from hasten.recipe import Recipe
from hasten.tuning.folder import versions
from hasten.tuning.journal import Journal
from landscape.distance import ENOUGH, Bench
from landscape.entrants import Stock, stock
from landscape.ground import Ground
from landscape.race import SHORT, Race, measurer

SEEDS = SHORT[-1].seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--plans", nargs="+", required=True, metavar="RECIPE:EVALUATIONS")
    parser.add_argument("--work", type=Path, default=Path("runs/solvers"))
    parser.add_argument("--n", type=int, help="samples for the distance; 0 leaves it out")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    where = (given.model, SEEDS, given.work, given.device)
    race = Race(Journal(given.work / f"endpoint-{given.model}.jsonl"), measurer(where, 1), say)
    ground = Ground.of(*where)
    count = ENOUGH.get(given.model, 1000) if given.n is None else given.n
    bench = Bench.of(given.model, count, given.work / "features", given.device) if count else None
    found = []
    for text in given.plans:
        path, _, against = text.rpartition(":")
        plan = Recipe.loads(Path(path).read_text("utf-8")).resolve(ground.model.process)
        found.append(pair(race, bench, ground, plan, int(against)))
        say(json.dumps(found[-1]["difference"]))
    report = {"model": given.model, "pairs": found, "seeds": SEEDS, "versions": versions()}
    atomic_write_text(given.out, json.dumps(report, indent=1) + "\n")
    print(json.dumps([{k: v for k, v in p.items() if k != "errors"} for p in found], indent=1))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def pair(
    race: Race, bench: Bench | None, ground: Ground, plan: Plan, against: int
) -> dict[str, Any]:
    """One plan and the best off the shelf with so many evaluations."""
    mine = Stock(plan.fingerprint(), "searched", "own", plan)
    errors = np.array(ground.errors(mine, 0, SEEDS))
    ranked = race.run(stock(ground.model.process, against), SHORT, SEEDS)
    raced = [entrant for entrant in ranked if len(race.errors[entrant.key]) == SEEDS]
    rival = raced[0]
    theirs = np.array(race.errors[rival.key])
    found: dict[str, Any] = {
        "plan": plan.label,
        "evaluations": plan.nfe,
        "error": errors.mean(),
        "excess": errors.mean() - ground.floor.mean(),
        "rival": rival.plan.label,
        "rival_error": theirs.mean(),
        "rival_excess": theirs.mean() - ground.floor.mean(),
        "others": {e.plan.label: race.mean(e) for e in raced[1:4]},
        "difference": interval(errors - theirs),
        "n": SEEDS,
    }
    if bench is not None:
        base, arm = bench.arm(rival.plan), bench.arm(plan)
        ratio = judge_contrast(arm, base, bench.reference).ratio
        found["distance"] = {
            "searched": arm.measurement().value,
            "rival": base.measurement().value,
            "ratio": {"value": ratio.value, "low": ratio.low, "high": ratio.high},
            "n": arm.n,
        }
    return found | {"errors": errors.round(6).tolist()}


def interval(differences: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """Mean and 95 % interval."""
    mean, half = differences.mean(), 1.96 * differences.std(ddof=1) / np.sqrt(len(differences))
    return {"mean": mean, "low": mean - half, "high": mean + half}


if __name__ == "__main__":
    main()
