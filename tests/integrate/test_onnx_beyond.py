"""What a graph answers to energies it was not trained for, and to such as are none."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from calo import SMALL, layer_model, shower_model
from hasten.adapters.showers import Showers
from hasten.core.model import Model
from hasten.integrate import unrolled
from hasten.integrate.onnx import export_onnx, noise_for
from hasten.models.calibration import Calibration
from hasten.solvers import sample, stock_plan

SEEDS = [3, 1, 4, 15, 9, 2, 6, 5]
NONE = (0.0, -1.0, math.nan, math.inf)


def layers() -> Model:
    """A layer model whose net says something."""
    model = layer_model()
    net = copy.deepcopy(model.net)
    nn.init.normal_(net.final.weight, std=0.3)  # type: ignore[union-attr, arg-type]
    return model.replace(net=net)


def showers() -> Model:
    """Showers with maps, whose index a wrong energy must not leave."""
    model = shower_model()
    assert isinstance(model.codec, Showers)
    table = torch.linspace(0, 5, 16).expand(3, 3, 16).contiguous()
    maps = Calibration(5.0, table, model.codec.scale.gap)
    codec = dataclasses.replace(model.codec, calibration=maps, layers=layers())
    return model.replace(codec=codec)


def with_share(share: float) -> Model:
    """Showers whose readings are deposits divided by this."""
    model = showers()
    assert isinstance(model.codec, Showers)
    geometry = dataclasses.replace(model.codec.geometry, share=share)
    return model.replace(codec=dataclasses.replace(model.codec, geometry=geometry))


@pytest.fixture(scope="module", params=[showers, layers])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Asks a graph for showers of these energies, GeV; energies of cells or layers, MeV."""
    model = request.param()
    plan = stock_plan(model.process, "euler", "karras", 2)
    path = tmp_path_factory.mktemp("graph") / "showers.onnx"
    export_onnx(model, plan, path)
    session = onnxruntime.InferenceSession(path)

    def ask(*energies: float) -> np.ndarray[Any, Any]:
        told = np.array(energies, np.float32)[:, None]
        noise = noise_for(model, plan, SEEDS)[: len(energies)].numpy()
        return np.asarray(session.run(None, {"condition": told, "noise": noise})[0], np.float64)

    return ask


def test_what_is_no_energy_gives_no_cells_and_leaves_the_others_alone(asked: Any) -> None:
    got = asked(10.0, *NONE, 50.0)
    assert (got[1:5] == 0).all()
    other = asked(10.0, *[20.0] * 4, 50.0)
    np.testing.assert_allclose(got[[0, 5]], other[[0, 5]], rtol=1e-5)
    assert (got[[0, 5]].sum(axis=1) > 0).all()


def test_energies_far_from_the_training_are_conserved(asked: Any) -> None:
    energies = np.array([1e-3, 0.1, 500.0, 5e3, 1e6, 1e12])
    got = asked(*energies)
    assert np.isfinite(got).all()
    response = got.sum(axis=1) / (1000 * energies)
    assert ((response > 0.7) & (response < 1.1)).all(), response
    assert (got[got > 0] >= SMALL.threshold * (1 - 1e-5)).all()


def test_deposits_are_readings_times_the_share(tmp_path: Path) -> None:
    model = with_share(0.04)
    plan = stock_plan(model.process, "euler", "karras", 2)
    form = {"units": "GeV", "deposits": True}
    assert export_onnx(model, plan, tmp_path / "x.onnx", **form).distance < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["share"], facts["units"]) == ("1", "GeV")
    assert float(facts["threshold"]) == pytest.approx(0.04 * SMALL.threshold / 1000)
    told, noise = np.array([[20.0]], np.float32), noise_for(model, plan, [7]).numpy()
    (cells,) = session.run(None, {"condition": told, "noise": noise})
    want = sample(model, plan, [7], torch.tensor([2e4]))
    assert cells.sum() == pytest.approx(0.04 * float(want.sum()) / 1000, rel=1e-4)


def test_nets_are_told_no_energy_that_is_farther_out() -> None:
    """Two energies beyond the farthest, under the same noise, get the same response."""
    model = layers()
    (stage,) = parts = unrolled.stages(model, stock_plan(model.process, "euler", "karras", 2))
    heard: list[torch.Tensor] = []

    def ask(x: torch.Tensor, _time: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        assert cond is not None
        heard.append(cond)
        return x

    run = unrolled.Unrolled(model, stage.plan, unrolled.Form(), {"layers": ask, "samples": ask})
    energies = torch.tensor([[1e-3], [0.5], [20.0], [200.0], [1e6]])
    found = run(condition=energies, noise=unrolled.drawn(parts, [3] * 5))
    assert model.energies is not None
    unit = model.energies.unit(1000 * energies)
    torch.testing.assert_close(heard[0], unit.clamp(-1.5, 1.5))
    response = found.sum(dim=1) / (1000 * energies[:, 0])
    torch.testing.assert_close(response[3], response[4], rtol=1e-4, atol=0)
