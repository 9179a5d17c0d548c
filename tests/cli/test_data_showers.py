from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from data.showers import small
from hasten.cli.talk import heard
from hasten.data.showers import load_showers
from test_cli import failed, hasten


def said(text: str) -> str:
    """With any run of blanks and line breaks as one blank."""
    return re.sub(r"\s+", " ", text)


def test_info_of_showers(tmp_path: Path) -> None:
    path = small.challenge(tmp_path / "dataset_2_1.hdf5", small.siw(300))
    result = hasten("data", "info", path)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    for words in (
        "showers 300 in 1 file",
        "form CaloChallenge",
        "incident_energies [300, 1], showers [300, 6480]",
        "geometry siw, 45 x 16 x 9 (layers, sectors, rings), 6,480 cells",
        "GeV, log-uniform",
        "0.8 of the incident energy",
        "empty cells 33.3%",
        "threshold is 0.01515 MeV",
        "in 300 showers",
    ):
        assert words in said(result.stdout)
    facts = json.loads(hasten("data", "info", path, "--format", "json").stdout)
    assert facts["showers"] == 300
    assert facts["arrays"] == {"incident_energies": [300, 1], "showers": [300, 6480]}
    assert facts["geometry"]["name"] == "siw"
    assert facts["energies"]["law"] == "log-uniform"
    assert facts["response"]["mean"] == pytest.approx(0.8, abs=1e-4)
    assert facts["empty"] == pytest.approx(1 / 3)
    assert facts["threshold"] > 0
    assert facts["warning"] is None


def test_info_of_showers_that_look_wrong(tmp_path: Path) -> None:
    showers = small.siw(30)
    arrays = {"incident_energies": showers.energies, "showers": showers.cells / 1000}
    result = hasten("data", "info", small.write(tmp_path / "a.h5", arrays))
    assert result.exit_code == 0
    assert "warning" in result.stderr
    assert "--scale 1000" in result.stderr
    arrays = {"incident_energies": showers.energies, "shower": showers.cells}
    path = small.write(tmp_path / "a.h5", arrays)
    failed(hasten("data", "info", path), "no array 'showers'", "rename it", "a.h5")
    failed(hasten("data", "info", tmp_path / "none.h5"), "no such file")


def test_info_takes_a_geometry_and_axes(tmp_path: Path) -> None:
    showers = small.siw(3)
    turned = small.par04(showers.cells, (45, 16, 9)).reshape(3, -1)
    path = small.write(tmp_path / "a.h5", {"incident_energy": showers.energies, "showers": turned})
    facts = json.loads(hasten("data", "info", path, "--axes", "r-phi-z", "--format", "json").stdout)
    assert facts["form"].startswith("Par04")
    failed(hasten("data", "info", path, "--geometry", "siw-fine"), "this looks like siw")


def test_convert_showers(tmp_path: Path) -> None:
    showers = small.siw(50)
    turned = small.par04(showers.cells, (45, 16, 9))
    path = small.write(tmp_path / "a.h5", {"incident_energy": showers.energies, "showers": turned})
    out = tmp_path / "out.h5"
    result = hasten("data", "convert", path, out, "--split", "train", "--rows", 30)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    assert "30 showers" in result.stderr
    small.same(load_showers(out), showers[:30])
    facts = json.loads(hasten("data", "info", out, "--format", "json").stdout)
    assert facts["split"] == "train"
    assert "the train part" in hasten("data", "info", out).stdout
    with h5py.File(out) as file:
        assert sorted(file) == ["incident_energies", "showers"]


def test_convert_warns_of_units_and_changes_what_it_is_told_to(tmp_path: Path) -> None:
    showers = small.siw(20)
    arrays = {"incident_energies": showers.energies / 1000, "showers": showers.cells / 1000}
    path, out = small.write(tmp_path / "a.h5", arrays), tmp_path / "out.h5"
    result = hasten("data", "convert", path, out)
    assert result.exit_code == 0, result.output
    assert "warning" in result.stderr
    assert "--energy-scale 1000" in result.stderr
    result = hasten("data", "convert", path, out, "--scale", 1000, "--energy-scale", 1000)
    assert "warning" not in result.stderr
    np.testing.assert_allclose(load_showers(out).cells, showers.cells, rtol=1e-5)


def test_options_of_the_other_kind_are_refused(tmp_path: Path) -> None:
    path = small.challenge(tmp_path / "a.h5", small.siw(20))
    out = tmp_path / "out.h5"
    failed(hasten("data", "convert", path, tmp_path / "out"), ".h5, .hdf5 or .npz", code=2)
    words = hasten("data", "convert", path, out, "--name", "x")
    failed(words, "--name means nothing for showers", "leave it out")
    images = tmp_path / "images.npz"
    np.savez(images, images=np.zeros((4, 8, 8), np.uint8))
    for option, value in (
        ("--rows", 1),
        ("--geometry", "siw"),
        ("--axes", "r-phi-z"),
        ("--energy-scale", 2),
    ):
        result = hasten("data", "convert", images, tmp_path / "shards", option, value)
        failed(result, f"{option} means nothing for images")
    failed(
        hasten("data", "convert", images, tmp_path / "shards", "--split", "valid"),
        "images have no valid part",
    )
    failed(hasten("data", "info", images, "--axes", "r-phi-z"), "--axes means nothing for images")


def test_showers_that_cannot_be_read_are_still_showers(tmp_path: Path) -> None:
    missing = hasten("data", "info", tmp_path / "nothere.h5")
    failed(missing, "no such file or folder")
    assert "fashion-mnist" not in missing.stderr
    np.savez(tmp_path / "keys.npz", showers=np.ones((3, 6480)), energies=np.ones(3))
    failed(hasten("data", "info", tmp_path / "keys.npz"), "'incident_energies'", "if 'energies'")
    np.savez(tmp_path / "words.npz", showers=np.array(["a", "b"]), incident_energies=np.ones(2))
    failed(hasten("data", "info", tmp_path / "words.npz"), "is there but holds no numbers")
    np.savez(tmp_path / "images.npz", images=np.zeros((4, 8, 8), np.uint8))
    assert hasten("data", "info", tmp_path / "images.npz").exit_code == 0


def test_other_warnings_are_passed_on() -> None:
    import warnings

    with pytest.warns(RuntimeWarning, match="something else"), heard():
        warnings.warn("something else", RuntimeWarning, stacklevel=1)
