"""How near a model's showers are to true ones, by every measure, for some of its recipes.

    python benchmarks/closeness.py run MODEL REFERENCE.h5 OUT.json [--truth OTHER.h5] [--n 3000]
        [--recipes NAME ...] [--cells]
    python benchmarks/closeness.py page OUT.json [...]           docs/calorimeter.md

REFERENCE and OTHER are true showers that the model was not trained on, the second for the column of
true showers. Without OTHER the last 10 % of REFERENCE judge and the 10 % before them make that
column. Recipes are named as ``hasten sample -r`` takes them; incident energies are drawn by the
model's law, on seeds that no search draws from. With --cells a network on cells is trained as
well, for minutes a column. What is finished lies in a journal under --work.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

import hasten
from hasten.cli.subjects import open_recipe
from hasten.core.identity import model_fingerprint
from hasten.data.showers import Showers
from hasten.files import atomic_write_text
from hasten.measure.physics.summary import measure_physics
from hasten.recipe import Recipe
from hasten.tuning.folder import versions
from hasten.tuning.seeds import drawn_conditions, stream
from hasten.tuning.standard import shower_features
from physics_table import brief, interval, write
from shower_study import add_study, against, journal, marks, sampled, true_showers

DOCS = Path(__file__).parent.parent / "docs"
POWERS = ("response", "cell energies", "hits", "layer energies", "depth", "length", "radius")
POWERS += ("ring fractions", "centres 1", "widths 1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    study = parts.add_parser("run")
    add_study(study, "runs/closeness")
    study.add_argument("--recipes", nargs="+", default=["fast", "heun-18"])
    study.add_argument("--cells", action="store_true", help="a network on cells as well")
    parts.add_parser("page").add_argument("results", type=Path, nargs="+")
    given = parser.parse_args()
    torch.set_num_threads(1)
    {"run": run, "page": page}[given.part](given)


def run(given: argparse.Namespace) -> None:
    """Every recipe's showers against the true ones."""
    model = hasten.load(given.model)
    real, true = true_showers(model, given.reference, given.truth)
    done = journal(given.work, model, marks(real), marks(true), given.cells)
    rows = {}
    for name in given.recipes:
        print(name, file=sys.stderr, flush=True)
        recipe = open_recipe(name, model, given.model)
        judged = partial(judge, model, recipe, given.n, real, true, cells=given.cells)
        found = done.remember(f"{recipe.fingerprint()}/{given.n}", judged)
        rows[name] = {"evaluations": recipe.resolve(model.process).nfe, **found}
    facts = {"model": model.name, "fingerprint": model_fingerprint(model), "rows": rows}
    facts |= {"reference": against(real), **versions()}
    atomic_write_text(given.out, json.dumps(facts, indent=1) + "\n")


def judge(
    model: hasten.Model, recipe: Recipe, count: int, real: Showers, true: Showers, *, cells: bool
) -> dict[str, Any]:
    """Physics in shower features, and the classifier on the challenge's numbers."""
    incident = drawn_conditions(model)(stream("calorimeter", "showers", count))
    made = sampled(model, recipe, incident)
    against = (made, incident, real.cells, real.energies, real.geometry)
    other = (true.cells, true.energies)
    features = shower_features(model.card["judge"]["name"])
    asked = ["fpd", "high", *(["low"] if cells else [])]
    found = measure_physics(*against, truth=other, features=features, costly=asked).to_dict()
    plain = measure_physics(*against, truth=other, costly=["high"]).to_dict()
    return {
        "physics": brief(found),
        "challenge": {each: plain[each]["high"] for each in ("judged", "floor")},
    }


def page(given: argparse.Namespace) -> None:
    """Tables of all results, two marks on the page each."""
    for path in given.results:
        facts = json.loads(path.read_text("utf-8"))
        rows: Mapping[str, Any] = facts["rows"]
        first = next(iter(rows.values()))
        sides = [(f"`{name}`", row, "judged") for name, row in rows.items()]
        sides.append(("true showers", first, "floor"))
        columns = [dict(figures(row, side)) for _, row, side in sides]
        table = [[name, *(column[name] for column in columns)] for name in columns[0]]
        physics = first["physics"]
        below = f"n = {physics['n']:,} against {physics['m']:,} of {facts['reference']}."
        head = ["", *(name for name, *_ in sides)]
        write(DOCS / "calorimeter.md", facts["model"], head, table, below)
        head = ["energy, GeV", "response over true", "resolution over true", "n"]
        write(DOCS / "calorimeter.md", f"{facts['model']}-energies", head, energies(first), "")


def figures(row: Mapping[str, Any], side: str) -> Iterator[tuple[str, str]]:
    """Names and figures of a column."""
    found = row["physics"][side]
    for name in POWERS:
        yield f"separation of {name}", interval(found["separations"][name]["corrected"], ".4f")
    yield "distance in shower features", interval(found["distance"], ".2f")
    yield "AUC of boosted trees, shower features", interval(found["high"], ".3f")
    yield "AUC of boosted trees, the challenge's numbers", interval(row["challenge"][side], ".3f")
    if found["low"] is not None:
        yield "AUC of a network on cells", interval(found["low"], ".3f")
    yield "FPD x 1000", f"{1000 * found['fpd']['value']:.0f}"


def energies(row: Mapping[str, Any]) -> list[list[str]]:
    """Response and resolution in slices of the energy; the same for every recipe."""
    return [
        [
            f"{part['low'] / 1000:.3g} to {part['high'] / 1000:.3g}",
            *(interval(part[name]["ratio"], ".3f") for name in ("response", "resolution")),
            f"{part['n']}",
        ]
        for part in row["physics"]["judged"]["slices"]
    ]


if __name__ == "__main__":
    main()
