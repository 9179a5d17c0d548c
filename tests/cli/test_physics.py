"""``hasten physics``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from calo import SMALL, showers
from hasten import cli
from hasten.data.showers import Showers, load_showers, save_showers
from hasten.measure.physics.summary import showers_for_fpd


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("showers")
    cells, energies = (each.numpy() for each in showers(1200))
    save_showers(place / "same.h5", Showers(energies[:400], cells[:400], SMALL, "same"))
    save_showers(place / "off.h5", Showers(energies[:400], 1.1 * cells[:400], SMALL, "off"))
    save_showers(place / "true.h5", Showers(energies[400:], cells[400:], SMALL, "true"))
    save_showers(place / "few.h5", Showers(energies[:50], cells[:50], SMALL, "few"))
    return place


def physics(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["physics", *(str(word) for word in words)])


def test_showers_of_one_law_are_beside_true_ones_and_others_are_not(files: Path) -> None:
    found = {}
    for name in ("same", "off"):
        result = physics(files / f"{name}.h5", files / "true.h5", "--format", "json")
        assert result.exit_code == 0, result.output
        found[name] = json.loads(result.stdout)
    assert found["same"]["n"] == found["same"]["m"] == 400
    response = {
        name: each["judged"]["separations"]["response"]["corrected"] for name, each in found.items()
    }
    assert response["same"]["low"] < 0 < response["same"]["high"]
    assert response["off"]["low"] > 0.1
    assert found["off"]["floor"] == found["same"]["floor"]


def test_a_judge_adds_the_distance_that_verdicts_go_by(files: Path, tmp_path: Path) -> None:
    words = ["data", "judge", str(files / "true.h5"), "--test", str(files / "same.h5")]
    made = CliRunner().invoke(cli.app, [*words, "-o", str(tmp_path / "judge")])
    assert made.exit_code == 0, made.output
    given = ("--truth", files / "same.h5", "--judge", tmp_path / "judge", "--format", "json")
    result = physics(files / "off.h5", files / "true.h5", *given)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["judged"]["distance"]["low"] > found["floor"]["distance"]["high"]
    table = physics(files / "off.h5", files / "true.h5", *given[:-2])
    assert "distance in the judge's features" in table.stdout
    wrong = physics(files / "off.h5", files / "true.h5", "--judge", "fashion")
    assert "looks at no showers" in wrong.stderr


def test_the_table_has_every_observable_and_the_costly_ones_asked_for(files: Path) -> None:
    words = ("--truth", files / "same.h5", "--rows", 300, "--also", "kpd", "--also", "high")
    result = physics(files / "off.h5", files / "true.h5", *words)
    assert result.exit_code == 0, result.output
    for said in (
        "response",
        "ring fractions",
        "cell energies",
        "resolution / true",
        "KPD",
        "AUC",
        "central 68 %",
    ):
        assert said in result.stdout
    assert "RMS difference" in result.stdout
    assert "FPD" not in result.stdout + result.stderr
    assert "warning" not in result.stderr
    assert "300 showers against 300 true ones" in result.stderr


def test_slices_stand_beside_those_of_true_showers(files: Path, tmp_path: Path) -> None:
    true = load_showers(files / "true.h5")
    off = Showers(true.energies, 1.1 * true.cells, SMALL, "off")
    save_showers(tmp_path / "off.h5", off)
    words = (tmp_path / "off.h5", files / "true.h5", "--truth", files / "true.h5")
    found = json.loads(physics(*words, "--format", "json").stdout)
    table = physics(*words).stdout
    for name in ("response", "core"):
        for side in ("judged", "floor"):
            ratios = [each[name]["ratio"] for each in found[side]["slices"] if each[name]]
            assert len(ratios) == 5
            for ratio in ratios:
                shown = f"{ratio['value']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"
                assert shown in table


def test_a_slice_of_the_energy_is_cut_from_all_sides(files: Path) -> None:
    words = (files / "same.h5", files / "true.h5", "--truth", files / "same.h5")
    result = physics(*words, "--low", 3, "--high", 30, "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    energies = {name: load_showers(files / f"{name}.h5").energies for name in ("same", "true")}
    counts = {n: int(((e >= 3e3) & (e <= 3e4)).sum()) for n, e in energies.items()}
    assert (found["n"], found["m"]) == (counts["same"], counts["true"])
    edges = [each["low"] for each in found["judged"]["slices"]]
    assert min(edges) >= 3e3
    assert max(edges) < 3e4
    none = physics(*words, "--low", 300)
    assert none.exit_code == 2
    assert "no showers of 300 to any GeV" in none.stderr


def test_energies_of_another_law_are_warned_of(files: Path, tmp_path: Path) -> None:
    found = load_showers(files / "same.h5")
    high = found.energies > 3e3
    some = Showers(found.energies[high], found.cells[high], SMALL, "high")
    save_showers(tmp_path / "high.h5", some)
    result = physics(tmp_path / "high.h5", files / "true.h5")
    assert result.exit_code == 0, result.output
    assert "incident energies of the two sides differ" in result.stderr


def test_fpd_says_how_many_showers_it_needs(files: Path) -> None:
    words = (files / "off.h5", files / "true.h5", "--truth", files / "same.h5", "--also", "fpd")
    needed = showers_for_fpd(SMALL)
    few = physics(*words, "--rows", needed - 1)
    assert f"FPD needs at least {needed:,} showers" in few.stderr
    assert "FPD" not in few.stdout
    enough = physics(*words, "--rows", needed)
    assert "FPD" in enough.stdout
    assert "FPD" not in enough.stderr


def test_too_few_showers_are_an_error_in_words(files: Path) -> None:
    result = physics(files / "few.h5", files / "true.h5")
    assert result.exit_code == 2
    assert "50 showers" in result.stderr
    assert "150" in result.stderr
