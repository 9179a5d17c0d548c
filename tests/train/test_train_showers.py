from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from hasten import cli
from hasten.adapters.card import load_bundle
from hasten.adapters.cells import Cells
from hasten.adapters.showers import LayerEnergies, Showers, layer_sums
from hasten.data.geometry import SIW
from hasten.data.showers import load_showers, save_showers
from hasten.errors import DataError, ModelError, RunError
from hasten.loading import load
from hasten.solvers import stock_plan
from hasten.solvers.loop import sample
from hasten.train.run import train_config
from hasten.train.showers import cell_codec, cell_source


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
