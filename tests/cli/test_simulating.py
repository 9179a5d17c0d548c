from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from hasten.cli import simulating
from hasten.data.energies import LAWS
from hasten.data.geometry import GEOMETRIES
from hasten.data.gflash import DS2_LIKE, PRESETS
from hasten.data.showers import load_showers
from test_cli import failed, hasten


def gflash(out: Path, *words: object) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    result = hasten("data", "gflash", "-o", out, *words)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out)
    with h5py.File(out) as file:
        return file["incident_energies"][:], file["showers"][:], dict(file.attrs)


def test_what_is_written_can_be_drawn_again(tmp_path: Path) -> None:
    energies, showers, facts = gflash(tmp_path / "x.h5", "-n", 12, "--seed", 3)
    assert energies.shape == (12, 1)
    assert showers.shape == (12, 6480)
    assert energies.dtype == showers.dtype == np.float32
    rng = np.random.default_rng(3)
    expected = (1e3 * 1e3 ** rng.random(12)).astype(np.float32)
    np.testing.assert_allclose(energies[:, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(showers, DS2_LIKE.draw(energies[:, 0], rng))
    assert facts["preset"] == "ds2-like"
    assert facts["units"] == "MeV"
    assert facts["seed"] == 3
    assert facts["geometry"] == "siw"
    assert "GFlash" in facts["source"]


def test_energies_are_given_in_gev(tmp_path: Path) -> None:
    energies, _, facts = gflash(tmp_path / "x.hdf5", "-n", 5, "--energy", "1,0.5,100")
    assert energies[:, 0].tolist() == [1e3, 500, 1e5, 1e3, 500]
    assert facts["energies"] == "in turn: 1000, 500, 100000 MeV"
    words = ("--energies", "uniform", "--low", 20, "--high", 21)
    energies, _, _ = gflash(tmp_path / "x.hdf5", "-n", 40, *words)
    assert 20e3 <= energies.min() < 20.2e3
    assert 20.8e3 < energies.max() <= 21e3


def test_presets_and_cells(tmp_path: Path) -> None:
    words = ("--preset", "strict", "--geometry", "siw-fine", "--energy", 10)
    _, showers, facts = gflash(tmp_path / "x.h5", "-n", 4, *words)
    assert showers.shape == (4, 40500)
    assert (facts["response"], facts["spot_shape"]) == (1, np.inf)
    assert showers.sum(1).mean() == pytest.approx(1e4, rel=0.1)
    assert [each.value for each in simulating.Preset] == list(PRESETS)
    assert [each.value for each in simulating.Law] == list(LAWS)
    assert {each.value for each in simulating.Cells} <= GEOMETRIES.keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--energy", "1,ten"), ("no list of energies", "1,10,100")),
        (("--energy", "1", "--low", 2), ("not both",)),
        (("--low", 0.1), ("at 0.1 GeV", "0.5 and 2000 GeV")),
        (("--energy", "nan"), ("nan GeV",)),
        (("--low", 30, "--high", 20), ("no range of energies from 30 to 20 GeV",)),
        (("-n", 0), ("at least 1",)),
        (("-n", 10**15), ("do not fit in memory", "--seed")),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, words: tuple[object, ...], said: tuple[str, ...]
) -> None:
    failed(hasten("data", "gflash", "-o", tmp_path / "x.h5", *words), *said)
    assert not list(tmp_path.iterdir())


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    failed(hasten("data", "gflash", "-o", tmp_path / "x.root"), "unknown kind", ".h5", ".npz")


def test_an_archive_holds_the_same_showers(tmp_path: Path) -> None:
    words = ("-n", 5, "--seed", 3, "--energy", 2)
    _, cells, _ = gflash(tmp_path / "x.h5", *words)
    result = hasten("data", "gflash", "-o", tmp_path / "x.npz", *words)
    assert result.exit_code == 0, result.output
    found = load_showers(tmp_path / "x.npz")
    np.testing.assert_array_equal(found.cells, cells)
    assert found.energies.tolist() == [2e3] * 5


def test_without_h5py_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    result = hasten("data", "gflash", "-o", tmp_path / "x.h5")
    failed(result, "h5py is not installed", "hasten[showers]")
    assert "drawing" not in result.stderr
