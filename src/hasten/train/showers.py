"""Training of a shower model: first its layer model, then the net of its cells.

Both learn from the same showers. Each has a checkpoint of its own, so a stopped training goes on
where it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hasten.adapters.card import CARD, load_bundle
from hasten.adapters.cells import Cells
from hasten.adapters.codecs import LAYERS, own_plan
from hasten.adapters.showers import LayerEnergies, Showers, layer_sums
from hasten.core.model import Energies, Model
from hasten.data.geometry import Geometry
from hasten.data.showers import Showers as Data
from hasten.data.showers import load_showers
from hasten.errors import DataError, ModelError
from hasten.models.scale import Logit, Scale
from hasten.train.config import Config, read_config
from hasten.train.fitting import Effort, fit, fresh, seen
from hasten.train.loop import State
from hasten.train.sources import Rows, Turned

CHUNK = 2048


def train_showers(config: Config, data: Path, out: Path, effort: Effort) -> State:
    """Train the layer model that the configuration names, and when that is done, the cells' net.

    Args:
        config: Its ``[codec]`` names the layer model's configuration and the scale.
        data: Showers; the first 80 % are learned from.
        out: Run folder; the layer model trains in ``out/layers``.
        effort: Where and how long, for both.

    Returns:
        The state of what was trained last.

    Raises:
        ModelError: If the configuration is wrong.
        DataError: If the showers do not suit it.
    """
    showers = load_showers(data, split="train")
    facts = dict(config.card.pop("codec", {}))
    name = facts.pop("name", "showers")
    if name not in _KINDS:
        raise ModelError(
            f"the codec {name!r} makes no showers",
            where=f"{config.folder}, [codec]",
            hint=f"one of {', '.join(_KINDS)}",
        )
    try:
        return _KINDS[name](config, facts, showers, out, effort)
    except KeyError as cause:
        raise ModelError(
            f"the table [codec] lacks {cause}",
            where=str(config.folder),
            hint='name = "showers", layers = "FILE.toml", soft = 1.0, gap = 1.0; or name = "cells"',
        ) from cause


def _train_joined(
    config: Config, facts: Mapping[str, Any], showers: Data, out: Path, effort: Effort
) -> State:
    """The layer model, and then the net of the cells."""
    model = fresh(config, effort)
    energies = _energies(model, showers)
    scale = Scale(showers.geometry.threshold, float(facts["soft"]), float(facts["gap"]))
    below = config.folder / str(facts["layers"])
    cells, incident = torch.from_numpy(showers.cells), torch.from_numpy(showers.energies)
    place = out / "model" / LAYERS
    if not (place / CARD).exists():
        state = _train_layers(below, showers, energies, scale, out, effort)
        if not (place / CARD).exists():
            return state  # no minutes left
    codec = cell_codec(cells, showers.geometry, load_bundle(place), scale)
    source = cell_source(codec, cells, incident)
    return fit(model.replace(codec=codec), source, config, out, out / "model", showers.name, effort)


def _train_alone(
    config: Config, facts: Mapping[str, Any], showers: Data, out: Path, effort: Effort
) -> State:
    """The net of the cells without a layer model."""
    model = fresh(config, effort)
    if facts.get("scale", "gap") == "logit":
        scale: Scale | Logit = Logit()
    else:
        scale = Scale(showers.geometry.threshold, float(facts["soft"]), float(facts["gap"]))
    cells, incident = torch.from_numpy(showers.cells), torch.from_numpy(showers.energies)
    mean, spread = _moments(lambda part: scale(cells[part], incident[part, None]), len(cells))
    codec = Cells(showers.geometry, _energies(model, showers), scale, mean, spread)
    # half precision on this scale is finer than any sampler; it halves the memory
    clean = torch.cat([codec.clean(cells[p], incident[p]).half() for p in _parts(len(cells))])
    source = Turned(clean, codec.condition(incident))
    return fit(model.replace(codec=codec), source, config, out, out / "model", showers.name, effort)


_KINDS = {"showers": _train_joined, "cells": _train_alone}
"""How a shower model with each codec is trained."""


def _train_layers(
    path: Path, showers: Data, energies: Energies, scale: Scale, out: Path, effort: Effort
) -> State:
    config, work = read_config(path), out / LAYERS
    layers = layer_sums(torch.from_numpy(showers.cells), showers.geometry)
    incident = torch.from_numpy(showers.energies)
    if (work / "model" / CARD).exists():  # a continued training keeps its numbers
        codec = load_bundle(work / "model").codec
    else:
        codec = LayerEnergies.fit(layers, incident, energies, scale)
    if not isinstance(codec, LayerEnergies):
        raise ModelError("this is not a layer model", where=str(work / "model"))
    model = fresh(config, effort.within).replace(codec=codec, energies=energies)
    source = layer_source(codec, layers, incident)
    state = fit(model, source, config, work, work / "model", showers.name, effort)
    if seen(state, config) >= config.settings.samples:
        shutil.copytree(work / "model", out / "model" / LAYERS)
    return state


def layer_source(codec: LayerEnergies, layers: Tensor, incident: Tensor) -> Rows:
    """What a layer model is trained on: layers' energies [n, L] and incident ones [n], MeV."""
    return Rows(codec.clean(layers, incident), codec.energies.unit(incident)[:, None])


def cell_codec(cells: Tensor, geometry: Geometry, layers: Model, scale: Scale) -> Showers:
    """The numbers of these showers' cells, centred and scaled to unit variance."""
    mean, spread = _moments(lambda part: scale(cells[part]), len(cells))
    return Showers(geometry, layers, own_plan(layers), scale, mean, spread)


def _moments(numbers: Callable[[slice], Tensor], count: int) -> tuple[float, float]:
    """Mean and standard deviation of the numbers of all cells, part by part."""
    total = square = size = 0.0
    for part in _parts(count):
        some = numbers(part).double()
        total, square = total + float(some.sum()), square + float(some.square().sum())
        size += some.numel()
    return total / size, (square / size - (total / size) ** 2) ** 0.5


def _parts(count: int) -> list[slice]:
    return [slice(first, first + CHUNK) for first in range(0, count, CHUNK)]


def cell_source(codec: Showers, cells: Tensor, incident: Tensor) -> Turned:
    """What the net of the cells is trained on: cells [n, cells] and incident energies [n], MeV."""
    # half precision on this scale is finer than any sampler; it halves the memory
    clean = torch.cat([codec.clean(cells[part]).half() for part in _parts(len(cells))])
    return Turned(clean, codec.condition(layer_sums(cells, codec.geometry), incident))


def _energies(model: Model, showers: Data) -> Energies:
    known = model.energies
    if known is None:
        raise ModelError(
            "the configuration does not say which energies",
            where=model.name,
            hint='energies = {low = 1000.0, high = 100000.0, law = "power"}, in MeV',
        )
    low, high = float(showers.energies.min()), float(showers.energies.max())
    if not (low >= known.low * (1 - 1e-6) and high <= known.high * (1 + 1e-6)):
        raise DataError(
            f"showers from {low:g} to {high:g} MeV, and the model is to be trained from "
            f"{known.low:g} to {known.high:g}",
            where=showers.name,
            hint="change [energies] in the configuration, or the data",
        )
    return known
