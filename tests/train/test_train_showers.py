from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from typer.testing import CliRunner

from hasten import cli
from hasten.adapters.card import load_bundle
from hasten.adapters.cells import Cells
from hasten.adapters.showers import LayerEnergies, Showers, layer_sums
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.data.geometry import SIW
from hasten.data.showers import Showers as Data
from hasten.data.showers import load_showers, save_showers
from hasten.errors import BudgetError, DataError, ModelError, RunError
from hasten.loading import load
from hasten.solvers import stock_plan
from hasten.solvers.loop import sample
from hasten.train import calibrate as calibrating
from hasten.train.run import train_config
from hasten.train.showers import cell_codec, cell_source

CELLS = """
name = "tiny"
kind = "shower"
shape = [45, 16, 9]
process = {name = "edm"}
prediction = {name = "raw", sigma_data = 1.0}
call = {cond = "cond"}
energies = {low = 1000.0, high = 10000.0}
codec = {name = "showers", layers = "layers.toml", soft = 1.0, gap = 1.0}
reference = {speed = {solver = "euler", grid = "karras", steps = 4}}
[net]
factory = "calodit"
shape = [45, 16, 9]
patch = [9, 16, 3]
width = 8
depth = 1
heads = 1
[train]
samples = 32
batch = 8
every = 1
noise = [-0.6, 1.2]
"""
LAYERS = """
name = "layers"
kind = "layers"
shape = [46]
process = {name = "edm"}
prediction = {name = "raw", sigma_data = 1.0}
call = {cond = "cond"}
energies = {low = 1000.0, high = 10000.0}
reference = {speed = {solver = "dpmpp_2m", grid = "karras", steps = 4}}
net = {factory = "layers", numbers = 46, width = 8, depth = 1}
[train]
samples = 32
batch = 8
every = 2
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    incident = np.exp(rng.uniform(np.log(1e3), np.log(1e4), 60)).astype(np.float32)
    cells = rng.dirichlet(np.full(SIW.cells, 0.02), 60) * incident[:, None]
    cells[cells < SIW.threshold] = 0
    data = Data(incident, cells.astype(np.float32), SIW, "made up")
    save_showers(tmp_path / "data.h5", data)
    (tmp_path / "cells.toml").write_text(CELLS)
    (tmp_path / "layers.toml").write_text(LAYERS)
    return tmp_path


def test_both_models_are_trained_and_load_as_one(place: Path) -> None:
    seen: list[tuple[int, int]] = []
    state = train_config(
        place / "cells.toml",
        place / "data.h5",
        place / "run",
        progress=lambda *now: seen.append(now[:2]),
    )
    assert state.step == 4
    assert seen == [(16, 32), (32, 32), (8, 32), (16, 32), (24, 32), (32, 32)]
    model = load(place / "run" / "model")
    codec = model.codec
    assert isinstance(codec, Showers)
    assert isinstance(codec.layers.codec, LayerEnergies)
    assert codec.geometry == SIW
    assert codec.plan.nfe == 4
    incident = torch.tensor([2e3, 9e3])
    found = sample(model, stock_plan(model.process, "euler", "karras", 2), [0, 1], incident)
    assert found.shape == (2, SIW.cells)
    assert ((found == 0) | (found >= SIW.threshold * (1 - 1e-5))).all()
    assert 0.5 < float((found.sum(1) / incident).mean()) < 1.5


def test_the_cells_numbers_are_standard(place: Path) -> None:
    train_config(place / "cells.toml", place / "data.h5", place / "run")
    data = load_showers(place / "data.h5", split="train")
    cells, incident = torch.from_numpy(data.cells), torch.from_numpy(data.energies)
    layers = load_bundle(place / "run" / "model" / "layers")
    inner = layers.codec
    assert isinstance(inner, LayerEnergies)
    codec = cell_codec(cells, SIW, layers, inner.scale)
    clean, told = cell_source(codec, cells, incident).draw(
        torch.arange(len(cells)), torch.Generator().manual_seed(0)
    )
    assert float(clean.mean()) == pytest.approx(0, abs=1e-3)
    assert float(clean.std()) == pytest.approx(1, abs=1e-3)
    assert told is not None
    # turning a shower leaves the sums of its layers, which is all the net is told
    back = codec.decode(clean, told)
    torch.testing.assert_close(layer_sums(back, SIW), layer_sums(cells, SIW), rtol=1e-3, atol=1e-2)


def test_a_training_without_minutes_stops_between_the_models_and_goes_on(place: Path) -> None:
    out = place / "run"
    train_config(place / "cells.toml", place / "data.h5", out, minutes=0)
    assert not (out / "model" / "layers").exists()
    before = load_bundle(out / "layers" / "model").codec
    state = train_config(place / "cells.toml", place / "data.h5", out)
    assert state.step == 4
    after = load_bundle(out / "model" / "layers").codec
    assert repr(after) == repr(before)  # the numbers it began with
    assert load_bundle(out / "model" / "layers").card["training"]["seen"] == 32


def test_a_training_from_a_model_starts_with_its_weights(place: Path) -> None:
    first, again = place / "run" / "model", place / "again" / "model"
    train_config(place / "cells.toml", place / "data.h5", place / "run")
    for path in (place / "cells.toml", place / "layers.toml"):
        path.write_text(path.read_text().replace("batch = 8", "batch = 8\nrate = 0.0\nseed = 1"))
    command = ["train", place / "cells.toml", "--data", place / "data.h5", "-o", place / "again"]
    words = [*map(str, command), "--from", str(first)]
    assert CliRunner().invoke(cli.app, words).exit_code == 0
    for part in (".", "layers"):
        old, new = (load_bundle(folder / part).net.state_dict() for folder in (first, again))
        for name, weights in old.items():
            torch.testing.assert_close(new[name], weights, rtol=1e-3, atol=1e-6)


def test_a_training_from_a_model_of_another_net_is_refused(place: Path) -> None:
    train_config(place / "cells.toml", place / "data.h5", place / "run")
    path = place / "cells.toml"
    path.write_text(path.read_text().replace("width = 8", "width = 16"))
    start = load(place / "run" / "model")
    with pytest.raises(ModelError, match="'tiny'"):
        train_config(path, place / "data.h5", place / "again", start=start)


def test_a_training_does_not_go_on_with_other_batches_or_data(place: Path) -> None:
    train_config(place / "cells.toml", place / "data.h5", place / "run")
    data = load_showers(place / "data.h5")
    other = dataclasses.replace(data, cells=data.cells[::-1], energies=data.energies[::-1])
    save_showers(place / "other.h5", other)
    with pytest.raises(RunError, match=r"48 samples .* and now it is 48 samples"):
        train_config(place / "cells.toml", place / "other.h5", place / "run")
    path = place / "cells.toml"
    path.write_text(path.read_text().replace("batch = 8", "batch = 16"))
    with pytest.raises(RunError, match=r"batches of 8, and now it is .* batches of 16"):
        train_config(path, place / "data.h5", place / "run")


def test_a_layer_model_half_copied_by_a_killed_training_is_copied_again(place: Path) -> None:
    half = place / "run" / "model" / ".layers.part"
    half.mkdir(parents=True)
    (half / "card.toml").write_text("half")
    assert train_config(place / "cells.toml", place / "data.h5", place / "run").step == 4
    assert not half.exists()


def test_a_flow_is_trained_as_well(place: Path) -> None:
    path = place / "cells.toml"
    text = path.read_text().replace('name = "edm"', 'name = "flow"').replace("noise =", "# noise =")
    path.write_text(text.replace('{name = "raw", sigma_data = 1.0}', '{name = "velocity"}'))
    train_config(path, place / "data.h5", place / "run")
    model = load(place / "run" / "model")
    plan = stock_plan(model.process, "euler", "uniform", 4)
    found = sample(model, plan, [0, 1], torch.tensor([2e3, 9e3]))
    assert 0.5 < float(found.sum(1)[0] / 2e3) < 1.5


@pytest.mark.parametrize("scale", ["gap", "logit"])
def test_cells_are_trained_alone_where_no_layer_model_is_named(place: Path, scale: str) -> None:
    path = place / "cells.toml"
    old = 'codec = {name = "showers", layers = "layers.toml", soft = 1.0, gap = 1.0}'
    new = f'codec = {{name = "cells", scale = "{scale}", soft = 1.0, gap = 1.0}}'
    path.write_text(path.read_text().replace(old, new))
    assert train_config(path, place / "data.h5", place / "run").step == 4
    model = load(place / "run" / "model")
    assert isinstance(model.codec, Cells)
    found = sample(model, stock_plan(model.process, "euler", "karras", 2), [0], torch.tensor([2e3]))
    assert found.isfinite().all()
    assert not (place / "run" / "layers").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "error", "says"),
    [
        ("cells.toml", "high = 10000.0", "high = 5000.0", DataError, "trained from 1000 to 5000"),
        ("cells.toml", "high = 10000.0}", 'high = 10000.0, law = "uniform"}', DataError, "law is"),
        ("cells.toml", "energies = {low = 1000.0, high = 10000.0}", "", ModelError, "which energ"),
        ("cells.toml", ", soft = 1.0", "", ModelError, r"missing keys \['soft'\]"),
        ("cells.toml", "soft = 1.0", "sofft = 1.0", ModelError, r"unknown keys \['sofft'\]"),
        (
            "cells.toml",
            "shape = [45, 16, 9]\nprocess",
            "shape = [45, 9]\nprocess",
            DataError,
            "45, 9",
        ),
        ("layers.toml", "reference = ", "about = '' # ", ModelError, "is sampled"),
        ("cells.toml", 'kind = "shower"', 'kind = "layers"', ModelError, "cannot be trained"),
        ("cells.toml", 'name = "showers"', 'name = "pixels"', ModelError, "makes no showers"),
        ("layers.toml", "samples = 32", "", ModelError, "samples"),
        (
            "cells.toml",
            'name = "showers", layers = "layers.toml"',
            'name = "cells", scale = "Logit"',
            ModelError,
            "unknown scale 'Logit'",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_in_words(
    place: Path, file: str, old: str, new: str, error: type[Exception], says: str
) -> None:
    path = place / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(error, match=says):
        train_config(place / "cells.toml", place / "data.h5", place / "run")
    assert not (place / "run" / "model").exists()


def test_a_training_that_has_no_model_yet_names_none(place: Path) -> None:
    words = ["train", place / "cells.toml", "--data", place / "data.h5", "-o", place / "run"]
    command = [str(word) for word in words]
    early = CliRunner().invoke(cli.app, [*command, "--minutes", "0"])
    assert early.exit_code == 0, early.output
    assert early.stdout == ""
    assert "no model" in early.stderr
    done = CliRunner().invoke(cli.app, command)
    assert done.stdout.strip() == str(place / "run" / "model")


def showers_to_calibrate_with(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    incident = np.exp(rng.uniform(np.log(1e3), np.log(1e4), 900)).astype(np.float32)
    cells = rng.dirichlet(np.full(SIW.cells, 0.02), 900) * incident[:, None]
    cells[cells < SIW.threshold] = 0
    cells = cells.astype(np.float32)
    save_showers(path, Data(incident, cells, SIW, "made up"))
    return incident, cells


def test_a_trained_model_is_calibrated_from_the_command_line(place: Path) -> None:
    incident, cells = showers_to_calibrate_with(place / "more.h5")
    folder = place / "run" / "model"
    train_config(place / "cells.toml", place / "more.h5", place / "run")
    words = ["calibrate", str(folder), "--data", str(place / "more.h5"), "-n", "500"]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    model = load(folder)
    assert isinstance(model.codec, Showers)
    assert model.codec.calibration is not None
    assert model.card["training"]["calibrated"] == 500
    assert model.card["reference"]["speed"]["steps"] == 4
    plan = stock_plan(model.process, "heun", "karras", 18)
    energies = torch.from_numpy(incident[:100])
    made = torch.cat([sample(model, plan, [i], energies[i : i + 1]) for i in range(100)])
    hits, true = float((made > 0).float().mean()), float((cells[:100] > 0).mean())
    assert hits == pytest.approx(true, rel=0.2)  # a net of no use, and yet as many hits
    few = stock_plan(model.process, "euler", "karras", 3)
    words += ["-r", "euler:karras:3"]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    own = load(folder)
    assert isinstance(own.codec, Showers)
    assert set(own.codec.tailored) == {few.fingerprint()}
    assert torch.equal(sample(own, plan, [0], energies[:1]), made[:1])
    for steps, said in ((3, True), (4, False)):
        words = ["check", f"euler:karras:{steps}", str(folder)]
        result = CliRunner().invoke(cli.app, words)
        assert result.exit_code == 0, result.output
        assert ("calibration for this plan alone" in result.output) is said
    result = CliRunner().invoke(cli.app, ["inspect", str(folder), "--format", "json"])
    assert json.loads(result.stdout)["own_decoding"] == {few.fingerprint(): few.label}
    result = CliRunner().invoke(cli.app, ["inspect", str(folder)])
    assert f"for samples of {few.label} ({few.fingerprint()})" in result.output
    far, near = (
        abs(float((sample(each, few, range(100), energies) > 0).float().mean()) - true)
        for each in (model, own)
    )
    assert near < 0.5 * far


def test_a_calibration_for_one_plan_needs_one_for_all_and_a_recipe_without_methods(
    place: Path,
) -> None:
    showers_to_calibrate_with(place / "more.h5")
    train_config(place / "cells.toml", place / "more.h5", place / "run")
    words = ["calibrate", str(place / "run" / "model"), "--data", str(place / "more.h5")]
    result = CliRunner().invoke(cli.app, [*words, "-r", "euler:karras:3"])
    assert result.exit_code == 2
    assert "stands beside the one for all" in result.output
    held = '[[method]]\nmethod = "cache"\n[plan]\nsolver = "euler"\ngrid = "karras"\nsteps = 4\n'
    (place / "held.toml").write_text(f'hasten = 1\n{held}reuse = "every:2"\n')
    result = CliRunner().invoke(cli.app, [*words, "-r", str(place / "held.toml")])
    assert result.exit_code == 2
    assert "this recipe has methods" in result.output


def test_what_cannot_calibrate_is_refused_before_anything_is_sampled(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident, cells = showers_to_calibrate_with(place / "more.h5")
    train_config(place / "cells.toml", place / "more.h5", place / "run")
    folder = place / "run" / "model"

    def never(*_: object) -> Tensor:
        raise AssertionError("sampled too early")

    monkeypatch.setattr(calibrating, "sample", never)
    save_showers(place / "beyond.h5", Data(4 * incident, cells, SIW, "beyond"))
    with pytest.raises(DataError, match=r"(?s)trained from 1000 to 10000.*it was trained on"):
        calibrating.calibrate(folder, place / "beyond.h5", 500)
    even = np.random.default_rng(0).uniform(1e3, 1e4, 900).astype(np.float32)
    save_showers(place / "even.h5", Data(even, cells, SIW, "even"))
    with pytest.raises(DataError, match="incident energies are uniform"):
        calibrating.calibrate(folder, place / "even.h5", 500)
    with pytest.raises(BudgetError, match="200 showers are too few"):
        calibrating.calibrate(folder, place / "more.h5", 200)
    with pytest.raises(ModelError, match=r"(?s)no model in such a folder.*calibrated already"):
        calibrating.calibrate(Path("calo-geant4"), place / "more.h5", 500)
    assert not (folder / calibrating.SAMPLED).exists()


def test_a_calibration_that_was_stopped_goes_on(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    showers_to_calibrate_with(place / "more.h5")
    train_config(place / "cells.toml", place / "more.h5", place / "run")
    folder = place / "run" / "model"
    whole = shutil.copytree(folder, place / "whole")

    def stop(done: int, _total: int) -> None:
        if done == 250:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrating.calibrate(folder, place / "more.h5", 500, stop)
    sampled = list[int]()

    def counted(model: Model, plan: Plan, seeds: Sequence[int], cond: Tensor) -> Tensor:
        sampled.append(len(seeds))
        return sample(model, plan, seeds, cond)

    monkeypatch.setattr(calibrating, "sample", counted)
    codec = calibrating.calibrate(folder, place / "more.h5", 500).codec
    assert sum(sampled) == 250
    again = calibrating.calibrate(whole, place / "more.h5", 500).codec
    assert repr(codec) == repr(again)
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}
    assert not (folder / calibrating.SAMPLED).exists()
