"""One ONNX graph gives hasten's own samples, in the order and units that it says."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from calo import SCALE, SMALL, shower_model, told
from hasten.adapters.module import from_module
from hasten.adapters.showers import Showers, layer_sums
from hasten.applying import apply
from hasten.core.model import Call, Classes, Model, Pixels
from hasten.core.plan import Plan
from hasten.core.process import EDM, VP, Raw, V
from hasten.errors import OutputError
from hasten.integrate import onnx_graph
from hasten.integrate.onnx import AGREEMENT, Written, export_onnx, noise_for
from hasten.integrate.onnx_check import check
from hasten.integrate.unrolled import Form, runtime_seed, stages
from hasten.methods.calibrate import Calibrate
from hasten.models.calibration import Calibration
from hasten.models.uvit import UViT
from hasten.recipe import PlanSpec, Recipe
from hasten.solvers import build, ddim, sample, stock_plan
from hasten.solvers.grids import GRIDS

SEEDED = [3, 1, 4, 15, 9]
GEV = torch.tensor([1.5, 4.0, 10.0, 30.0, 90.0])


@pytest.fixture(scope="module", autouse=True)
def _each_net_once() -> Iterator[None]:
    """Exporting a net takes seconds; the same net is exported once for all tests."""
    real, known = onnx_graph._net, dict[tuple[object, ...], Any]()

    def net(stage: Any, cond: Tensor | None) -> Any:
        weights = tuple(float(p.double().sum()) for p in stage.model.net.parameters())
        key = (stage.name, weights)
        if key not in known:
            known[key] = real(stage, cond)
        return dataclasses.replace(known[key], proto=copy.deepcopy(known[key].proto))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_graph, "_net", net)
        yield


@functools.cache
def showers() -> Model:
    """Showers whose layers vary too, since the layer net says something."""
    model = shower_model()
    codec = model.codec
    assert isinstance(codec, Showers)
    torch.manual_seed(1)
    nn.init.normal_(codec.layers.net.final.weight, std=0.3)  # type: ignore[union-attr, arg-type]
    table = (torch.rand(3, 3, 32).cumsum(-1) - 2).clamp(min=0)  # maps that rise, no two alike
    codec = dataclasses.replace(codec, calibration=Calibration(5.0, table, SCALE.gap))
    return model.replace(codec=codec)


@functools.cache
def images() -> Model:
    torch.manual_seed(0)
    net = UViT(size=8, channels=1, patch=4, width=16, depth=2, heads=2, classes=4)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    assert net.label_emb is not None
    nn.init.normal_(net.label_emb.weight, std=3.0)  # so that guidance matters
    classes = Classes(3, null=3, names=("shirt", "shoe", "bag"))
    return Model(
        net.eval(), VP(), V(), (1, 8, 8), Call(cond="label"), Pixels(), clip=1.0, classes=classes
    )


def shower_plan(solver: str = "dpmpp_2m", steps: int = 3) -> Plan:
    return stock_plan(EDM(), solver, "karras", steps)


@dataclasses.dataclass(frozen=True)
class File:
    """An exported graph and what it was made from."""

    model: Model
    plan: Plan
    written: Written
    proto: Any

    @functools.cached_property
    def session(self) -> Any:
        return onnxruntime.InferenceSession(self.written.path)

    @functools.cached_property
    def facts(self) -> dict[str, str]:
        return {each.key: each.value for each in self.proto.metadata_props}

    def run(self, **inputs: Tensor) -> Tensor:
        feed = {name: value.numpy() for name, value in inputs.items()}
        return torch.from_numpy(self.session.run(None, feed)[0])


def exported(path: Path, model: Model, recipe: Plan | Recipe, **form: Any) -> File:
    written = export_onnx(model, recipe, path, **form)
    plan = recipe if isinstance(recipe, Plan) else recipe.resolve(model.process)
    return File(model, plan, written, onnx.load(path))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> File:
    """Showers with their noise as an input."""
    folder = tmp_path_factory.mktemp("plain")
    return exported(folder / "showers.onnx", showers(), shower_plan())


@pytest.fixture(scope="module")
def par04(tmp_path_factory: pytest.TempPathFactory) -> File:
    """Showers as Par04 wants them."""
    form = {"noise": "seed", "order": "r-phi-z", "units": "GeV", "columns": 8}
    folder = tmp_path_factory.mktemp("par04")
    return exported(folder / "par04.onnx", showers(), shower_plan("euler", 2), **form)


@pytest.fixture(scope="module")
def guided(tmp_path_factory: pytest.TempPathFactory) -> File:
    """Images with guidance, by a stochastic plan."""
    plan = build(ddim(0.7), GRIDS["logsnr"](VP(), 4))
    assert plan.stochastic
    folder = tmp_path_factory.mktemp("guided")
    return exported(folder / "images.onnx", images(), plan, guidance=1.7)


def conditions(energies: Tensor, columns: int = 1) -> Tensor:
    told = torch.zeros(len(energies), columns)
    told[:, 0] = energies
    return told


def assert_same_showers(got: Tensor, want: Tensor) -> None:
    """Every cell to 1e-4 of itself or of the threshold, and there or not there alike."""
    assert torch.equal(got > 0, want > 0)
    distance = (got - want).abs() / want.clamp(min=SMALL.threshold)
    assert float(distance.max()) < AGREEMENT


def test_showers_are_hastens_own_in_any_batch(plain: File) -> None:
    noise = noise_for(plain.model, plain.plan, SEEDED)
    want = sample(plain.model, plain.plan, SEEDED, GEV * 1000)
    got = plain.run(condition=conditions(GEV), noise=noise)
    assert_same_showers(got, want)
    alone = plain.run(condition=conditions(GEV[2:3]), noise=noise[2:3])
    assert_same_showers(alone, want[2:3])
    assert 0.2 < float((want > 0).float().mean()) < 0.9
    assert plain.written.distance < AGREEMENT


def test_energy_is_conserved_in_the_graph(plain: File) -> None:
    model, noise = plain.model, noise_for(plain.model, plain.plan, SEEDED)
    codec = model.codec
    assert isinstance(codec, Showers)
    aside = [seed + (1 << 63) for seed in SEEDED]
    layers = sample(codec.layers, codec.plan, aside, GEV * 1000)
    got = plain.run(condition=conditions(GEV), noise=noise)
    torch.testing.assert_close(layer_sums(got, SMALL), layers, rtol=1e-4, atol=1e-3)
    assert ((got == 0) | (got >= SMALL.threshold * (1 - 1e-5))).all()


def test_maps_of_a_recipe_are_in_its_graph(tmp_path: Path) -> None:
    model = told(showers())
    spec = PlanSpec("euler", "karras", 3)
    recipe = Recipe(spec, (Calibrate(500),))
    file = exported(tmp_path / "calibrated.onnx", model, recipe)
    with apply(model, recipe) as fast:
        want = fast.sample(SEEDED, GEV * 1000)
    other = sample(model, file.plan, SEEDED, GEV * 1000)
    got = file.run(condition=conditions(GEV), noise=noise_for(model, file.plan, SEEDED))
    assert_same_showers(got, want)
    assert float((want > 0).ne(other > 0).float().mean()) > 0.01


def test_the_noise_is_laid_out_as_the_file_says(plain: File) -> None:
    layout = json.loads(plain.facts["noise"])
    assert [(each["stage"], each["what"]) for each in layout] == [
        ("layers", "start"),
        ("samples", "start"),
    ]
    assert [each["first"] for each in layout] == [0, 7]
    width = plain.proto.graph.input[1].type.tensor_type.shape.dim[1].dim_value
    assert width == layout[-1]["first"] + layout[-1]["count"] == 79
    # the cells' noise leaves the layers alone; the layers' noise does not
    noise = noise_for(plain.model, plain.plan, SEEDED)
    told = conditions(GEV)
    before = layer_sums(plain.run(condition=told, noise=noise), SMALL)
    other = torch.cat([noise[:, :7], noise[:, 7:].flip(0)], dim=1)
    torch.testing.assert_close(
        layer_sums(plain.run(condition=told, noise=other), SMALL), before, rtol=1e-4, atol=1e-3
    )
    other = torch.cat([noise[:, :7].flip(0), noise[:, 7:]], dim=1)
    after = layer_sums(plain.run(condition=told, noise=other), SMALL)
    assert not torch.allclose(after, before, rtol=1e-2)


def as_par04_reads(flat: Tensor) -> Tensor:
    """Cells [n, Z, A, R] from flat ones, by Par04's loops: R, in it phi, in it z."""
    depth, sectors, rings = 6, 4, 3
    cells = torch.zeros(len(flat), depth, sectors, rings)
    place = 0
    for ring in range(rings):
        for sector in range(sectors):
            for layer in range(depth):
                cells[:, layer, sector, ring] = flat[:, place]
                place += 1
    return cells


def with_noise_input(file: File) -> Any:
    """The file's graph with its drawing node replaced by an input of the same name."""
    proto = copy.deepcopy(file.proto)
    (node,) = (each for each in proto.graph.node if each.op_type == "RandomNormalLike")
    made = onnx.helper.make_tensor_value_info(node.output[0], 1, ["batch", 79])
    proto.graph.input.append(made)
    proto.graph.node.remove(node)
    return onnxruntime.InferenceSession(proto.SerializeToString())


def test_cells_are_where_and_as_large_as_par04_takes_them(par04: File) -> None:
    session = with_noise_input(par04)
    noise = noise_for(par04.model, par04.plan, SEEDED)
    feed = {"condition": conditions(GEV, 8).numpy(), session.get_inputs()[1].name: noise.numpy()}
    got = torch.from_numpy(session.run(None, feed)[0])
    want = sample(par04.model, par04.plan, SEEDED, GEV * 1000)
    assert_same_showers(as_par04_reads(got).flatten(1) * 1000, want)
    assert not torch.allclose(got * 1000, want)
    feed["condition"][:, 1:] = np.random.default_rng(0).standard_normal((5, 7))
    assert np.array_equal(session.run(None, feed)[0], got.numpy())


def test_par04_finds_one_input_and_flat_cells(par04: File) -> None:
    (given,), (cells,) = par04.session.get_inputs(), par04.session.get_outputs()
    assert (given.name, given.type, given.shape) == ("condition", "tensor(float)", ["batch", 8])
    assert (cells.name, cells.type, cells.shape) == ("cells", "tensor(float)", ["batch", 72])
    # as it does: free axes are 1, optimisations off
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_free_dimension_override_by_name("batch", 1)
    session = onnxruntime.InferenceSession(par04.written.path, options)
    told = conditions(GEV[:1], 8).numpy()
    one, two = (session.run(None, {"condition": told})[0] for _ in range(2))
    assert one.shape == (1, 72)
    assert not np.array_equal(one, two)


def test_a_seeded_graph_begins_anew_in_every_session(par04: File) -> None:
    told = conditions(GEV, 8)
    again = [File(par04.model, par04.plan, par04.written, par04.proto) for _ in range(2)]
    first, second = (file.run(condition=told) for file in again)
    assert torch.equal(first, second)
    assert not torch.equal(first, again[0].run(condition=told))
    same = again[0].run(condition=conditions(GEV[:1].expand(5), 8))
    assert len(torch.unique(same, dim=0)) == 5  # one energy, five showers
    assert "same noise in every session" in par04.written.notes[0]
    (node,) = (each for each in par04.proto.graph.node if each.op_type == "RandomNormalLike")
    # sessions of one process begin alike without a seed too
    assert {each.name: each.f for each in node.attribute}["seed"] == runtime_seed(0)


def test_seeded_showers_respond_as_hastens_do(par04: File) -> None:
    told = torch.full((600,), 20.0)
    made = par04.run(condition=conditions(told, 8)).sum(dim=1) / 20
    want = sample(par04.model, par04.plan, range(600), told * 1000).sum(dim=1) / 2e4
    error = float((made.var() / 600 + want.var() / 600).sqrt())
    assert abs(float(made.mean() - want.mean())) < 4 * error
    assert float(made.std() / want.std()) == pytest.approx(1, abs=4 * (2 / 600) ** 0.5)
    assert error < 1e-3  # or this would prove little


def test_images_with_classes_guidance_and_noise(guided: File) -> None:
    labels = torch.tensor([0, 2, 1, 2, 0])
    noise = noise_for(guided.model, guided.plan, SEEDED)
    assert noise.shape == (5, 64 * (1 + len(stages(guided.model, guided.plan)[0].program.noises)))
    want = sample(guided.model, guided.plan, SEEDED, labels, guidance=1.7)
    got = guided.run(label=labels, noise=noise)
    torch.testing.assert_close(got, want, atol=AGREEMENT, rtol=0)
    plain = sample(guided.model, guided.plan, SEEDED, labels)
    assert float((plain - want).abs().max()) > 100 * AGREEMENT
    torch.testing.assert_close(
        guided.run(label=labels[:1], noise=noise[:1]), want[:1], atol=AGREEMENT, rtol=0
    )
    stored = [numpy_helper.to_array(each) for each in guided.proto.graph.initializer]
    frequencies = torch.exp(-math.log(1e4) * torch.arange(8, dtype=torch.float32) / 8).numpy()
    assert any(np.array_equal(each, frequencies) for each in stored)  # to the last bit
    assert guided.facts["label"] == "0 to 2: shirt, shoe, bag"
    assert guided.facts["guidance"] == "1.7"


def test_weights_are_there_once_and_nothing_of_training(guided: File, plain: File) -> None:
    codec = plain.model.codec
    assert isinstance(codec, Showers)
    for file, nets in ((guided, [guided.model.net]), (plain, [plain.model.net, codec.layers.net])):
        weights = sum(p.numel() for net in nets for p in net.parameters())
        stored = [numpy_helper.to_array(each) for each in file.proto.graph.initializer]
        floats = sum(each.size for each in stored if each.dtype == np.float32)
        assert weights <= floats < 1.05 * weights + 500  # frequencies, means, spreads
        # besides its weights, a node of a row takes about a hundred bytes
        assert file.written.path.stat().st_size < 4 * floats + 200 * len(file.proto.graph.node)
        kinds = {node.op_type for node in file.proto.graph.node}
        assert not kinds & {"Dropout", "BatchNormalization", "Loop", "If"}
        assert {node.domain for node in file.proto.graph.node} == {""}
        assert not file.proto.functions
        assert not any(node.metadata_props or node.doc_string for node in file.proto.graph.node)
        sizes = {
            str(axis.dim_param)
            for value in file.proto.graph.value_info
            for axis in value.type.tensor_type.shape.dim
            if axis.dim_param
        }
        # one name, or onnxruntime plans its memory for minutes
        assert "batch" in sizes
        assert all("batch" in size for size in sizes)
    assert sum(node.op_type == "Softmax" for node in guided.proto.graph.node) == 4 * 3


def test_the_file_says_what_it_is(par04: File, plain: File) -> None:
    facts = par04.facts
    assert facts["condition"] == "incident energy in GeV, then 7 ignored"
    assert facts["energies"].startswith("trained from 1 to 100 GeV")
    assert (facts["order"], facts["units"], facts["seed"]) == ("r-phi-z", "GeV", "0")
    assert float(facts["threshold"]) == pytest.approx(SMALL.threshold / 1000)
    assert float(plain.facts["threshold"]) == pytest.approx(SMALL.threshold)
    assert json.loads(facts["shape"]) == {"z": 6, "phi": 4, "r": 3}
    assert facts["sampler"] == "euler karras 2, 2 evaluations"
    assert "seed" not in plain.facts
    assert par04.proto.producer_name == "hasten"
    assert (par04.proto.ir_version, par04.proto.opset_import[0].version) == (8, 18)


class Small(nn.Module):
    """One layer, told the time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        out: Tensor = self.layer(x) + time[:, None]
        return out


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> File:
    """An unconditional model whose last row has factors near 1."""
    torch.manual_seed(0)
    model = from_module(Small(), EDM(), Raw(1.0), (4,))
    return exported(tmp_path_factory.mktemp("small") / "small.onnx", model, shower_plan(steps=4))


def test_factors_near_one_are_kept(small: File) -> None:
    """The exporter's own optimiser would take .999996 for 1."""
    numbers = [numpy_helper.to_array(each) for each in small.proto.graph.initializer]
    skip = 1 / (0.002**2 + 1)
    assert 0 < 1 - skip < 1e-5
    assert any(each.size == 1 and each == np.float32(skip) for each in numbers)
    got = small.run(noise=noise_for(small.model, small.plan, SEEDED))
    want = sample(small.model, small.plan, SEEDED)
    assert float((got - want).abs().max() / want.abs().max()) < 3e-6


def test_a_graph_that_answers_otherwise_never_takes_its_name(
    small: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = onnx_graph.linked

    def tampered(*arguments: Any) -> Any:
        proto = real(*arguments)
        weight = next(each for each in proto.graph.initializer if list(each.dims) == [4, 4])
        changed = numpy_helper.to_array(weight).copy()
        changed[0, 0] += 1e-2
        weight.CopyFrom(numpy_helper.from_array(changed, weight.name))
        return proto

    path = tmp_path / "small.onnx"
    path.write_bytes(b"an older file")
    monkeypatch.setattr(onnx_graph, "linked", tampered)
    with pytest.raises(OutputError, match="away from hasten's samples"):
        export_onnx(small.model, small.plan, path)
    assert path.read_bytes() == b"an older file"
    assert [each.name for each in tmp_path.iterdir()] == ["small.onnx"]


def test_noise_that_is_none_is_found(par04: File) -> None:
    proto = copy.deepcopy(par04.proto)
    (node,) = (each for each in proto.graph.node if each.op_type == "RandomNormalLike")
    form = Form("seed", 0, "r-phi-z", "GeV", 8)
    assert check(proto.SerializeToString(), par04.model, par04.plan, form) < AGREEMENT
    next(each for each in node.attribute if each.name == "scale").f = 0.5
    with pytest.raises(OutputError, match="no noise"):
        check(proto.SerializeToString(), par04.model, par04.plan, form)
