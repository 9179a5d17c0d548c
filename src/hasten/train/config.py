"""Training configurations: a card without weights, and a table ``[train]`` of `Settings`."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from hasten.adapters.card import read_facts
from hasten.errors import ModelError
from hasten.train.loop import Settings

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@final
@dataclass(frozen=True)
class Config:
    """What to train, and how.

    Attributes:
        card: The facts of the model to be.
        folder: Where files the card refers to lie.
        settings: Of the training.
        precision: Of the net's arithmetic on an accelerator.
        compiled: Whether the net is compiled for the training there.
    """

    card: dict[str, Any]
    folder: Path
    settings: Settings
    precision: torch.dtype
    compiled: bool


def read_config(path: Path) -> Config:
    """A configuration file.

    Raises:
        ModelError: On unknown keys or values, with the nearest known key.
    """
    facts = read_facts(path, frozenset({"train"}))
    table = dict(facts.pop("train", {}))
    known = [field.name for field in dataclasses.fields(Settings)]
    precision = table.pop("precision", "float32")
    if precision not in PRECISIONS:
        raise ModelError(f"unknown precision {precision!r}", where=f"{path} [train]")
    compiled = table.pop("compile", False)
    for key in table.keys() - set(known):
        near = difflib.get_close_matches(key, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise ModelError(f"unknown key {key!r}", where=f"{path} [train]", hint=hint)
    if "samples" not in table:
        raise ModelError("samples (how many to see) is missing", where=f"{path} [train]")
    for key in ("betas", "noise"):
        if key in table:
            table[key] = tuple(table[key])
    return Config(facts, path.parent, Settings(**table), PRECISIONS[precision], compiled)
