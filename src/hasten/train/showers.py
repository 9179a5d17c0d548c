"""Training of a shower model: first its layer model, then the net of its cells.

Both learn from the same showers. Each has a checkpoint of its own, so a stopped training goes on
where it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from hasten.adapters.card import CARD, load_bundle, only, read_card
from hasten.adapters.cells import Cells
from hasten.adapters.codecs import LAYERS, own_plan, read_codec
from hasten.adapters.showers import LayerEnergies, Showers, layer_sums
from hasten.core.model import Energies, Model
from hasten.data.geometry import Geometry
from hasten.data.showers import Showers as Data
from hasten.data.showers import load_showers
from hasten.data.showers.conditions import check_range
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
    facts = dict(config.card.pop("codec", {}))
    where = f"{config.folder}, [codec]"
    name = facts.pop("name", "showers")
    if name not in _KINDS:
        raise ModelError(
            f"the codec {name!r} makes no showers",
            where=where,
            hint=f"one of {', '.join(_KINDS)}",
        )
    kind = _KINDS[name]
    only(facts, kind.options, kind.needed, where)
    showers = load_showers(data, split="train")
    _check_shape(config, showers.geometry)
    return kind.train(config, facts, showers, out, effort)


def _check_shape(config: Config, geometry: Geometry) -> None:
    shape = tuple(config.card["shape"])
    if geometry.shape != shape:
        has = "no regular grid of cells" if geometry.shape is None else f"{geometry.shape} cells"
        raise DataError(
            f"showers in {geometry.name} with {has}, and the model is to make {shape}",
            where=str(config.folder),
            hint="change shape and [net] in the configuration, or the data",
        )


def _train_joined(
    config: Config, facts: Mapping[str, Any], showers: Data, out: Path, effort: Effort
) -> State:
    """The layer model, and then the net of the cells."""
    model = fresh(config, effort)
    energies = _energies(model, showers)
    scale = _gap(facts, showers)
    below = read_config(config.folder / str(facts["layers"]))
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
    if facts["scale"] not in _SCALES:
        raise ModelError(
            f"unknown scale {facts['scale']!r}",
            where=f"{config.folder}, [codec]",
            hint=f"one of {', '.join(_SCALES)}",
        )
    scale = _SCALES[facts["scale"]](facts, showers)
    cells, incident = torch.from_numpy(showers.cells), torch.from_numpy(showers.energies)
    mean, spread = _moments(lambda part: scale(cells[part], incident[part, None]), len(cells))
    codec = Cells(showers.geometry, _energies(model, showers), scale, mean, spread)
    # half precision on this scale is finer than any sampler; it halves the memory
    clean = torch.cat([codec.clean(cells[p], incident[p]).half() for p in _parts(len(cells))])
    source = Turned(clean, codec.condition(incident))
    return fit(model.replace(codec=codec), source, config, out, out / "model", showers.name, effort)


def _gap(facts: Mapping[str, Any], showers: Data) -> Scale:
    return Scale(
        showers.geometry.threshold, float(facts.get("soft", 1)), float(facts.get("gap", 1))
    )


def _logit(facts: Mapping[str, Any], showers: Data) -> Logit:  # noqa: ARG001
    return Logit()


_SCALES: dict[str, Callable[[Mapping[str, Any], Data], Scale | Logit]] = {
    "gap": _gap,
    "logit": _logit,
}


@final
@dataclass(frozen=True)
class _Kind:
    """How a shower model with a certain codec is trained.

    Attributes:
        train: Does it.
        needed: Keys of the table [codec] it must have.
        options: All it may have.
    """

    train: Callable[[Config, Mapping[str, Any], Data, Path, Effort], State]
    needed: tuple[str, ...]
    options: tuple[str, ...]


_KINDS = {
    "showers": _Kind(_train_joined, ("layers", "soft", "gap"), ("layers", "soft", "gap")),
    "cells": _Kind(_train_alone, ("scale",), ("scale", "soft", "gap")),
}


def _train_layers(
    config: Config, showers: Data, energies: Energies, scale: Scale, out: Path, effort: Effort
) -> State:
    work = out / LAYERS
    model = fresh(config, effort.within)
    own_plan(model.replace(card=config.card))  # missed now rather than after the training
    layers = layer_sums(torch.from_numpy(showers.cells), showers.geometry)
    incident = torch.from_numpy(showers.energies)
    if (work / "model" / CARD).exists():  # a continued training keeps its numbers
        facts = read_card(work / "model")["codec"]
        codec = read_codec(facts, work / "model", load_bundle)
    else:
        codec = LayerEnergies.fit(layers, incident, energies, scale)
    if not isinstance(codec, LayerEnergies):
        raise ModelError("this is not a layer model", where=str(work / "model"))
    model = model.replace(codec=codec, energies=energies)
    source = layer_source(codec, layers, incident)
    state = fit(model, source, config, work, work / "model", showers.name, effort)
    if seen(state, config) >= config.settings.samples:
        _publish(work / "model", out / "model" / LAYERS)
    return state


def _publish(made: Path, place: Path) -> None:
    """Copy a finished model to where it is asked for, whole or not at all."""
    part = place.with_name(f".{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(made, part)
    part.replace(place)


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
    hint = "change [energies] in the configuration, or the data"
    check_range(showers.energies, known, showers.name, hint)
    return known
