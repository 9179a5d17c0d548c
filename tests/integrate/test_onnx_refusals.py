"""What cannot be in a graph is refused in words, before a minute is spent on it."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from test_onnx import images, shower_plan, showers
from torch import Tensor, nn

from calo import layer_model
from hasten.adapters.module import from_module
from hasten.core.model import Call, Codec, Model
from hasten.core.process import EDM, VP, Raw
from hasten.errors import MethodError, MissingExtra, ModelError, RunError
from hasten.integrate import onnx_graph
from hasten.integrate.onnx import export_onnx
from hasten.methods.cache import Cache
from hasten.recipe import PlanSpec, Recipe
from hasten.solvers import stock_plan


class Elsewhere(Codec):
    def decode(self, x: Tensor, cond: Tensor | None) -> Tensor:
        return x


def test_what_cannot_be_in_a_graph_is_refused_in_words(tmp_path: Path) -> None:
    path, shower, image = tmp_path / "out.onnx", showers(), images()
    plan, drawn = shower_plan(), stock_plan(VP(), "ddim", "uniform", 2)

    def refused(model: Model, words: str, **form: Any) -> None:
        with pytest.raises(ModelError, match=words):
            export_onnx(model, drawn if model is image else plan, path, **form)

    refused(image, "columns and units are for models of showers", columns=8)
    refused(image, "columns and units are for models of showers", units="GeV")
    refused(image, "only cells in regular layers", order="r-phi-z")
    refused(layer_model(), "only cells in regular layers", order="r-phi-z")
    refused(layer_model(), "only cells of showers have deposits", deposits=True)
    refused(shower, "'phi-r-z'", order="phi-r-z")
    refused(shower, "'keV'", units="keV")
    refused(shower, "noise from 'nowhere'", noise="nowhere")
    refused(shower, "0 columns", columns=0)
    refused(shower, "seed of -1", noise="seed", seed=-1)
    refused(shower, "null class", guidance=2.0)
    refused(image.replace(classes=None, call=Call()), "how many samples", noise="seed")
    refused(image.replace(guide=image), "together with its guide")
    refused(image.replace(codec=Elsewhere()), "Elsewhere")
    refused(image.replace(classes=None), "only class labels and incident energies")
    refused(copy.deepcopy(image).to(dtype=torch.float64), "float64")
    with pytest.raises(RunError, match="name"):
        export_onnx(shower, plan, tmp_path / "out.bin")
    with pytest.raises(MethodError, match="reuse"):
        export_onnx(image, Recipe(PlanSpec("ddim", "uniform", 4, reuse="every:2")), path)
    assert not list(tmp_path.iterdir())


def test_reuse_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hasten.integrate import onnx as room

    monkeypatch.setattr(room, "graph", lambda *_: onnx_graph.Traced(onnx.ModelProto(), 63.0))
    monkeypatch.setattr(room, "check", lambda *_: 0.0)
    recipe = Recipe(PlanSpec("ddim", "uniform", 4, reuse="every:2"), (Cache(),))
    written = export_onnx(images(), recipe, tmp_path / "out.onnx")
    assert "2 of 4 evaluations reuse features" in written.notes[0]
    assert "batches above 63" in written.notes[1]


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_without_the_extra_it_says_what_brings_it(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=rf"{missing} is not installed(.|\n)*hasten\[onnx\]"):
        export_onnx(showers(), shower_plan(), tmp_path / "out.onnx")


class Moody(nn.Module):
    """Decides by the data, which no trace can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return x * self.factor if float(x.mean()) > 0 else x - 1


def test_a_net_that_cannot_be_traced_is_refused_in_words(tmp_path: Path) -> None:
    model = from_module(Moody(), EDM(), Raw(), (4,))
    with pytest.raises(ModelError, match="cannot write this net"):
        export_onnx(model, shower_plan(), tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())
