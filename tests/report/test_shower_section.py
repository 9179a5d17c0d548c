"""The section of physics, from observables of showers of one law and of another."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import runs

from calo import SMALL
from calo import showers as make
from hasten.measure.physics.features import ShowerFeatures
from hasten.measure.physics.means import mean_columns
from hasten.measure.physics.observables import observe, spectrum_edges
from hasten.measure.physics.rows import SINGLE, columns, to_rows
from hasten.measure.physics.separation import from_spectra, separation
from hasten.measure.reading import Reading
from hasten.report import read, render
from hasten.report import shower_panels as panels
from hasten.report.shower_maps import compared, images
from hasten.report.shower_table import table
from hasten.report.showers import showers
from hasten.report.story import REAL, Physics


@pytest.fixture(scope="module")
def physics() -> Physics:
    cells, energies = make(2000)
    features = ShowerFeatures.fit(cells, energies, SMALL)
    made = {REAL: cells[:1000], "baseline": cells[1000:], "best": 1.1 * cells[1000:]}
    found: dict[str, Reading] = {}
    for name, some in made.items():
        found[name] = features.read(some, energies[:1000] if name == REAL else energies[1000:])
    rows = {name: np.asarray(reading.seen) for name, reading in found.items()}
    means = {name: np.asarray(reading.means) for name, reading in found.items()}
    real = rows.pop(REAL)
    edges, places = spectrum_edges(SMALL), mean_columns(SMALL)
    return Physics(real, rows, columns(SMALL), edges, means, places)


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


def numbers(cell: str) -> tuple[float, float]:
    value, reach = cell.replace("\N{MINUS SIGN}", "-").split(" ± ")
    return float(value), float(reach)


def test_separation_sees_a_shift_and_takes_chance_off(physics: Physics) -> None:
    names, rows = table(physics)
    assert names == ("separation × 1000", "Baseline", "hasten", "real halves", "chance")
    response = next([cell.value for cell in row] for row in rows if row[0].value == "response")
    (same, reach), (other, _) = (numbers(cell) for cell in response[1:3])
    assert abs(same) < 2 * reach
    assert other > 200
    # to leading order; the shares themselves are estimated
    chance = 1000 * (29 / 4 * 2 / 1000 + 1 / 1001)
    assert float(response[4]) == pytest.approx(chance, rel=0.04)
    few = dataclasses.replace(physics, arms={"best": physics.arms["best"][:100]})
    assert [cell.value for cell in table(few)[1][0][:2]] == ["response", "too few"]


def test_real_halves_are_as_chance_has_it(physics: Physics) -> None:
    """Their floor taken off, next to nothing is left; the worst layer stands out by chance."""
    halves = {row[0].value: row[-2] for row in table(physics)[1]}
    for name, cell in halves.items():
        value, reach = numbers(cell.value)
        assert abs(value) < (3 if name == "the worst of them" else 2) * reach, name
    rows = physics.part(physics.reference, "response")[:, 0]
    wanted = separation(rows[::2], rows[1::2])
    assert 1000 * wanted.floor == pytest.approx(1000 * (29 / 4 * 4 / 1000 + 1 / 501), rel=0.06)
    assert numbers(halves["response"].value)[0] == pytest.approx(
        1000 * (wanted.plain - wanted.floor), abs=0.05
    )


def test_the_table_has_cells_and_layers(physics: Physics) -> None:
    rows = {row[0].value: row for row in table(physics)[1]}
    both = [physics.part(x, "spectrum") for x in (physics.arms["best"], physics.reference)]
    cells = from_spectra(*both)
    assert numbers(rows["cell energies"][2].value)[0] == pytest.approx(
        1000 * cells.corrected.value, rel=0.01
    )
    both = [physics.part(x, "layers") for x in (physics.arms["best"], physics.reference)]
    layers = [separation(*(x[:, k] for x in both)).corrected.value for k in range(6)]
    mean, worst = rows["layer energies, mean"][2], rows["the worst of them"][2]
    assert numbers(mean.value)[0] == pytest.approx(1000 * np.mean(layers), abs=0.05)
    assert numbers(worst.value)[0] == pytest.approx(1000 * max(layers), abs=0.05)
    assert worst.detail == f"layer {np.argmax(layers)}"


def test_the_panels_draw_means_and_shares(physics: Physics) -> None:
    profile = panels.PROFILE[0]
    height, error = profile.curve(physics, REAL, profile.edges(physics))
    layers = physics.part(physics.reference, "layers")
    np.testing.assert_allclose(height, layers.mean(0), rtol=1e-5)
    np.testing.assert_allclose(error, layers.std(0) / 1000**0.5, rtol=1e-4)
    response, means, widths = panels.ENERGY
    share, _ = response.curve(physics, REAL, response.edges(physics))
    assert share.sum() == pytest.approx(1)
    edges = means.edges(physics)
    found = [means.curve(physics, name, edges)[0] for name in physics.arms]
    assert edges[0] == pytest.approx(1, rel=0.05)
    assert edges[-1] == pytest.approx(100, rel=0.05)
    np.testing.assert_allclose(found[1] / found[0], 1.1, rtol=1e-3)
    narrow, error = widths.curve(physics, REAL, edges)
    # the response of these showers scatters by .5 / sqrt(E / MeV) about .9
    middle = np.sqrt(edges[:-1] * edges[1:]) * 1e3
    np.testing.assert_allclose(narrow, 0.5 / 0.9 / np.sqrt(middle), rtol=0.25)
    # nearly normal in a slice of 200: an error of s / sqrt(2 n)
    np.testing.assert_allclose(error, narrow / np.sqrt(2 * 200), rtol=0.35)


def test_every_bin_of_hits_holds_as_many_numbers(physics: Physics) -> None:
    hits = next(panel for panel in panels.MOMENTS if panel.title == "hits")
    for factor in (1, 7):
        rows = physics.reference.copy()
        rows[:, slice(*physics.columns["hits"])] *= factor
        some = dataclasses.replace(physics, reference=rows)
        edges = hits.edges(some)
        assert len(edges) <= panels.BINS + 2
        assert (edges % 1 == 0.5).all()
        assert len(set(np.diff(edges))) == 1
        values = rows[:, slice(*physics.columns["hits"])].sum(1)
        assert ((values > edges[0]) & (values < edges[-1])).mean() > 0.99


def test_profiles_in_slices_add_up_to_the_whole(physics: Physics) -> None:
    energy = 10 ** (physics.part(physics.reference, "energy")[:, 0] - 3)
    whole, _ = panels.PROFILE[0].curve(physics, REAL, np.zeros(0))
    edges = np.geomspace(energy.min(), energy.max(), 4)
    counts = np.histogram(energy, edges)[0]
    heights = [p.curve(physics, REAL, p.edges(physics))[0] for p in panels.BY_ENERGY]
    np.testing.assert_allclose(counts @ heights / 1000, whole, rtol=1e-4)
    assert panels.BY_ENERGY[1].name(physics) == f"{edges[1]:.3g} to {edges[2]:.3g} GeV"
    some = dataclasses.replace(physics, reference=physics.reference[energy > edges[1]])
    some = dataclasses.replace(some, arms={"best": physics.arms["best"]})
    assert all(len(p.edges(some)) == 7 for p in panels.BY_ENERGY)


def test_one_energy_is_one_slice(physics: Physics) -> None:
    rows = physics.reference.copy()
    rows[:, 0] = 4
    one = dataclasses.replace(physics, reference=rows, arms={"best": rows})
    edges = panels.ENERGY[1].edges(one)
    assert edges == pytest.approx([10 / 1.05, 10.5])
    assert panels.ENERGY[1].curve(one, "best", edges)[0].shape == (1,)
    assert len(panels.BY_ENERGY[0].edges(one)) == 7
    assert not len(panels.BY_ENERGY[1].edges(one))


def test_layers_and_sectors_are_drawn_from_means(physics: Physics) -> None:
    cells, energies = make(2000)
    seen = observe(cells[:1000], energies[:1000], SMALL)
    by_title = {panel.title: panel for panel in (*panels.LAYERS, panels.PROFILE[2])}
    for title, values in {
        "x centre": seen.centres[..., 0],
        "y width": seen.widths[..., 1],
        "radius": seen.radii,
        "around the axis": seen.sectors,
    }.items():
        height, error = by_title[title].curve(physics, REAL, np.zeros(0))
        np.testing.assert_allclose(height, values.mean(0), atol=1e-6, err_msg=title)
        np.testing.assert_allclose(error, values.std(0) / 1000**0.5, rtol=1e-2, err_msg=title)
    height, _ = by_title["spread of y width"].curve(physics, REAL, np.zeros(0))
    np.testing.assert_allclose(height, seen.widths[..., 1].std(0), rtol=1e-2)


def test_the_mean_shower_and_its_ratio(physics: Physics) -> None:
    cells, energies = make(2000)
    grid = (cells / energies[:, None]).reshape(2000, 6, 4, 3).sum(2).double().numpy()
    found = images(physics)
    assert found is not None
    real, own, ratio = found
    np.testing.assert_allclose(real, grid[:1000].mean(0), rtol=1e-5)
    np.testing.assert_allclose(own, 1.1 * grid[1000:].mean(0), rtol=1e-5)
    np.testing.assert_allclose(ratio, own / real, rtol=1e-6)  # all of it is known to 10 %
    wide = {name: values * [[1], [3], [1], [1]] for name, values in physics.means.items()}
    vague = images(dataclasses.replace(physics, means=wide))
    assert vague is not None
    assert np.isnan(vague[2]).all()


def test_correlations_of_the_same_showers_do_not_differ(physics: Physics) -> None:
    same = dataclasses.replace(physics, arms={"best": physics.reference})
    found = compared(same)
    assert list(found) == ["hasten", "real halves"]
    assert not found["hasten"].any()
    layers = physics.part(physics.reference, "layers").astype(np.float64)
    halves = [np.corrcoef(layers[k::2].T) for k in (0, 1)]
    np.testing.assert_allclose(found["real halves"], halves[0] - halves[1], atol=1e-6)
    arms = physics.arms | {"fewer_steps": physics.arms["baseline"]}
    found = compared(dataclasses.replace(physics, arms=arms))
    assert list(found) == ["hasten", "Fewer steps", "real halves"]
    # a factor changes no correlation
    np.testing.assert_allclose(found["hasten"], found["Fewer steps"], atol=1e-5)
    assert found["hasten"].any()


def test_a_run_without_showers_has_no_section(physics: Physics, tmp_path: Path) -> None:
    story = read(runs.write(tmp_path))
    assert showers(story) is None
    shown = showers(dataclasses.replace(story, physics=physics))
    assert shown is not None
    assert shown.text.startswith("1\u202f000 showers of every arm and 1\u202f000 real ones")
    assert "earlier version" not in shown.text
    assert [group.title for group in shown.groups] == [
        "Energy",
        "Profiles",
        "Moments and cells",
        "Layer by layer",
        "The mean shower",
        "Correlations of layers",
    ]
    assert all(group.plot.count("<svg") == 2 for group in shown.groups)


@pytest.mark.parametrize("which", ["run", "judge", "cache", "neither"])
def test_what_an_earlier_version_wrote_is_shown_as_far_as_it_goes(
    physics: Physics, tmp_path: Path, which: str
) -> None:
    """A run; or only its judge; or features in its cache, when it was resumed; or nothing."""
    run = runs.write(tmp_path)
    places = {name: list(where) for name, where in physics.columns.items()}
    facts = {"file": "physics.npz", "arms": ["baseline", "best"], "columns": places}
    arrays = {REAL: physics.reference, "edges": physics.edges, **physics.arms}
    if which != "run":
        facts["means"] = {name: list(where) for name, where in physics.mean_columns.items()}
        lost = {"judge": [REAL], "cache": ["baseline", "best"], "neither": []}[which]
        kept = {name: means for name, means in physics.means.items() if name not in lost}
        arrays |= {f"{name}_means": means for name, means in kept.items()}
    np.savez(run / "physics.npz", **arrays)
    path = run / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"physics": facts}))
    story = read(run)
    assert story.physics is not None
    np.testing.assert_array_equal(story.physics.reference, physics.reference)
    page, missing = render(story), which != "neither"
    assert ("earlier version of hasten" in page) == missing
    assert ("The mean shower" in page) == ("Layer by layer" in page) == (not missing)
    assert ("around the axis" in page) == (not missing)
    assert "along the axis" in page
    assert "Correlations of layers" in page
    assert "layer energies, mean" in page
