"""Shower models with weights nobody trained, small enough for tests."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import torch

from hasten.adapters.card import load_bundle, save_bundle
from hasten.adapters.codecs import own_plan
from hasten.adapters.showers import LayerEnergies, Showers, layer_sums
from hasten.core.model import Call, Energies, Model
from hasten.core.process import EDM, Raw
from hasten.data.geometry import SIW, Geometry
from hasten.models.calibration import Spread
from hasten.models.calodit import CaloDiT, LayerNet
from hasten.models.scale import Scale

ENERGIES = Energies(1e3, 1e5)
SMALL = Geometry.regular("small", (6, 4, 3), 5.0, 0.015, pitch=3.4)
SCALE = Scale(0.015)
NET = {"factory": "calodit", "shape": [45, 16, 9], "patch": [9, 16, 3], "width": 8, "depth": 1}
NET |= {"heads": 1}
LAYER_NET = {"factory": "layers", "numbers": 46, "width": 8, "depth": 1}


def showers(count: int, geometry: Geometry = SMALL) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells and incident energies of showers whose resolution depends on energy."""
    rng = np.random.default_rng(0)
    incident = np.exp(rng.uniform(np.log(1e3), np.log(1e5), count))
    shares = rng.dirichlet(np.full(geometry.cells, 0.05), count)
    response = 0.9 + 0.5 / np.sqrt(incident) * rng.standard_normal(count)
    cells = shares * (response * incident)[:, None]
    cells[cells < geometry.threshold] = 0
    return torch.from_numpy(cells).float(), torch.from_numpy(incident).float()


@functools.cache
def layer_codec(geometry: Geometry) -> LayerEnergies:
    cells, incident = showers(400, geometry)
    return LayerEnergies.fit(layer_sums(cells, geometry), incident, ENERGIES, SCALE)


def layer_model(geometry: Geometry = SMALL) -> Model:
    codec = layer_codec(geometry)
    count = len(geometry.layers)
    torch.manual_seed(0)
    return Model(
        LayerNet(1 + count, 8, 1).eval(),
        EDM(),
        Raw(1.0),
        (1 + count,),
        Call(cond="cond"),
        codec,
        energies=ENERGIES,
        name="layers",
        kind="layers",
        card={"reference": {"speed": {"solver": "dpmpp_2m", "grid": "karras", "steps": 4}}},
    )


def shower_model(geometry: Geometry = SMALL) -> Model:
    layers = layer_model(geometry)
    shape = geometry.shape
    assert shape is not None
    torch.manual_seed(0)
    net = CaloDiT(shape, (3, shape[1], 1), 8, 1, 1).eval()
    torch.nn.init.normal_(net.final.weight, std=0.3)
    codec = Showers(geometry, layers, own_plan(layers), SCALE, 0.4, 1.2)
    return Model(
        net, EDM(), Raw(1.0), shape, Call(cond="cond"), codec, energies=ENERGIES, kind="shower"
    )


def told(model: Model, count: int = 2000) -> Model:
    """A shower model that knows how true showers are spread."""
    codec = model.codec
    assert isinstance(codec, Showers)
    cells, incident = showers(count, codec.geometry)
    true = Spread.of(codec.numbers(cells), codec.energies.unit(incident), codec.scale.gap)
    return model.replace(codec=dataclasses.replace(codec, true=true))


def saved(folder: Path) -> Model:
    """A shower model as training writes it."""
    inner = layer_model(SIW)
    facts = {"reference": inner.card["reference"]}
    save_bundle(folder / "layers", inner, LAYER_NET, facts)
    layers = load_bundle(folder / "layers")
    net = CaloDiT((45, 16, 9), (9, 16, 3), 8, 1, 1).eval()
    codec = Showers(SIW, layers, own_plan(layers), SCALE, 0.4, 1.2)
    model = Model(
        net,
        EDM(),
        Raw(1.0),
        (45, 16, 9),
        Call(cond="cond"),
        codec,
        energies=ENERGIES,
        kind="shower",
    )
    save_bundle(folder, model, NET, {})
    return model
