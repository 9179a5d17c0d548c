"""Variants of the study of what under-fits differ in what they say, and in nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import underfit
from hasten.train.config import read_config


def facts(name: str, folder: Path) -> dict[str, Any]:
    config = read_config(underfit.configured(name, folder / name))
    found = {**config.card, "noise": config.settings.noise}
    del found["name"]
    return found


@pytest.mark.parametrize(
    ("one", "other", "changed"),
    [
        ("talk", "sigma", {"prediction"}),
        ("sigma", "noise", {"noise"}),
        ("noise", "gap", {"codec"}),
        ("gap", "layers", {"codec"}),
        ("talk", "talk-uniform", {"energies"}),
        ("layers", "layers-uniform", {"energies"}),
    ],
)
def test_a_variant_changes_one_thing(
    tmp_path: Path, one: str, other: str, changed: set[str]
) -> None:
    a, b = (facts(name, tmp_path) for name in (one, other))
    assert {key for key in a | b if a.get(key) != b.get(key)} == changed


def test_the_layer_model_of_a_variant_has_its_energies(tmp_path: Path) -> None:
    for name in ("layers", "layers-uniform"):
        config = facts(name, tmp_path)
        layers = read_config(tmp_path / name / config["codec"]["layers"])
        assert layers.card["energies"] == config["energies"]
