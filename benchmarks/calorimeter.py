"""The study of the FastSim talk: solvers and numbers of steps, by physics and by milliseconds.

    python benchmarks/calorimeter.py run MODEL REFERENCE.h5 OUT.json [--truth OTHER.h5]
        [--judge JUDGE] [--law power] [--work DIR] [--n 3000] [--long 500]
        [--recipes best.toml ...]
    python benchmarks/calorimeter.py page OUT.json [...]          docs/fastsim.md and its picture

MODEL is a shower model; REFERENCE and OTHER are true showers it was not trained on, the second for
the row of true showers. Without OTHER the last 10 % of REFERENCE judge and the 10 % before them
make that row. Euler, Heun, LMS and DPM-Solver++ with 32 and 256 steps on the Karras grid, and the
recipes given. Incident energies are drawn by the model's law, seeds are the same for all. Times are
of one thread, codec included, in pairs with Euler-32. What is finished lies in a journal under
--work: run it again to go on.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullFormatter

import hasten
from hasten.core.identity import model_fingerprint
from hasten.files import atomic, atomic_write_text
from hasten.measure.speed import compare_speed
from hasten.recipe import PlanSpec, Recipe
from hasten.tuning.folder import versions
from hasten.tuning.seeds import drawn_conditions, stream
from hasten.tuning.standard import shower_features
from physics_table import HEAD, brief, cells, write
from shower_study import add_study, against, journal, judged, marks, true_showers

DOCS = Path(__file__).parent.parent / "docs"
SOLVERS = ("euler", "heun", "lms3", "dpmpp_2m")
SHORT, LONG = 32, 256
COSTLY = ("fpd", "high")
PAIRS = {1: 15, 100: 7}
"""Pairs of timings by size of the batch."""
MOST = {1: 1000, 100: 16}
"""Most evaluations that are timed: a long plan of a large batch takes minutes, and tells no more
than that of one. Euler-32 is in every pair."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    study = parts.add_parser("run")
    add_study(study, "runs/calorimeter")
    study.add_argument("--judge", help="by default the one on the model's card")
    study.add_argument("--law", choices=("power", "uniform"), help="by default the model's")
    study.add_argument("--long", type=int, default=500, help="showers with 256 steps")
    study.add_argument("--recipes", type=Path, nargs="*", default=[])
    parts.add_parser("page").add_argument("results", type=Path, nargs="+")
    given = parser.parse_args()
    torch.set_num_threads(1)
    {"run": run, "page": page}[given.part](given)


def run(given: argparse.Namespace) -> None:
    """Every entrant: its physics and its time."""
    model = hasten.load(given.model)
    if given.law is not None:
        model = model.replace(energies=dataclasses.replace(model.energies, law=given.law))
    real, true = true_showers(model, given.reference, given.truth)
    features = shower_features(given.judge or model.card["judge"]["name"])
    done = journal(given.work, model, features.name, marks(real), marks(true))
    entrants = [
        (Recipe(PlanSpec(solver, "karras", steps)), given.n if steps == SHORT else given.long)
        for steps in (SHORT, LONG)
        for solver in SOLVERS
    ]
    base = entrants[0][0]
    entrants += [(Recipe.loads(path.read_text("utf-8")), given.n) for path in given.recipes]
    entrants.sort(key=lambda each: -each[1])  # few steps first: what one waits for comes last
    rows = []
    for recipe, count in entrants:
        key = recipe.fingerprint()
        print(f"{recipe.label}, {count} showers", file=sys.stderr, flush=True)
        work = partial(judged, model, recipe, count, (real, true), features, COSTLY)
        row = {"recipe": recipe.label, "fingerprint": key, "n": count}
        row["evaluations"] = recipe.resolve(model.process).nfe
        row["physics"] = brief(done.remember(f"{key}/{count}", work))
        rows.append(row)
    print("times: nothing else should run", file=sys.stderr, flush=True)
    for row, (recipe, _) in zip(rows, entrants, strict=True):
        for batch in PAIRS:
            if row["evaluations"] <= MOST[batch]:
                timed = partial(taken, model, base, recipe, batch)
                key = f"{row['fingerprint']}/time/{batch}"
                row[f"time_{batch}"] = done.remember(key, timed)
    report = {
        "model": model.name,
        "fingerprint": model_fingerprint(model),
        "energies": repr(model.energies),
        "reference": against(real),
        "features": features.name,
        "rows": rows,
        "versions": versions(),
        "threads": 1,
    }
    atomic_write_text(given.out, json.dumps(report, indent=1) + "\n")


def taken(model: hasten.Model, base: Recipe, recipe: Recipe, batch: int) -> dict[str, Any]:
    """Seconds a shower, in pairs with the base."""
    seeds = stream("calorimeter", "speed", batch)
    energies = drawn_conditions(model)(seeds)
    twin = model.replace(net=copy.deepcopy(model.net))  # both stay attached while they take turns
    with hasten.apply(model, base) as slow, hasten.apply(twin, recipe) as fast:
        return compare_speed(slow, fast, seeds, energies, pairs=PAIRS[batch]).to_dict()


def page(given: argparse.Namespace) -> None:
    """Tables and picture of all results, a mark on the page each."""
    found = [json.loads(path.read_text("utf-8")) for path in given.results]
    for facts in found:
        first = facts["rows"][0]["physics"]  # of Euler-32, which is the base of all times
        head = ["", "evaluations", "n", *(f"ms, batch {size}" for size in PAIRS), *HEAD]
        every = facts["rows"]
        rows = []
        for row in every:
            told = [row["recipe"], f"{row['evaluations']}", f"{row['n']:,}"]
            spent = [milliseconds(row, every, size) for size in PAIRS]
            form = ",.0f" if spent[0] and spent[0] > 100 else ".1f"
            told += ["" if each is None else f"{each:{form}}" for each in spent]
            rows.append([*told, *cells(row["physics"]["judged"])])
        rows.append(["*true showers*", "", f"{first['n']:,}", "", "", *cells(first["floor"])])
        below = f"Against {first['m']:,} showers of {facts['reference']}; one thread."
        write(DOCS / "fastsim.md", facts["model"], head, rows, below)
    draw(found, DOCS / "fastsim.png")


def milliseconds(row: dict[str, Any], rows: list[dict[str, Any]], size: int) -> float | None:
    """Of a shower in batches of a size; None if that was not timed.

    Every plan was timed in pairs with the base, at another moment of the machine. What such pairs
    know is a ratio; so the base has the median of all its readings, and a plan that over its ratio.
    """
    pairs = [each[f"time_{size}"] for each in rows if f"time_{size}" in each]
    base = 1000 * float(
        np.median([second for pair in pairs for second in pair["seconds_a"]["raw"]])
    )
    if row is rows[0]:
        return base
    return base / row[f"time_{size}"]["ratio"]["value"] if f"time_{size}" in row else None


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Distance against time, a panel a model."""
    figure, panels = plt.subplots(
        1, len(found), figsize=(1.5 + 3.6 * len(found), 4), squeeze=False, layout="constrained"
    )
    for panel, facts in zip(panels[0], found, strict=True):
        rows = facts["rows"]
        for row in rows:
            far, x = row["physics"]["judged"]["distance"], milliseconds(row, rows, 1)
            reach = [[far["value"] - far["low"]], [far["high"] - far["value"]]]
            # a colour a solver, a square for many steps, a star for what was searched
            solver = row["recipe"].split()[0]
            known = solver in SOLVERS
            panel.errorbar(
                x,
                far["value"],
                yerr=reach,
                fmt="*" if not known else "s" if row["evaluations"] >= LONG else "o",
                color=f"C{SOLVERS.index(solver)}" if known else "black",
                markersize=7,
                capsize=3,
                label=row["recipe"].replace(" karras", ",") if known else "searched",
            )
        panel.set(xscale="log", yscale="log", title=facts["model"])
        panel.set_xlabel("ms a shower, batch 1, one thread")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("distance in shower features")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8, frameon=False)
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
