"""What the studies of a shower model share: true showers of two kinds, and sampled ones."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import hasten
from hasten.adapters.codecs import geometry_of
from hasten.core.fingerprint import fingerprint
from hasten.core.identity import model_fingerprint
from hasten.data.showers import Showers, load_showers
from hasten.measure.physics.features import ShowerFeatures
from hasten.measure.physics.summary import measure_physics
from hasten.recipe import Recipe
from hasten.tuning.journal import Journal
from hasten.tuning.seeds import drawn_conditions, stream

BATCH = 50


def add_study(parser: argparse.ArgumentParser, work: str) -> None:
    """The arguments that say which model is held against which showers, and where work lies."""
    parser.add_argument("model")
    parser.add_argument("reference", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--work", type=Path, default=Path(work))
    parser.add_argument("--n", type=int, default=3000)


def true_showers(model: hasten.Model, reference: Path, truth: Path | None) -> list[Showers]:
    """Those that judge, and others for the row of true showers: parts of one file, or two files."""
    read = partial(load_showers, geometry=geometry_of(model))
    if truth is None:
        return [read(reference, split=part) for part in ("test", "valid")]
    return [read(reference), read(truth)]


def marks(showers: Showers) -> list[Any]:
    """By what a journal knows showers again."""
    return [showers.name, len(showers), showers.energies[:64].tolist()]


def journal(work: Path, model: hasten.Model, *facts: Any) -> Journal:
    """What is finished of a study of just this model, its law of energies, and these facts."""
    identity = fingerprint([model_fingerprint(model), repr(model.energies), *facts])
    return Journal(work / f"{model.name}-{identity}.jsonl")


def against(real: Showers) -> str:
    """The showers that judge, for people."""
    return f"{real.name} {real.split or ''}".rstrip()


def sampled(model: hasten.Model, recipe: Recipe, energies: torch.Tensor) -> torch.Tensor:
    """Showers of these energies, on seeds that no search draws from."""
    seeds, parts = stream("calorimeter", "showers", len(energies)), []
    with hasten.apply(model, recipe) as fast:
        for first in range(0, len(energies), BATCH):
            some = slice(first, first + BATCH)
            parts.append(fast.sample(seeds[some], energies[some]))
    return torch.cat(parts)


def judged(
    model: hasten.Model,
    recipe: Recipe,
    count: int,
    true: Sequence[Showers],
    features: ShowerFeatures,
    costly: Sequence[str],
) -> dict[str, Any]:
    """The physics of a recipe's showers, and of as many true ones; as `true_showers` gives them."""
    real, other = true
    incident = drawn_conditions(model)(stream("calorimeter", "showers", count))
    return measure_physics(
        sampled(model, recipe, incident),
        incident,
        real.cells,
        real.energies,
        real.geometry,
        truth=(other.cells, other.energies),
        features=features,
        costly=costly,
    ).to_dict()
