"""What a calibration for one plan gains over the one for all.

    python benchmarks/tailored.py run MODEL SHOWERS.h5 OUT.json --recipes fast dpmpp_2m:karras:6
        [--work DIR] [--n 2000]
    python benchmarks/tailored.py page OUT.json                   docs/calorimeter.md

Every recipe is sampled with the maps that MODEL has for all, and with the method `calibrate` in the
recipe; the showers are held against the validation part of SHOWERS, and training showers make the
row of true ones. What is finished lies under --work: run it again to go on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

import hasten
from hasten.adapters.codecs import geometry_of
from hasten.cli.subjects import open_recipe
from hasten.core.identity import model_fingerprint
from hasten.data.showers import load_showers
from hasten.files import atomic_write_text
from hasten.methods.calibrate import Calibrate
from hasten.recipe import Recipe
from hasten.tuning.folder import versions
from hasten.tuning.standard import shower_features
from physics_table import brief, interval, write
from shower_study import against, journal, judged, marks

PAGE = Path(__file__).parent.parent / "docs" / "calorimeter.md"
DECODINGS = ("common", "own")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    study = parts.add_parser("run")
    study.add_argument("model")
    study.add_argument("showers", type=Path)
    study.add_argument("out", type=Path)
    study.add_argument("--recipes", nargs="+", required=True)
    study.add_argument("--work", type=Path, default=Path("runs/tailored"))
    study.add_argument("--n", type=int, default=2000)
    parts.add_parser("page").add_argument("out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    {"run": run, "page": page}[given.part](given)


def run(given: argparse.Namespace) -> None:
    """Every recipe, decoded by the calibration for all and by one of its own."""
    model = hasten.load(given.model)
    rows = []
    for name in given.recipes:
        print(name, file=sys.stderr, flush=True)
        own = open_recipe(name, model, given.model).also([Calibrate()])
        common = dataclasses.replace(
            own, methods=tuple(each for each in own.methods if not isinstance(each, Calibrate))
        )
        plan = own.resolve(model.process)
        row: dict[str, Any] = {"recipe": name, "label": common.label, "evaluations": plan.nfe}
        for decoding, recipe in zip(DECODINGS, (common, own), strict=True):
            row[decoding] = physics(model, recipe, given)
        rows.append(row)
    facts = {"model": model.name, "fingerprint": model_fingerprint(model), "rows": rows}
    atomic_write_text(given.out, json.dumps(facts | versions(), indent=1) + "\n")


def physics(model: hasten.Model, recipe: Recipe, given: argparse.Namespace) -> dict[str, Any]:
    """Distance and AUC in shower features, of these showers and of true ones."""
    features = shower_features(model.card["judge"]["name"])
    read = partial(load_showers, given.showers, geometry=geometry_of(model))
    true = read(split="valid"), read(split="train", rows=given.n)
    done = journal(given.work, model, features.name, *map(marks, true))
    work = partial(judged, model, recipe, given.n, true, features, ["high"])
    found = done.remember(f"{recipe.fingerprint()}/{given.n}", work)
    return brief(found) | {"against": against(true[0])}


def page(given: argparse.Namespace) -> None:
    """The table of docs/calorimeter.md."""
    facts = json.loads(given.out.read_text("utf-8"))
    rows = [
        [row["label"], str(row["evaluations"]), *(told(row[each]["judged"]) for each in DECODINGS)]
        for row in facts["rows"]
    ]
    first = facts["rows"][0]["own"]
    rows.append(["*true showers*", "", "", told(first["floor"])])
    head = ["plan", "evaluations", "maps made for Heun-18", "maps of its own"]
    below = f"n = {first['n']:,} against {first['m']:,} of {first['against']}."
    write(PAGE, f"{facts['model']}-tailored", head, rows, below)


def told(row: dict[str, Any]) -> str:
    """Distance and AUC."""
    return f"{interval(row['distance'], '.2f')}; {interval(row['high'], '.3f')}"


if __name__ == "__main__":
    main()
