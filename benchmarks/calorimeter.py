"""The study of the FastSim talk: solvers and numbers of steps, by physics and by milliseconds.

    python benchmarks/calorimeter.py MODEL REFERENCE.h5 OUT.json [--work DIR] [--split test]
        [--n 3000] [--long 500] [--recipes best.toml ...] [--also fpd high low]

MODEL is a shower model, REFERENCE true showers it was not trained on; only the part named by
--split is read. Euler, Heun, LMS and DPM-Solver++ with 32 and 256 steps on the Karras grid, and the
recipes given. Samples have the incident energies of the reference, seeds are the same for all.
Times are of one thread, batch 1, codec included, in pairs with Euler-32. What is finished lies in a
journal under --work: run it again to go on.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path
from typing import Any

import torch

import hasten
from hasten.adapters.codecs import geometry_of
from hasten.data.showers import load_showers
from hasten.files import atomic_write_text
from hasten.measure.physics.summary import COSTLY, measure_physics
from hasten.measure.speed import compare_speed
from hasten.recipe import PlanSpec, Recipe
from hasten.tuning.folder import versions
from hasten.tuning.journal import Journal
from hasten.tuning.judging import model_fingerprint
from hasten.tuning.seeds import stream

SOLVERS = ("euler", "heun", "lms3", "dpmpp_2m")
SHORT, LONG = 32, 256
BATCH = 50
PAIRS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("reference", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/calorimeter"))
    parser.add_argument("--split", default="test")
    parser.add_argument("--n", type=int, default=3000)
    parser.add_argument("--long", type=int, default=500, help="showers with 256 steps")
    parser.add_argument("--recipes", type=Path, nargs="*", default=[])
    parser.add_argument("--also", choices=COSTLY, nargs="*", default=["fpd"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = hasten.load(given.model)
    shape = geometry_of(model)
    held = load_showers(given.reference, geometry=shape, split=given.split or None)
    features = shower_features(given.judge) if given.judge else None
    # energies of samples are those of showers that judge nothing, as they would be of new ones
    third = len(held) // 3
    asked, real, other = (held.rows(slice(k * third, (k + 1) * third)) for k in range(3))
    identity = f"{model_fingerprint(model)}-{fingerprint([held.name, held.energies[:64].tolist()])}"
    journal = Journal(given.work / f"{model.name}-{identity}.jsonl")
    entrants = [
        (Recipe(PlanSpec(solver, "karras", steps)), given.n if steps == SHORT else given.long)
        for steps in (SHORT, LONG)
        for solver in SOLVERS
    ]
    entrants += [(Recipe.loads(path.read_text("utf-8")), given.n) for path in given.recipes]
    base, rows = entrants[0][0], []
    for recipe, count in entrants:
        count = min(count, len(real))
        key = f"{recipe.fingerprint()}/{count}/{given.split}/{','.join(given.also)}"
        print(f"{recipe.label}, {count} showers", file=sys.stderr, flush=True)

        def judged(recipe: Recipe = recipe, count: int = count) -> dict[str, Any]:
            cells = sampled(model, recipe, torch.from_numpy(real.energies[:count]))
            return measure_physics(
                cells,
                real.energies[:count],
                real.cells,
                real.energies,
                real.geometry,
                costly=given.also,
            ).to_dict()

        def taken(recipe: Recipe = recipe) -> dict[str, Any]:
            return timed(model, base, recipe)

        rows.append(
            {
                "recipe": recipe.label,
                "fingerprint": recipe.fingerprint(),
                "evaluations": recipe.resolve(model.process).nfe,
                "n": count,
                "physics": journal.remember(key, judged),
                "time": journal.remember(f"{recipe.fingerprint()}/time", taken),
            }
        )
    report = {
        "model": model.name,
        "fingerprint": identity,
        "reference": f"{real.name}, {given.split}, {len(real):,} showers",
        "rows": rows,
        "versions": versions(),
        "threads": 1,
    }
    atomic_write_text(given.out, json.dumps(report, indent=1) + "\n")


def sampled(model: hasten.Model, recipe: Recipe, energies: torch.Tensor) -> torch.Tensor:
    """Showers of these energies, on seeds that no search draws from."""
    seeds, parts = stream("calorimeter", "showers", len(energies)), []
    with hasten.apply(model, recipe) as fast:
        for first in range(0, len(energies), BATCH):
            some = slice(first, first + BATCH)
            parts.append(fast.sample(seeds[some], energies[some]))
    return torch.cat(parts)


def timed(model: hasten.Model, base: Recipe, recipe: Recipe) -> dict[str, Any]:
    """Milliseconds a shower at batch 1, in pairs with the base."""
    seeds = stream("calorimeter", "speed", 1)
    energy = torch.tensor([10_000.0]).clamp(model.energies.low, model.energies.high)
    twin = model.replace(net=copy.deepcopy(model.net))  # both stay attached while they take turns
    with hasten.apply(model, base) as slow, hasten.apply(twin, recipe) as fast:
        return compare_speed(slow, fast, seeds, energy, pairs=PAIRS).to_dict()


if __name__ == "__main__":
    main()
