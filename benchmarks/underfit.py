"""What under-fits a shower model: one choice changed at a time, everything else equal.

    python benchmarks/underfit.py train TRAIN.h5 WORK [NAME ...] [--uniform UNIFORM.h5]
    python benchmarks/underfit.py judge TRUE.h5 WORK OUT.json [NAME ...]
    python benchmarks/underfit.py table OUT.json                  docs/underfit.md

Small nets (width 64, depth 3), trained on equally many showers with the same seeds. ``talk`` is
what the study of the FastSim talk trained; every other of `VARIANTS` says what it changes. Those
called uniform train on showers of which as many lie in every GeV. TRUE are showers of the law of
TRAIN that nothing was trained on. Training goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch

import hasten
from hasten.adapters.codecs import geometry_of
from hasten.core.fingerprint import fingerprint
from hasten.core.identity import model_fingerprint
from hasten.data.energies import incident_energies
from hasten.data.showers import load_showers
from hasten.files import atomic_write_text
from hasten.measure.physics.features import ShowerFeatures
from hasten.measure.physics.summary import measure_physics
from hasten.recipe import PlanSpec, Recipe
from hasten.train.run import train_config
from hasten.tuning.folder import versions
from hasten.tuning.journal import Journal
from physics_table import HEAD, brief, cells, write
from shower_study import marks, sampled

HERE = Path(__file__).parent
CONFIGS, PAGE = HERE.parent / "configs", HERE.parent / "docs" / "underfit.md"
SMALL = {
    "net": {"width": 64, "depth": 3},
    "train": {"samples": 128_000, "cooldown": 0.4, "rate": 2e-3},
}
LAYERS = {"train": {"samples": 640_000}}
ALONE = {"codec": {"name": "cells", "scale": "logit"}}
IMAGES = {"train": {"noise": [-1.2, 1.2]}}
TALK = {**ALONE, "prediction": {"sigma_data": 0.5}}
GAP = {"codec": {"name": "cells", "scale": "gap", "soft": 1.0, "gap": 1.0}}
UNIFORM = {"energies": {"law": "uniform"}}

VARIANTS: Mapping[str, tuple[str, tuple[Mapping[str, Any], ...]]] = {
    "talk": ("no layer model, logit, sigma_data .5, noise of images", (TALK, IMAGES)),
    "sigma": ("talk with sigma_data 1, which the numbers have", (ALONE, IMAGES)),
    "noise": ("sigma with ln sigma around -.6 in place of -1.2", (ALONE,)),
    "gap": ("noise with a gap between nothing and a reading", (GAP,)),
    "layers": ("gap with a layer model, energies of layers exact", ()),
    "talk-uniform": ("talk, trained on uniform energies", (TALK, IMAGES, UNIFORM)),
    "layers-uniform": ("layers, trained on uniform energies", (UNIFORM,)),
}
"""What each variant is, and what it changes in configs/calo-geant4.toml; see `SMALL`."""

SAMPLER = Recipe(PlanSpec("heun", "karras", 18))
COUNT = 3000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    fit = parts.add_parser("train")
    fit.add_argument("showers", type=Path)
    fit.add_argument("work", type=Path)
    fit.add_argument("names", nargs="*", default=list(VARIANTS))
    fit.add_argument("--uniform", type=Path)
    fit.add_argument("--minutes", type=float, default=float("inf"))
    compare = parts.add_parser("judge")
    compare.add_argument("true", type=Path)
    compare.add_argument("work", type=Path)
    compare.add_argument("out", type=Path)
    compare.add_argument("names", nargs="*", default=list(VARIANTS))
    parts.add_parser("table").add_argument("out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    {"train": train, "judge": judge, "table": table}[given.part](given)


def train(given: argparse.Namespace) -> None:
    """Every variant named, one after the other."""
    if given.uniform is None:
        given.names = [name for name in given.names if UNIFORM not in VARIANTS[name][1]]
    for name in given.names:
        uniform = UNIFORM in VARIANTS[name][1]
        config = configured(name, given.work / name)
        data = given.uniform if uniform else given.showers
        say(f"{name}: {VARIANTS[name][0]}")
        train_config(config, data, given.work / name, minutes=given.minutes, progress=told)


def configured(name: str, folder: Path) -> Path:
    """The variant's configuration, written into its folder."""
    changes = VARIANTS[name][1]
    cells = merged(read(CONFIGS / "calo-geant4.toml"), SMALL, {"name": name})
    layers = merged(read(CONFIGS / "calo-layers.toml"), LAYERS)
    folder.mkdir(parents=True, exist_ok=True)
    for change in changes:
        cells = merged(cells, change)
    if UNIFORM in changes:
        layers = merged(layers, UNIFORM)
    atomic_write_text(folder / "calo-layers.toml", tomli_w.dumps(layers))
    atomic_write_text(folder / "config.toml", tomli_w.dumps(cells))
    return folder / "config.toml"


def merged(facts: Mapping[str, Any], *changes: Mapping[str, Any]) -> dict[str, Any]:
    """Facts with tables changed key by key; a codec of another name replaces the whole table."""
    found = dict(facts)
    for change in changes:
        for key, value in change.items():
            old = found.get(key)
            whole = not isinstance(old, dict) or value.get("name", old.get("name")) != old.get(
                "name"
            )
            found[key] = value if whole else {**old, **value}
    return found


def judge(given: argparse.Namespace) -> None:
    """Every variant against showers it has not seen, and those against others."""
    journal = Journal(given.work / "judged.jsonl")
    rows = {}
    for name in given.names:
        model = hasten.load(given.work / name / "model")
        say(name)
        key = f"{model_fingerprint(model)}/{SAMPLER.fingerprint()}/{known_by(given.true)}"
        found = journal.remember(key, Judging(model, given.true))
        rows[name] = {"what": VARIANTS[name][0], **found, "physics": brief(found["physics"])}
    facts = {"sampler": SAMPLER.label, "true": given.true.name, "rows": rows, **versions()}
    atomic_write_text(given.out, json.dumps(facts, indent=1) + "\n")


def drawn(count: int) -> torch.Tensor:
    """Log-uniform incident energies, MeV, the same for every variant whatever it was trained on."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(incident_energies("power", count, rng, 1e3, 1e5)).float()


def known_by(true: Path) -> str:
    """By what the journal knows the true showers again."""
    return fingerprint(marks(load_showers(true, rows=64)))


class Judging:
    """The physics of a model's showers."""

    def __init__(self, model: hasten.Model, true: Path) -> None:
        self.model, self.true = model, true

    def __call__(self) -> dict[str, Any]:
        """As `measure_physics` says it."""
        geometry = geometry_of(self.model)
        first = load_showers(self.true, geometry=geometry, rows=slice(0, 2 * COUNT))
        other = load_showers(self.true, geometry=geometry, rows=slice(2 * COUNT, 10 * COUNT))
        features = ShowerFeatures.fit(other.cells, other.energies, geometry)
        incident = drawn(COUNT)
        made = sampled(self.model, SAMPLER, incident)
        found = measure_physics(
            made,
            incident,
            first.cells[:COUNT],
            first.energies[:COUNT],
            geometry,
            truth=(first.cells[COUNT:], first.energies[COUNT:]),
            features=features,
            costly=["high"],
        )
        seen = self.model.card.get("training", {}).get("seen")
        return {"physics": found.to_dict(), "seen": seen}


def table(given: argparse.Namespace) -> None:
    """Write what was judged between the marks of the page."""
    facts = json.loads(given.out.read_text("utf-8"))["rows"]
    first = next(iter(facts.values()))["physics"]
    rows = [[name, *cells(row["physics"]["judged"])] for name, row in facts.items()]
    rows.append(["*GFlash itself*", *cells(first["floor"])])
    seen = f"{first['n']:,} showers against {first['m']:,} true ones."
    write(PAGE, "underfit", ["", *HEAD], rows, seen)


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


def told(seen: int, total: int, loss: float) -> None:
    if seen % 6400 == 0:
        say(f"  {seen:,} of {total:,}, loss {loss:.4f}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
