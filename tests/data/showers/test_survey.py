from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.showers import small
from hasten.data.showers import open_showers
from hasten.data.showers.survey import energy_law, survey


def test_a_survey_by_hand(tmp_path: Path) -> None:
    cells = np.zeros((4, 24))
    cells[:, 5] = [500, 2000, 3000, 5000]
    cells[1, 7] = 0.25
    energies = np.array([1000, 2000, 4000, 10000])
    path = small.write(
        tmp_path / "a.h5", {"incident_energies": energies, "showers": cells, "angle": energies}
    )
    found = survey(open_showers(path, geometry=small.SMALL))
    assert (found.count, found.files, found.looked) == (4, 1, 4)
    assert found.arrays == {"incident_energies": (4,), "showers": (4, 24), "angle": (4,)}
    ratios = np.array([0.5, 2000.25 / 2000, 0.75, 0.5])
    assert found.response == pytest.approx(ratios.mean())
    assert found.spread == pytest.approx(ratios.std())
    assert found.empty == pytest.approx(91 / 96)
    assert (found.threshold, found.lowest, found.highest) == (0.25, 1000, 10000)
    assert (found.form, found.law, found.advice) == ("CaloChallenge", "too few to tell", None)


def test_it_looks_all_over_the_files(tmp_path: Path) -> None:
    parts = [small.made(4000, seed=seed) for seed in range(2)]
    for number, part in enumerate(parts):
        part.cells[:, 0] = number  # cell 0 is empty in the first file, and in all of the others not
        small.challenge(tmp_path / f"{number}.h5", part)
    files = open_showers(tmp_path, geometry=small.SMALL)
    found = survey(files, look=800)
    assert (found.count, found.files, found.looked) == (8000, 2, 800)
    assert found.empty == pytest.approx((8 - 0.5) / 24)
    assert found.law == "log-uniform"
    starts = [(run.file.name, run.start, len(run)) for run in files.spread(800).runs]
    assert starts == [(f"{k}.h5", start, 100) for k in (0, 1) for start in range(0, 4000, 1000)]


def test_forms_are_told(tmp_path: Path) -> None:
    showers = small.made(3)
    turned = small.par04(showers.cells, (3, 4, 2))
    energies = {"incident_energy": showers.energies}

    def form(arrays: dict[str, np.ndarray]) -> str:
        path = small.write(tmp_path / "a.h5", arrays)
        return survey(open_showers(path, geometry=small.SMALL)).form

    assert form({**energies, "showers": turned}) == "Par04, showers (N, r, phi, z)"
    assert form({"64": turned}) == "Par04, an array for each energy"
    assert (
        form({**energies, "showers": showers.cells.reshape(3, 3, 4, 2)}) == "showers (N, z, phi, r)"
    )


def test_laws_of_energies() -> None:
    rng = np.random.default_rng(0)
    u = rng.random(5000)
    assert energy_law(1000 * 1000**u) == "log-uniform"
    assert energy_law(1000 + 1e6 * u) == "uniform"
    assert energy_law(1000 + 1e6 * u**3) == "no law known"
    assert energy_law(2.0 ** rng.integers(8, 23, 5000)) == "15 values"
    assert energy_law(np.full(10, 65536.0)) == "one value"
    assert energy_law(u[:10]) == "too few to tell"
