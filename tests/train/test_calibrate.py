"""The spread of a shower model's cells is put right by true showers, for all plans or for one."""

from __future__ import annotations

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
from hasten.adapters.showers import Showers
from hasten.core.model import Model
from hasten.core.plan import Plan, Reuse
from hasten.core.process import EDM
from hasten.data.geometry import SIW
from hasten.data.showers import Showers as Data
from hasten.data.showers import save_showers
from hasten.errors import BudgetError, DataError, ModelError, PlanError
from hasten.loading import load
from hasten.recipe import Recipe
from hasten.solvers import stock_plan
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

    monkeypatch.setattr(calibrating, "sample", counting)
    return found


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
    folder, data = place / "run" / "model", place / "more.h5"
    words = ["calibrate", str(folder), "--data", str(data)]
    result = CliRunner().invoke(cli.app, [*words, "-r", "euler:karras:3"])
    assert result.exit_code == 2
    assert "stands beside the one for all" in result.output
    holds = stock_plan(load(folder).process, "euler", "karras", 2)
    holds = holds.with_reuse([Reuse(), Reuse("hold")])
    with pytest.raises(PlanError, match="holds rows"):
        calibrating.calibrate(folder, data, 500, plan=holds)
    far = stock_plan(EDM(sigma_max=5000.0), "euler", "karras", 2)
    (place / "far.toml").write_text(Recipe(far).dumps())
    result = CliRunner().invoke(cli.app, [*words, "-r", str(place / "far.toml")])
    assert result.exit_code == 2
    assert "sigma" in result.output
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

    with pytest.raises(KeyboardInterrupt):
        calibrating.calibrate(folder, place / "more.h5", 500, stop)
    sampled = counted(monkeypatch)
    codec = calibrating.calibrate(folder, place / "more.h5", 500).codec
    assert sum(sampled) == 250
    again = calibrating.calibrate(whole, place / "more.h5", 500).codec
    assert repr(codec) == repr(again)
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}
    assert not (folder / calibrating.SAMPLED).exists()


def test_a_calibration_leaves_what_others_have_sampled_or_finished(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    showers_to_calibrate_with(place / "more.h5")
    train_config(place / "cells.toml", place / "more.h5", place / "run")
    folder, data = place / "run" / "model", place / "more.h5"
    process = calibrating.calibrate(folder, data, 500).process
    one, two, three = (stock_plan(process, "euler", "karras", steps) for steps in (1, 2, 3))

    def meanwhile(done: int, _total: int) -> None:
        if done == 250:
            calibrating.calibrate(folder, data, 500, plan=two)

    with pytest.raises(KeyboardInterrupt):
        calibrating.calibrate(folder, data, 500, stop, plan=one)
    calibrating.calibrate(folder, data, 600, meanwhile, plan=three)
    sampled = counted(monkeypatch)
    found = calibrating.calibrate(folder, data, 500, plan=one)
    assert sum(sampled) == 250
    assert found.codec.ready_for() == {p.fingerprint(): p.label for p in (one, two, three)}
    assert found.card["training"]["calibrated"] == 500
    assert not (folder / calibrating.SAMPLED).exists()
