"""The spread of a shower model's cells is put right by true showers, for all plans or for one."""

from __future__ import annotations

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
from hasten.adapters import made
from hasten.adapters.showers import Showers
from hasten.applying import apply
from hasten.cli import subjects
from hasten.core.identity import model_fingerprint
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.data.geometry import SIW
from hasten.data.showers import Showers as Data
from hasten.data.showers import save_showers
from hasten.errors import BudgetError, DataError, ModelError
from hasten.loading import load
from hasten.preparing import ARTIFACTS
from hasten.solvers.loop import sample
from hasten.train import calibrate as calibrating
from hasten.train.run import train_config


def showers_to_calibrate_with(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    incident = np.exp(rng.uniform(np.log(1e3), np.log(1e4), 900)).astype(np.float32)
    cells = rng.dirichlet(np.full(SIW.cells, 0.02), 900) * incident[:, None]
    cells[cells < SIW.threshold] = 0
    cells = cells.astype(np.float32)
    save_showers(path, Data(incident, cells, SIW, "made up"))
    return incident, cells


def stop(done: int, _total: int) -> None:
    """Somebody stops it in the middle."""
    if done == 250:
        raise KeyboardInterrupt


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Showers that are sampled from now on, batch by batch."""
    found = list[int]()

    def counting(model: Model, plan: Plan, seeds: Sequence[int], cond: Tensor) -> Tensor:
        found.append(len(seeds))
        return sample(model, plan, seeds, cond)

    monkeypatch.setattr(made, "sample", counting)
    return found


def hits(model: Model, text: str, incident: NDArray[np.float32]) -> float:
    """Share of the cells with a reading in showers of a recipe."""
    recipe = subjects.standalone(text)
    assert recipe is not None
    with apply(model, recipe) as fast:
        cells = fast.sample(range(len(incident)), torch.from_numpy(incident), batch=50)
    return float((cells > 0).float().mean())


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
    assert model.codec.true is not None
    assert model.codec.true.gap == model.codec.calibration.gap == 1.0
    assert model.card["training"]["calibrated"] == 500
    assert model.card["reference"]["speed"]["steps"] == 4
    true = float((cells[:100] > 0).mean())
    # a net of no use, and yet as many hits
    assert hits(model, "heun:karras:18", incident[:100]) == pytest.approx(true, rel=0.2)
    few = "euler:karras:3+calibrate"
    result = CliRunner().invoke(cli.app, ["calibrate", str(folder), "-r", few])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(folder / ARTIFACTS)
    (artifact,) = (folder / ARTIFACTS).iterdir()
    assert artifact.name.startswith("calibrate-")
    own = abs(hits(load(folder), few, incident[:100]) - true)
    assert own < 0.5 * abs(hits(model, "euler:karras:3", incident[:100]) - true)


def test_what_came_with_a_folder_is_not_prepared_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident, _ = showers_to_calibrate_with(place / "more.h5")
    folder, few = place / "run" / "model", "euler:karras:2+calibrate"
    train_config(place / "cells.toml", place / "more.h5", place / "run")
    calibrating.calibrate(folder, place / "more.h5", 500)
    result = CliRunner().invoke(cli.app, ["calibrate", str(folder), "-r", few])
    assert result.exit_code == 0, result.output
    elsewhere = shutil.copytree(folder, place / "elsewhere")
    sampled = counted(monkeypatch)
    monkeypatch.setenv("HASTEN_CACHE", str(place / "cache"))
    assert hits(load(elsewhere), few, incident[:10]) > 0
    assert sampled == []
    assert not (place / "cache").exists()
    calibrating.calibrate(elsewhere, place / "more.h5", 600)
    assert sum(sampled) == 600
    hits(load(elsewhere), few, incident[:10])  # the model is another now
    assert sum(sampled) == 1600
    assert (place / "cache").exists()


def test_either_showers_or_a_recipe_are_given(place: Path) -> None:
    showers_to_calibrate_with(place / "more.h5")
    train_config(place / "cells.toml", place / "more.h5", place / "run")
    words = ["calibrate", str(place / "run" / "model")]
    both = ["--data", str(place / "more.h5"), "-r", "euler:karras:3+calibrate"]
    for more in ([], both):
        result = CliRunner().invoke(cli.app, [*words, *more])
        assert result.exit_code == 2
        assert "either the showers" in result.output
    result = CliRunner().invoke(cli.app, [*words, "-r", "euler:karras:3"])
    assert result.exit_code == 2
    assert "nothing to prepare" in result.output
    result = CliRunner().invoke(cli.app, [*words, "-r", "euler:karras:3+calibrate"])
    assert result.exit_code == 2
    assert "how the cells of true showers are spread" in result.output


def test_calibrated_again_a_model_is_the_same(place: Path) -> None:
    showers_to_calibrate_with(place / "more.h5")
    train_config(place / "cells.toml", place / "more.h5", place / "run")
    folder = place / "run" / "model"
    first, second = (calibrating.calibrate(folder, place / "more.h5", 500) for _ in range(2))
    assert model_fingerprint(first) == model_fingerprint(second)


def test_what_cannot_calibrate_is_refused_before_anything_is_sampled(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident, cells = showers_to_calibrate_with(place / "more.h5")
    train_config(place / "cells.toml", place / "more.h5", place / "run")
    folder = place / "run" / "model"

    def never(*_: object) -> Tensor:
        raise AssertionError("sampled too early")

    monkeypatch.setattr(made, "sample", never)
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

    with pytest.raises(KeyboardInterrupt):
        calibrating.calibrate(folder, place / "more.h5", 500, stop)
    sampled = counted(monkeypatch)
    codec = calibrating.calibrate(folder, place / "more.h5", 500).codec
    assert sum(sampled) == 250
    again = calibrating.calibrate(whole, place / "more.h5", 500).codec
    assert repr(codec) == repr(again)
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}
    assert not (folder / calibrating.SAMPLED).exists()
