"""Training configurations: a card without weights, and a table ``[train]`` of `Settings`."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from hasten.adapters.card import build, read_facts, save_bundle
from hasten.core.model import Model
from hasten.data.images import load_images
from hasten.errors import ModelError
from hasten.train.loop import Progress, Settings, State, train

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
    if "images" not in table:
        raise ModelError("images (how many to see) is missing", where=f"{path} [train]")
    if "betas" in table:
        table["betas"] = tuple(table["betas"])
    return Config(facts, path.parent, Settings(**table), PRECISIONS[precision], compiled)


def train_config(
    path: Path,
    data: Path,
    out: Path,
    *,
    minutes: float = float("inf"),
    device: str = "cpu",
    progress: Progress | None = None,
) -> State:
    """Train what a configuration describes, or go on with it, and write the model so far.

    Args:
        path: The configuration.
        data: Images, in any of the forms `hasten.data.images.load_images` reads.
        out: Run folder; the averaged weights land in ``out/model``, which `hasten.load` reads.
        minutes: Stop after this long; the same call again continues.
        device: ``cpu`` or ``cuda``.
        progress: Told after every checkpoint.
    """
    config = read_config(path)
    images = load_images(data, split="train")
    torch.manual_seed(config.settings.seed)
    model = build(config.card, config.folder)
    # on CPUs half precision and compiling cost more than they gain
    fast = torch.device(device).type != "cpu"
    layout = torch.channels_last if fast else torch.preserve_format
    model.net.to(device, memory_format=layout)  # type: ignore[call-overload]
    labels = None if model.classes is None else images.labels
    state = train(
        model,
        images.pixels,
        labels,
        config.settings,
        out,
        minutes=minutes,
        precision=config.precision if fast else torch.float32,
        compiled=config.compiled and fast,
        progress=progress,
    )
    write_model(state, config, out / "model", images.name)
    return state


def write_model(state: State, config: Config, folder: Path, data: str) -> Model:
    """The averaged weights as a model folder, with what was done on its card."""
    state.model.net.load_state_dict(state.average.weights)
    settings = {k: v for k, v in dataclasses.asdict(config.settings).items() if v is not None}
    settings["betas"] = list(settings["betas"])
    training = {"data": data, "seen": state.step * config.settings.batch, **settings}
    facts: dict[str, Any] = {"training": training}
    facts |= {k: config.card[k] for k in ("about", "reference", "judge") if k in config.card}
    save_bundle(folder, state.model, config.card["net"], facts)
    return state.model
