"""``hasten sample`` of shower models."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from calo import saved
from hasten import cli
from hasten.data.geometry import SIW
from hasten.data.showers import load_showers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model")
    saved(place)
    return place


def sampled(folder: Path, out: Path, *words: object) -> Result:
    given = ["sample", str(folder), "-o", str(out), "-r", str(short(out.parent))]
    return CliRunner().invoke(cli.app, [*given, *(str(word) for word in words)])


def short(place: Path) -> Path:
    path = place / "short.toml"
    path.write_text('hasten = 1\n[plan]\nsolver = "euler"\ngrid = "karras"\nsteps = 2\n')
    return path


def test_showers_of_given_energies_come_out_as_the_challenge_has_them(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.h5"
    result = sampled(folder, out, "-n", 5, "--energy", "2,50")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out)
    with h5py.File(out) as file:
        assert file["incident_energies"].shape == (5, 1)
        assert file["showers"].shape == (5, 6480)
        assert 'solver = "euler"' in file.attrs["recipe"]
    found = load_showers(out)
    assert found.energies.tolist() == [2e3, 5e4, 2e3, 5e4, 2e3]
    assert found.geometry == SIW
    # a file of showers tells its energies in turn
    again = sampled(folder, tmp_path / "y.h5", "-n", 4, "--energy", out, "--batch", 3)
    assert again.exit_code == 0, again.output
    cells = load_showers(tmp_path / "y.h5").cells
    np.testing.assert_allclose(cells, found.cells[:4], rtol=1e-3, atol=1e-3)


def test_energies_are_drawn_as_in_training_where_none_are_given(
    folder: Path, tmp_path: Path
) -> None:
    assert sampled(folder, tmp_path / "x.npz", "-n", 40).exit_code == 0
    with np.load(tmp_path / "x.npz") as file:
        energies = file["cond"]
        assert file["samples"].shape == (40, 6480)
    assert ((energies >= 1e3) & (energies <= 1e5)).all()
    assert 0.2 < (energies < 1e4).mean() < 0.8  # log-uniform: a half


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("x.h5", ("--energy", "0.5"), ("500 to 500 MeV", "trained from 1000")),
        ("x.h5", ("--energy", "2", "--cond", "3"), ("more than one kind",)),
        ("x.h5", ("--energy", "two"), ("neither a list of energies nor a file",)),
        ("x.h5", ("--class", "1"), ("no classes",)),
        ("x.png", (), ("no pictures", ".npz")),
        ("x.root", (), ("unknown kind of file", ".h5")),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    folder: Path, tmp_path: Path, name: str, words: tuple[str, ...], said: tuple[str, ...]
) -> None:
    result = sampled(folder, tmp_path / name, "-n", 2, *words)
    assert result.exit_code == 2
    for word in said:
        assert word in result.stderr, result.stderr
    assert not (tmp_path / name).exists()


def test_pictures_are_no_showers(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli.app, ["sample", "fashion-uvit", "-n", "1", "-o", str(tmp_path / "x.h5")]
    )
    assert result.exit_code == 2
    assert "no showers" in result.stderr


def test_inspect_tells_of_energies_and_of_the_layer_model(folder: Path) -> None:
    result = CliRunner().invoke(cli.app, ["inspect", str(folder)])
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "energies 1 to 100 GeV, power" in lines
    assert any(line.startswith("beside it layers, ") for line in lines)
    assert any("dpmpp_2m karras 4" in line for line in lines)
