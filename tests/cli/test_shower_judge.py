"""``hasten data judge``."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from calo import SMALL, shower_model, showers
from hasten import cli
from hasten.adapters.weights import read_tensors
from hasten.data.showers import Showers, save_showers
from hasten.measure.physics.means import mean_columns
from hasten.measure.physics.observables import observe
from hasten.measure.quality import frechet
from hasten.tuning.standard import Standard, settle


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge")
    cells, energies = (each.numpy() for each in showers(4000))
    save_showers(folder / "all.h5", Showers(energies, cells, SMALL, "all"))
    save_showers(folder / "few.h5", Showers(energies[:100], cells[:100], SMALL, "few"))
    save_showers(folder / "held.h5", Showers(energies[3000:], cells[3000:], SMALL, "held"))
    return folder


def make(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["data", "judge", *(str(word) for word in words)])


def standard(judge: Path) -> Standard:
    def never() -> tuple[torch.Tensor, None]:
        raise AssertionError("true showers are there")

    return settle(shower_model(), str(judge), None, never)


def test_a_judge_tells_true_showers_from_shifted_ones(place: Path) -> None:
    result = make(place / "all.h5", "-o", place / "mine")
    assert result.exit_code == 0, result.output
    assert "+1% shift" in result.stdout
    found = standard(place / "mine")
    assert (found.reference.count, found.scout.count) == (400, 1600)
    cells, energies = (each[2000:3000] for each in showers(4000))
    true, off = (
        frechet(found.features(each, energies), found.reference).measurement()
        for each in (cells, 1.02 * cells)
    )
    assert true.low < 0.1
    assert off.low > true.high
    assert found.seen is not None
    assert len(found.seen) == 400
    assert found.means is not None
    held = observe(*(each[3600:] for each in showers(4000)), SMALL)  # the last tenth
    first, last = mean_columns(SMALL)["widths 1"]
    wanted = held.widths[..., 0].mean(axis=0)
    np.testing.assert_allclose(found.means[0, first:last], wanted, rtol=1e-4)


def test_a_judge_of_an_earlier_version_has_no_means(place: Path) -> None:
    if not (place / "mine").exists():
        make(place / "all.h5", "-o", place / "mine")
    copy = shutil.copytree(place / "mine", place / "earlier")
    rows = read_tensors(copy / "seen.safetensors")[0]["seen"]
    save_file({"seen": rows}, copy / "seen.safetensors")
    found = standard(copy)
    assert found.means is None
    assert found.seen is not None
    torch.testing.assert_close(found.seen, rows.float())


def test_other_showers_may_judge(place: Path) -> None:
    words = (place / "all.h5", "--test", place / "held.h5", "-o", place / "other", "--name", "mine")
    assert make(*words).exit_code == 0
    found = standard(place / "other")
    assert (found.reference.count, found.scout.count) == (1000, 2000)
    assert found.reference.data == "mine, 1,000 showers"


def test_too_few_showers_are_refused_and_nothing_is_left(place: Path) -> None:
    result = make(place / "few.h5", "-o", place / "none")
    assert result.exit_code != 0
    assert "showers" in result.stderr
    assert not (place / "none" / "stats.safetensors").exists()
