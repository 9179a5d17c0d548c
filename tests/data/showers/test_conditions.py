from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.showers import small
from hasten.data.showers import OrderWarning, UnitWarning
from hasten.data.showers.conditions import conditions_from
from hasten.errors import DataError


def test_a_list_is_taken_in_turn() -> None:
    found = conditions_from("1, 10,0.1", 5)
    assert found.dtype == np.float32
    assert found.tolist() == [1000, 10000, 100, 1000, 10000]
    assert conditions_from("1024", 2).tolist() == [1024e3] * 2
    assert conditions_from("1,10,100", 2).tolist() == [1000, 10000]


def test_a_file_gives_each_of_its_energies_once(tmp_path: Path) -> None:
    showers = small.made(40)  # its geometry is not known, and not needed
    path = small.challenge(tmp_path / "a.h5", showers)
    for source in (path, str(path)):
        np.testing.assert_array_equal(conditions_from(source, 40), showers.energies)
    np.testing.assert_array_equal(conditions_from(path, 3), showers.energies[:3])
    np.testing.assert_array_equal(conditions_from(path, 4, split="valid"), showers.energies[32:36])
    with pytest.raises(DataError, match="has 40 incident energies, 41 are needed"):
        conditions_from(path, 41)
    with pytest.raises(DataError, match="has 4 incident energies, 5 are needed"):
        conditions_from(path, 5, split="test")


def test_energies_in_gev_are_warned_of(tmp_path: Path) -> None:
    energies = np.array([1.5, 20, 300], np.float32)
    arrays = {"incident_energies": energies, "showers": np.ones((3, 24))}
    path = small.write(tmp_path / "a.h5", arrays)
    with pytest.warns(UnitWarning, match=r"from 1\.5 to 300 MeV look like GeV") as caught:
        assert conditions_from(path, 3).tolist() == [1.5, 20, 300]
    assert caught[0].filename == __file__
    assert conditions_from(path, 3, energy_scale=1000).tolist() == [1500, 20000, 300000]


def test_a_part_of_a_sorted_file_is_warned_of(tmp_path: Path) -> None:
    energies = np.linspace(1e3, 1e5, 500)
    arrays = {"incident_energies": energies, "showers": np.ones((500, 24))}
    path = small.write(tmp_path / "a.h5", arrays)
    with pytest.warns(OrderWarning, match="as if it were sorted"):
        conditions_from(path, 3, split="test")


def test_a_text_of_numbers_is_a_list_and_a_path_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    showers = small.made(3)
    small.challenge(Path("10"), showers)
    assert conditions_from("10", 1).tolist() == [10000]
    np.testing.assert_array_equal(conditions_from(Path("10"), 3), showers.energies)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "neither a list of energies nor a file"),
        ("1,ten", "neither a list of energies nor a file"),
        ("1;10", "'1;10' is neither"),
        (Path("none.h5"), "'none.h5' is neither"),
        ("1,0", "above 0 and finite, got 1,0"),
        ("-1", "above 0"),
        ("nan", "above 0"),
        ("1e400", "above 0"),
        ("1e37", "above 0"),
    ],
)
def test_what_is_no_energy(
    source: str | Path, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=said):
        conditions_from(source, 3)


def test_none_are_asked_for() -> None:
    with pytest.raises(DataError, match="energies for 0 showers"):
        conditions_from("1", 0)
