"""``hasten sample`` of shower models."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from calo import saved
from hasten import cli
from hasten.data.geometry import SIW
from hasten.data.gflash import PRESETS
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
    found = load_showers(tmp_path / "x.npz")
    energies = found.energies
    assert found.cells.shape == (40, 6480)
    assert ((energies >= 1e3) & (energies <= 1e5)).all()
    assert 0.2 < (energies < 1e4).mean() < 0.8  # log-uniform: a half


def test_a_file_of_the_challenge_goes_in_and_one_like_it_comes_out(
    folder: Path, tmp_path: Path
) -> None:
    law = dataclasses.replace(PRESETS["ds2-like"], geometry=SIW)
    incident = np.geomspace(1e3, 1e5, 7).astype(np.float32)
    cells = law.draw(incident, np.random.default_rng(0))
    with h5py.File(tmp_path / "in.hdf5", "w") as file:  # as the challenge has it, and no more
        file["incident_energies"] = incident[:, None]
        file["showers"] = cells
    result = sampled(folder, tmp_path / "out.hdf5", "--energy", tmp_path / "in.hdf5")
    assert result.exit_code == 0, result.output
    with h5py.File(tmp_path / "in.hdf5") as before, h5py.File(tmp_path / "out.hdf5") as after:
        assert set(before) == set(after)
        for name in before:
            assert before[name].shape == after[name].shape
        np.testing.assert_array_equal(after["incident_energies"][:, 0], incident)


def test_energies_beyond_the_training_are_sampled_where_that_is_said(
    folder: Path, tmp_path: Path
) -> None:
    words = ("-n", 2, "--energy", "0.5,200")
    refused = sampled(folder, tmp_path / "x.h5", *words)
    assert refused.exit_code == 2
    assert "--beyond" in refused.stderr
    assert "from 0.5 to 200 GeV" in refused.stderr
    made = sampled(folder, tmp_path / "x.h5", *words, "--beyond")
    assert made.exit_code == 0
    assert "warning     energies from 0.5 to 200 GeV" in made.stderr
    assert load_showers(tmp_path / "x.h5").energies.tolist() == [500.0, 2e5]
    with h5py.File(tmp_path / "x.h5") as file:
        assert file.attrs["beyond"].endswith("trained from 1 to 100")
    within = sampled(folder, tmp_path / "y.h5", "-n", 2, "--energy", "2,50", "--beyond")
    assert "warning" not in within.stderr
    with h5py.File(tmp_path / "y.h5") as file:
        assert "beyond" not in file.attrs


def test_energies_of_any_shape_and_precision_are_one_a_shower(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.array([[2e3], [5e4]]))
    result = sampled(folder, tmp_path / "x.h5", "-n", 2, "--cond", tmp_path / "e.npy")
    assert result.exit_code == 0, result.output
    assert load_showers(tmp_path / "x.h5").energies.tolist() == [2e3, 5e4]
    np.save(tmp_path / "e.npy", np.ones((2, 3)))
    result = sampled(folder, tmp_path / "x.h5", "-n", 2, "--cond", tmp_path / "e.npy")
    assert "one incident energy a shower" in result.stderr


def test_energies_that_look_like_gev_are_warned_of_in_words(folder: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "gev.h5", "w") as file:
        file["incident_energies"] = np.array([[2.0], [50.0]], np.float32)
        file["showers"] = np.full((2, SIW.cells), 1e-3, np.float32)
    result = sampled(folder, tmp_path / "x.h5", "--energy", tmp_path / "gev.h5")
    assert "warning     " in result.stderr
    assert "look like GeV" in result.stderr
    assert "UnitWarning" not in result.stderr


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("x.h5", ("--energy", "0.5"), ("of 0.5 GeV", "trained from 1 to 100 GeV")),
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
    assert ".png or .npz" in result.stderr


def test_a_recipe_that_comes_with_the_model_is_named_where_none_is_asked_for(
    folder: Path, tmp_path: Path
) -> None:
    place = shutil.copytree(folder, tmp_path / "calo")
    words = ["sample", str(place), "-n", "1", "-o", str(tmp_path / "x.npz")]
    card = (place / "card.toml").read_text()
    speed = '[reference.speed]\nsolver = "euler"\ngrid = "karras"\nsteps = 2\n'
    (place / "card.toml").write_text(card + speed)
    bare = CliRunner().invoke(cli.app, words)
    assert bare.exit_code == 0, bare.output
    assert "comes with" not in bare.stderr
    (place / "recipes").mkdir()
    short(place / "recipes").rename(place / "recipes" / "fast.toml")
    assert "comes with the recipe fast: -r fast" in CliRunner().invoke(cli.app, words).stderr
    told = CliRunner().invoke(cli.app, [*words, "-r", "fast"])
    assert told.exit_code == 0, told.output
    assert "comes with" not in told.stderr


def test_inspect_tells_of_energies_and_of_the_layer_model(folder: Path) -> None:
    result = CliRunner().invoke(cli.app, ["inspect", str(folder)])
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "energies 1 to 100 GeV, power" in lines
    assert any(line.startswith("beside it layers, ") for line in lines)
    assert any("dpmpp_2m karras 4" in line for line in lines)
