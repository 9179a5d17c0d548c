"""The section of physics, from observables of showers of one law and of another."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import runs

from calo import SMALL
from calo import showers as make
from hasten.measure.physics.observables import observe, spectrum_edges
from hasten.measure.physics.rows import SINGLE, columns, to_rows
from hasten.report import read
from hasten.report.showers import _PANELS, showers, table
from hasten.report.story import Physics


@pytest.fixture(scope="module")
def physics() -> Physics:
    cells, energies = make(2000)
    rows = to_rows(observe(cells, energies, SMALL))
    shifted = to_rows(observe(1.1 * cells[1000:], energies[1000:], SMALL))
    arms = {"baseline": rows[1000:], "best": shifted}
    return Physics(rows[:1000], arms, columns(SMALL), spectrum_edges(SMALL))


def test_rows_hold_what_their_columns_say() -> None:
    cells, energies = make(50)
    seen = observe(cells, energies, SMALL)
    rows, where = to_rows(seen), columns(SMALL)
    held = {name: rows[:, first:last] for name, (first, last) in where.items()}
    assert rows.shape == (50, max(last for _, last in where.values()))
    assert [where[name] for name in SINGLE] == [(k, k + 1) for k in range(len(SINGLE))]
    np.testing.assert_allclose(held["energy"][:, 0], np.log10(energies.numpy()), rtol=1e-6)
    np.testing.assert_allclose(held["response"][:, 0], seen.response, rtol=1e-6)
    np.testing.assert_allclose(held["layers"].sum(1), seen.response, rtol=1e-5)
    np.testing.assert_allclose(held["hits"], seen.hits)
    np.testing.assert_allclose(held["rings"].sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(held["spectrum"].sum(1), seen.hits.sum(1))


def test_separation_sees_a_shift_and_takes_chance_off(physics: Physics) -> None:
    names, rows = table(physics)
    assert names == ("separation × 1000", "Baseline", "hasten", "chance")
    response = next(row for row in rows if row[0] == "response")
    (same, reach), (other, _) = (map(float, cell.split(" ± ")) for cell in response[1:3])
    assert abs(same) < 2 * reach
    assert other > 200
    # to leading order; the shares themselves are estimated
    assert float(response[3]) == pytest.approx(1000 * (29 / 4 * 2 / 1000 + 1 / 1001), rel=0.03)
    few = dataclasses.replace(physics, arms={"best": physics.arms["best"][:100]})
    assert table(few)[1][0][1] == "too few"


def test_the_panels_draw_means_and_shares(physics: Physics) -> None:
    panels = {panel.title: panel for panel in _PANELS}
    profile = panels["longitudinal profile"]
    height, error = profile.curve(physics, physics.reference, profile.edges(physics))
    layers = physics.part(physics.reference, "layers")
    np.testing.assert_allclose(height, layers.mean(0), rtol=1e-5)
    np.testing.assert_allclose(error, layers.std(0) / 1000**0.5, rtol=1e-4)
    response = panels["response"]
    share, _ = response.curve(physics, physics.reference, response.edges(physics))
    assert share.sum() == pytest.approx(1)
    means = panels["mean response"]
    edges = means.edges(physics)
    found = [means.curve(physics, rows, edges)[0] for rows in physics.arms.values()]
    assert edges[0] == pytest.approx(1, rel=0.05)
    assert edges[-1] == pytest.approx(100, rel=0.05)
    np.testing.assert_allclose(found[1] / found[0], 1.1, rtol=1e-3)
    widths = panels["resolution"]
    narrow, _ = widths.curve(physics, physics.reference, edges)
    # the response of these showers scatters by .5 / sqrt(E / MeV) about .9
    middle = np.sqrt(edges[:-1] * edges[1:]) * 1e3
    np.testing.assert_allclose(narrow, 0.5 / 0.9 / np.sqrt(middle), rtol=0.25)


def test_a_run_without_showers_has_no_section(physics: Physics, tmp_path: Path) -> None:
    story = read(runs.write(tmp_path))
    assert showers(story) is None
    shown = showers(dataclasses.replace(story, physics=physics))
    assert shown is not None
    assert shown.text.startswith("1\u202f000 showers of every arm and 1\u202f000 real ones")
    assert shown.plot.count("<svg") == 2
