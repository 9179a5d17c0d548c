"""Strategies side by side: the same space, the same trials, the same fresh seeds.

    python benchmarks/strategies.py fashion-unet OUT.json [--work DIR] [--evaluations 4 5 6 7]
        [--strategies joint sequential learned gits usf autodiffusion] [--trials 150]

For every strategy and number of evaluations: the plan found, its time by one table of measured
times, and the RMSE to the converged sample on fresh seeds. From these, `time at equal error`: both
curves interpolated in the logarithms where they overlap, the ratio of sequential to joint, with a
95 % interval from a paired bootstrap over the seeds. Resumable: run it again with the same --work.
The table of times is taken once, at the start: leave the machine in peace for a minute.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hasten
from hasten.files import atomic_write_text
from hasten.tuning.find import find_plan
from hasten.tuning.folder import versions
from hasten.tuning.seeds import drawn_conditions, stream
from hasten.tuning.space import tactics
from hasten.tuning.speeds import Speeds, measure_speeds
from hasten.tuning.strategies import STRATEGIES

DRAWS = 2000
POINTS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--evaluations", type=int, nargs="+", default=[4, 5, 6, 7])
    parser.add_argument("--strategies", nargs="+", default=["joint", "sequential"])
    parser.add_argument("--trials", type=int, default=150)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = hasten.load(given.model)
    folder = given.work / given.model
    speeds = table_of_times(model, folder / f"speeds-{given.batch}.json", given.batch)
    found = []
    for evaluations in given.evaluations:
        for strategy in given.strategies:
            plans = find_plan(
                model,
                evaluations,
                strategy=strategy,
                trials=given.trials,
                speeds=speeds,
                journal=folder / f"{evaluations}-{strategy}.jsonl",
                say=lambda share, text: print(f"{share:4.0%} {text}", file=sys.stderr),
            )
            entry = {
                "strategy": strategy,
                "evaluations": evaluations,
                "label": plans.best.label,
                "rows": plans.best.plan.nfe,
                "held": sum(not reuse.full for reuse in plans.best.plan.reuse),
                "seconds": plans.best.seconds,
                "trials": plans.trials,
                "net": plans.evaluations,
                "errors": plans.errors[0].tolist(),
                "stock": {"label": plans.stock.label, "errors": plans.errors[1].tolist()},
            }
            found.append(entry)
            line = f"{strategy} {evaluations}: {np.mean(entry['errors']):.4f} {entry['label']}"
            print(line, file=sys.stderr)
            (folder / f"{evaluations}-{strategy}.toml").write_text(plans.recipe.dumps())
    report: dict[str, Any] = {"model": given.model, "plans": found, "speeds": speeds.to_dict()}
    if {"joint", "sequential"} <= set(given.strategies):
        report["sequential_over_joint"] = at_equal_error(found)
    report |= {"versions": versions(), "threads": given.threads, "papers": papers()}
    atomic_write_text(given.out, json.dumps(report, indent=1) + "\n")
    print(json.dumps(report.get("sequential_over_joint"), indent=1))


def table_of_times(model: hasten.Model, path: Path, batch: int) -> Speeds:
    """What rows cost, measured once."""
    if not path.exists():
        seeds = stream(0, "speed", batch)
        cond = drawn_conditions(model)(seeds)
        found = measure_speeds(model, tactics(model), seeds, cond, rounds=15)
        atomic_write_text(path, json.dumps(found.to_dict()))
    return Speeds.from_dict(json.loads(path.read_text("utf-8")))


def papers() -> dict[str, str]:
    """Where the strategies are from."""
    return {each.name: each.paper for each in STRATEGIES.values()}


def at_equal_error(found: list[dict[str, Any]]) -> dict[str, float | int | None]:
    """Time of sequential plans over that of joint ones, where both reach the same errors.

    The interval is about the seeds the plans were compared on, not about the luck of a search.
    Nothing is said where the curves do not overlap, or not in 2.5 % of the draws.
    """
    curves = {}
    for name in ("sequential", "joint"):
        some = sorted(
            (each for each in found if each["strategy"] == name), key=lambda e: float(e["seconds"])
        )
        times = np.log([each["seconds"] for each in some])
        curves[name] = times, np.array([each["errors"] for each in some])
    count = curves["joint"][1].shape[1]
    rng = np.random.default_rng(0)
    draws = np.array([ratio(curves, rng.integers(count, size=count)) for _ in range(DRAWS)])
    value = ratio(curves, np.arange(count))
    if math.isnan(value) or np.isnan(draws).mean() > 0.025:
        return {"ratio": None, "low": None, "high": None, "n": count}
    low, high = np.nanquantile(draws, (0.025, 0.975))
    return {"ratio": value, "low": float(low), "high": float(high), "n": count}


def ratio(curves: dict[str, Any], chosen: Any) -> float:
    """The mean ratio in the logarithm, over errors that both curves have; nan if there are none."""
    lines = {}
    for name, (times, errors) in curves.items():
        means = np.log(errors[:, chosen].mean(axis=1))
        lines[name] = np.minimum.accumulate(means), times  # a slower plan is never worse
    low = max(line[0].min() for line in lines.values())
    high = min(line[0].max() for line in lines.values())
    if not low < high:
        return math.nan
    places = np.linspace(low, high, POINTS)
    # errors fall with time, so the curves are turned around for np.interp
    logs = {name: np.interp(places, e[::-1], t[::-1]) for name, (e, t) in lines.items()}
    return float(np.exp((logs["sequential"] - logs["joint"]).mean()))


if __name__ == "__main__":
    main()
