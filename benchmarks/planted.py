"""What the measures of physics see of damage that was planted in true showers.

    python benchmarks/planted.py run SHOWERS.h5 OUT.json [--judge calo-geant4] [--work DIR]
    python benchmarks/planted.py table OUT.json                   docs/physics.md

Damage is done to showers of the validation part of SHOWERS, which are then cut at the threshold and
held against undamaged ones of the training part; other ones of that part make the row of true
showers. What is finished lies in a journal under --work: run it again to go on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hasten.core.fingerprint import fingerprint
from hasten.data.showers import Showers, load_showers
from hasten.files import atomic_write_text
from hasten.measure.degradations import Shift, Smear
from hasten.measure.physics.classifier import challenge_table, high_level_auc, low_level_auc
from hasten.measure.physics.features import ShowerFeatures
from hasten.measure.physics.fpd import fpd, kpd
from hasten.measure.physics.observables import high_level, observe
from hasten.measure.physics.separation import separation
from hasten.measure.quality import frechet
from hasten.measure.reference import Reference
from hasten.measure.result import plain
from hasten.tuning.folder import versions
from hasten.tuning.journal import Journal
from hasten.tuning.standard import shower_features
from physics_table import interval, write
from shower_study import marks

PAGE = Path(__file__).parent.parent / "docs" / "physics.md"
HEAD = ("planted", "distance, shower features", "separation of the response")
HEAD += ("AUC: features", "AUC: challenge", "AUC: cells", "FPD x 1000", "KPD x 1000")


def dark(cells: Tensor) -> Tensor:
    """One cell in a hundred, another in every shower, reads nothing."""
    kept = torch.rand(cells.shape, generator=torch.Generator().manual_seed(0)) >= 0.01
    return cells * kept


DAMAGE: dict[str, Callable[[Tensor], Tensor]] = {
    "nothing": lambda cells: cells,
    **{f"all energies +{share:.1%}": Shift(share) for share in (0.005, 0.01, 0.03)},
    **{f"cells smeared by {share:.0%}": Smear(share) for share in (0.02, 0.05, 0.1, 0.2)},
    "1% of cells dark": dark,
}
"""What is done to cells [n, cells]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    study = parts.add_parser("run")
    study.add_argument("showers", type=Path)
    study.add_argument("out", type=Path)
    study.add_argument("--judge", default="calo-geant4")
    study.add_argument("--work", type=Path, default=Path("runs/planted"))
    study.add_argument("--n", type=int, default=3000)
    parts.add_parser("table").add_argument("out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    {"run": run, "table": table}[given.part](given)


def run(given: argparse.Namespace) -> None:
    """Every damage, by every measure."""
    features = shower_features(given.judge)
    read = partial(load_showers, given.showers, geometry=features.geometry)
    whole, real = read(split="valid"), read(split="train")
    n = min(given.n, len(whole), len(real) // 2)
    identity = fingerprint([features.name, marks(whole), marks(real), n])
    journal, rows = Journal(given.work / f"{identity}.jsonl"), {}
    for name in DAMAGE:
        print(name, file=sys.stderr, flush=True)
        rows[name] = journal.remember(name, partial(seen, name, whole, real, features, n))
    report = {"showers": whole.name, "features": features.name, "n": n, "rows": rows, **versions()}
    atomic_write_text(given.out, json.dumps(report, indent=1) + "\n")


def seen(
    name: str, whole: Showers, real: Showers, features: ShowerFeatures, n: int
) -> dict[str, Any]:
    """What every measure says about one damage."""
    cells = DAMAGE[name](torch.from_numpy(whole.cells[:n]))
    cells = torch.where(cells >= whole.geometry.threshold, cells, torch.zeros_like(cells))
    sides = (cells, whole.energies[:n]), (real.cells[:n], real.energies[:n])
    a, b = (observe(*side, whole.geometry) for side in sides)
    ours, tables = ([of(each) for each in (a, b)] for of in (features.of, high_level))
    found = {
        "distance": frechet(ours[0], Reference.of(ours[1], features.name)).measurement(),
        "response": separation(a.response, b.response).corrected,
        "features": high_level_auc(*ours),
        "challenge": high_level_auc(*(challenge_table(each) for each in (a, b))),
        "cells": low_level_auc(*sides[0], *sides[1], whole.geometry),
        "fpd": fpd(*tables, least=n // 3, most=n),
        "kpd": kpd(*tables, batch=n),
    }
    facts: dict[str, Any] = plain(found)
    return facts


def table(given: argparse.Namespace) -> None:
    """Write what was seen between the marks of the page."""
    facts = json.loads(given.out.read_text("utf-8"))
    rows = [[name, *figures(row)] for name, row in facts["rows"].items()]
    below = f"{facts['n']:,} showers against {facts['n']:,}; 95 % intervals."
    write(PAGE, "planted", list(HEAD), rows, below)


def figures(row: dict[str, Any]) -> list[str]:
    """Cells under `HEAD`."""
    ends = ("value", "low", "high")
    scaled = [{key: 1000 * row[each][key] for key in ends} for each in ("fpd", "kpd")]
    apart = ("distance", "response", "features", "challenge", "cells")
    return [
        *(interval(row[each], ".3f") for each in apart),
        *(interval(each, ".3g") for each in scaled),
    ]


if __name__ == "__main__":
    main()
