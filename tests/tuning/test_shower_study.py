"""The whole of a small study of showers: conditions are energies, and physics judges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small import SPEEDS

from calo import SMALL, shower_model, showers, told
from hasten.data.showers import Showers, save_showers
from hasten.errors import DataError, ModelError
from hasten.methods.calibrate import Calibrate
from hasten.recipe import Recipe
from hasten.report import read, render
from hasten.tuning.outcome import Outcome
from hasten.tuning.run import tune
from hasten.tuning.standard import settle_given

SETTINGS = {"margin": 0.1, "trials": 12, "seeds": 8, "search_samples": 128, "samples": 256}
SETTINGS |= {"finalists": 1, "shown": 4, "run_id": "0123456789abcdef", "only": "plan"}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("study")
    cells, energies = showers(1000)
    real = Showers(energies.numpy(), cells.numpy(), SMALL, "made up")
    save_showers(folder / "real.h5", real)
    model = told(shower_model())
    model.card = {"reference": {"speed": {"solver": "euler", "grid": "karras", "steps": 12}}}
    (folder / "run").mkdir()
    (folder / "run" / "speeds.json").write_text(json.dumps(SPEEDS))
    return tune(model, run=folder / "run", reference=folder / "real.h5", **SETTINGS)


def test_physics_judges(outcome: Outcome) -> None:
    facts = json.loads((outcome.folder / "result.json").read_text())
    assert facts["kind"] == "shower"
    assert facts["judge"]["features"].startswith("shower features small v1")
    assert facts["judge"]["reference"] == "real.h5, 1,000 showers"
    assert facts["judge"]["degradation"] == "+1% shift"
    assert facts["judge"]["just_visible"] > 0
    assert facts["baseline"]["label"].startswith("euler karras 12")
    assert facts["best"]["nfe"] < 12


def test_every_arm_has_maps_of_its_own(outcome: Outcome) -> None:
    arms = {name: outcome.facts[name] for name in ("baseline", "best", "fewer_steps", "converged")}
    found = {name: Recipe.from_dict(arm["recipe"]).methods for name, arm in arms.items() if arm}
    assert found.keys() >= {"baseline", "best", "converged"}
    assert set(found.values()) == {(Calibrate(),)}
    assert Recipe.loads((outcome.folder / "best.toml").read_text()).methods == (Calibrate(),)


def test_every_arm_made_showers_of_the_same_energies(outcome: Outcome) -> None:
    with np.load(outcome.folder / "samples.npz") as file:
        assert set(file.files) >= {"seeds", "cond", "baseline", "best"}
        energies = file["cond"]
        assert ((energies >= 1e3) & (energies <= 1e5)).all()
        for arm in ("baseline", "best"):
            response = file[arm].sum(axis=1) / energies
            assert ((response > 0.3) & (response < 2)).all()


def test_what_is_shown_is_kept_of_every_arm(outcome: Outcome) -> None:
    facts = json.loads((outcome.folder / "result.json").read_text())["physics"]
    first, last = facts["means"]["image"]
    layers = slice(*facts["columns"]["layers"])
    with np.load(outcome.folder / facts["file"]) as file:
        for name in ("reference", "baseline", "best", "converged"):
            image = file[f"{name}_means"][0, first:last].reshape(6, 3)
            rows = file[name][:, layers].mean(axis=0, dtype=np.float64)
            np.testing.assert_allclose(image.sum(axis=1), rows, rtol=1e-4, err_msg=name)


def test_the_page_is_written(outcome: Outcome) -> None:
    page = render(read(outcome.folder))
    assert "shower features" in page
    assert "The mean shower" in page


def test_images_are_no_reference_for_showers(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=np.zeros((20, 8, 8), np.uint8))
    with pytest.raises(DataError, match=r"showers|incident"):
        tune(shower_model(), run=tmp_path / "run", reference=tmp_path / "images.npz", **SETTINGS)


def test_showers_of_another_law_of_energies_cannot_judge(tmp_path: Path) -> None:
    cells, _ = showers(300)
    energies = np.random.default_rng(0).uniform(1e3, 1e5, 300).astype(np.float32)
    save_showers(tmp_path / "other.h5", Showers(energies, cells.numpy(), SMALL, "other"))
    with pytest.raises(DataError, match="energies are uniform"):
        tune(shower_model(), run=tmp_path / "run", reference=tmp_path / "other.h5", **SETTINGS)


def test_wrong_data_or_a_wrong_judge_leave_no_folder_behind(tmp_path: Path) -> None:
    """A folder left there would refuse the corrected command."""
    run = tmp_path / "run"
    with pytest.raises(DataError, match="no such file"):
        tune(shower_model(), run=run, reference=tmp_path / "nothere.h5", **SETTINGS)
    with pytest.raises(ModelError, match="no such judge"):
        tune(shower_model(), run=run, judge="nobody", **SETTINGS)
    with pytest.raises(ModelError, match="looks at images"):
        tune(shower_model(), run=run, judge="fashion", **SETTINGS)
    assert not run.exists()


def test_the_judge_on_the_card_is_named_as_such_where_it_does_not_suit() -> None:
    model = shower_model()
    for judge, card, said in (
        ("fashion", {}, "card's is taken"),
        (None, "fashion", "name it with"),
    ):
        model.card = {"judge": {"name": card}} if card else {}
        with pytest.raises(ModelError) as told:
            settle_given(model, judge, "real.h5")
        assert said in str(told.value)


def test_showers_without_energies_cannot_judge(tmp_path: Path) -> None:
    cells, _ = showers(300)
    with pytest.raises(DataError, match="incident energies"):
        tune(shower_model(), run=tmp_path / "run", reference=cells, **SETTINGS)
