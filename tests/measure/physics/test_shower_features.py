from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from made_showers import ODD, SMALL, showers

import hasten.measure.physics.features as module
from hasten.data.geometry import SIW
from hasten.errors import BudgetError, DataError
from hasten.measure.degradations import Shift
from hasten.measure.features import Features
from hasten.measure.physics.conditional import CLIP, Conditional
from hasten.measure.physics.features import ShowerFeatures
from hasten.measure.physics.observables import observe
from hasten.measure.quality import frechet, make_reference, measure_quality
from hasten.measure.reference import Reference


@cache
def fitted() -> ShowerFeatures:
    return ShowerFeatures.fit(*showers(6000), SMALL)


@cache
def reference() -> Reference:
    seen = fitted()(*as_tensors(6000))
    return Reference.of(seen, fitted().name)


def as_tensors(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    cells, energies = showers(n, seed)
    return torch.from_numpy(cells), torch.from_numpy(energies).float()


def test_means_are_0_and_spreads_1_at_every_energy() -> None:
    cells, energies = as_tensors(6000, seed=1)
    seen = fitted()(cells, energies[:, None]).numpy()
    assert seen.shape == (6000, fitted().dims)
    assert seen.dtype == np.float32
    assert np.abs(seen[:, : -len(TILTS)]).max() <= CLIP
    order = np.argsort(energies.numpy())
    for part in np.array_split(order, 6):  # 1000 showers: the mean is known to .03
        some = seen[part, : -len(TILTS)]
        alive = some.std(axis=0) > 0
        assert np.abs(some.mean(axis=0)).max() < 0.15
        assert np.abs(some[:, :5].std(axis=0) - 1).max() < 0.12
        assert alive.mean() > 0.9
        kept = some.std(axis=0)[alive]
        assert 0.9 < np.median(kept) < 1.1
    assert np.abs(seen[:, -len(TILTS) :].std(axis=0) - 1).max() < 0.1


TILTS = ("response", "depth", "radius", "hits")


def test_features_have_names_and_count() -> None:
    seen = fitted()
    assert isinstance(seen, Features)
    assert len(seen.titles) == seen.dims == len(set(seen.titles))
    assert seen.titles[:5] == ("response", "depth", "length", "radius", "hits")
    assert seen.titles[-4:] == tuple(f"{name}, tilt" for name in TILTS)
    assert seen.name.startswith("shower features small v1")
    other = ShowerFeatures.fit(*showers(1000, seed=9), SMALL)
    assert other.name != seen.name  # fixed on other showers, so another metric
    cells = np.random.default_rng(0).exponential(1.0, (300, SIW.cells)).astype(np.float32)
    assert ShowerFeatures.fit(cells, np.linspace(1e3, 1e5, 300), SIW).dims == 60


def test_a_shower_is_seen_alone() -> None:
    cells, energies = as_tensors(600, seed=2)
    seen = fitted()(cells, energies)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fitted()(cells[order], energies[order]), seen[order])
    torch.testing.assert_close(fitted()(cells[300:301], energies[300:301]), seen[300:301])
    shaped = cells.reshape(600, 12, 6, 4)
    torch.testing.assert_close(fitted()(shaped, energies), seen)


def test_each_feature_answers_to_its_name() -> None:
    cells, energies = as_tensors(500, seed=3)
    before = fitted()(cells, energies)

    def moved(changed: torch.Tensor) -> dict[str, float]:
        by = (fitted()(changed, energies) - before).mean(dim=0)
        return dict(zip(fitted().titles, by.tolist(), strict=True))

    up = moved(cells * 1.01)
    assert up["response"] > 0.2
    assert up["depth"] == pytest.approx(0, abs=1e-3)
    assert max(up[name] for name in up if name.startswith("rings")) < 1e-3
    back = torch.zeros_like(cells)
    back[:, 24:] = cells[:, :-24]  # one layer deeper
    deeper = moved(back)
    assert deeper["depth"] > 0.5
    assert deeper["energy of layers 0"] < -0.5
    assert abs(deeper["rings 0"]) < 0.5
    wider = moved(cells.reshape(500, 72, 4).roll(1, dims=2).reshape(500, 288))
    assert wider["radius"] > 3
    assert wider["rings 0"] < -3
    assert abs(wider["response"]) < 1e-3
    half = cells.clone()
    half.reshape(500, 12, 6, 4)[:, :, :3] *= 1.5  # sectors from -pi to 0
    assert moved(half)["centre 2 of layers 0"] < -0.5
    assert abs(moved(half)["centre 1 of layers 0"]) < 0.1
    more = cells.clone()
    more.reshape(500, 12, 24)[:, 5, -6:] += 0.1  # hits of hardly any energy
    added = moved(more)
    assert added["hits"] > 0.1
    assert abs(added["response"]) < 0.01
    groups = [name for name in added if name.startswith("hits of layers")]
    assert sum(added[name] > 0.1 for name in groups) == 1
    grouping = fitted().grouping
    dark = grouping.columns(observe(np.zeros((1, 288)), [1e4], SMALL))
    assert dark["radius of layers"][0].tolist() == pytest.approx(list(grouping.radius))
    assert (dark["spread of layers"] > 0).all()
    few = moved(torch.where(cells > 50, cells, 0))
    bands = [few[name] for name in few if name.startswith("cells")]
    assert few["hits"] < -5
    assert min(bands) < -1
    assert bands[-1] == 0  # the hot cells are still there


def test_a_percent_of_energy_is_visible_and_truth_is_not() -> None:
    cells, energies = as_tensors(2000, seed=4)
    truth = frechet(fitted()(cells, energies), reference()).distance
    assert abs(truth.corrected) < 3 * truth.se
    shifted = frechet(fitted()(Shift(0.01)(cells), energies), reference()).distance
    assert shifted.corrected - truth.corrected > 3 * shifted.se
    assert Shift(0.01).name == "+1% shift"


def test_shifts_that_cancel_over_the_energies_are_visible() -> None:
    cells, energies = as_tensors(2000, seed=4)
    at = torch.log(energies)
    tilt = 0.02 * (at - at.mean()) / at.std()
    seen = dict(
        zip(fitted().titles, fitted()(cells * (1 + tilt[:, None]), energies).T, strict=True)
    )
    assert abs(seen["response"].mean()) < seen["response, tilt"].mean() - 0.2


def test_without_fitting_energies_there_is_no_answer() -> None:
    cells, energies = as_tensors(10)
    with pytest.raises(DataError, match="given their incident energies") as caught:
        fitted().read(cells)
    assert "MeV" in caught.value.hint
    with pytest.raises(DataError, match="10 samples but 9"):
        fitted().read(cells, energies[:9])
    with pytest.raises(DataError, match="but the reference showers have"):
        fitted().read(cells, energies / 1000)  # GeV
    with pytest.raises(DataError, match="but the reference showers have"):
        fitted().read(cells, energies * 2)
    fitted().read(cells, torch.full((10, 1), 1e5 * 1.01))  # rounding at the ends is none
    with pytest.raises(BudgetError, match="100 reference showers"):
        ShowerFeatures.fit(*showers(100), SMALL)


def test_features_survive_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "features.safetensors"
    fitted().save(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    again = ShowerFeatures.load(path)
    assert (again.name, again.dims, again.titles) == (
        fitted().name,
        fitted().dims,
        fitted().titles,
    )
    assert again.geometry == SMALL
    cells, energies = as_tensors(50, seed=5)
    assert torch.equal(again(cells, energies), fitted()(cells, energies))
    with pytest.raises(DataError, match="cannot be read"):
        ShowerFeatures.load(tmp_path / "none")
    with monkeypatch.context() as patch:
        patch.setattr(module, "VERSION", 2)
        with pytest.raises(DataError, match="version 1, this is 2"):
            ShowerFeatures.load(path)
    from safetensors.numpy import save_file

    save_file({"mean": np.zeros(2)}, tmp_path / "other")
    with pytest.raises(DataError, match="does not hold"):
        ShowerFeatures.load(tmp_path / "other")


def test_any_geometry_and_few_energies_will_do() -> None:
    rng = np.random.default_rng(0)
    energies = rng.choice([10.0, 100.0], 600)
    cells = rng.exponential(1.0, (600, ODD.cells)) * energies[:, None]
    cells[:, -1] = 0  # nothing ever falls here
    seen = ShowerFeatures.fit(cells, energies, ODD)
    found = seen(torch.from_numpy(cells), torch.from_numpy(energies)).numpy()
    for energy in (10, 100):
        some = found[energies == energy, :-4]
        assert np.abs(some.mean(axis=0)).max() < 0.1
        assert np.abs(some.std(axis=0)[:4] - 1).max() < 0.1
    alone = ShowerFeatures.fit(cells, np.full(600, 50.0), ODD)
    found = alone(torch.from_numpy(cells), torch.full((600,), 50.0)).numpy()
    assert np.isfinite(found).all()
    assert not found[:, -4:].any()  # one energy, no tilt


def test_references_of_showers_are_made_with_their_energies() -> None:
    cells, energies = as_tensors(1500, seed=6)
    more, at = as_tensors(600, seed=7)
    made = make_reference(
        fitted(),
        cells,
        data="made",
        degrade=Shift(0.02),
        train=more,
        cond=energies,
        train_cond=at,
    )
    assert made.just_visible > 0.1
    assert made.floor["training data"].low < 0
    found = measure_quality(fitted(), more, made, at)
    assert found.distance.value == made.floor["training data"].value
    assert found.accuracy is None


def test_the_conditional_law_is_recovered() -> None:
    rng = np.random.default_rng(1)
    energies = np.exp(rng.uniform(0, 5, 20_000))
    x = np.log(energies)
    truth = np.stack([np.sin(x), 3 * x], axis=1), np.stack([np.exp(-0.4 * x), 1 + 0 * x], axis=1)
    table = truth[0] + truth[1] * rng.standard_normal((20_000, 2))
    law = Conditional.fit(table, energies)
    z = law(truth[0] + truth[1], energies)  # one standard deviation up, everywhere
    assert np.abs(z - 1).max() < 0.15
    assert np.abs(law.tilt(energies).mean()) < 1e-9
    assert law.tilt(energies).std() == pytest.approx(1)
    assert np.abs(law(truth[0] + 100 * truth[1], energies) == CLIP).all()
    # what never varies stays 0, and what varies at one end only is not blown up at the other
    still = np.stack([np.full(20_000, 7.0), np.where(x > 2.5, table[:, 0], 0)], axis=1)
    z = Conditional.fit(still, energies)(still, energies)
    assert np.abs(z[:, 0]).max() < 1e-12
    assert np.abs(z[x < 2, 1]).max() < 2
    # a rare count is clipped, and its mean is 0 all the same
    rare = (rng.random((20_000, 1)) < 0.02).astype(np.float64)
    z = Conditional.fit(rare, energies)(rare, energies)
    assert z.max() == CLIP
    assert abs(z.mean()) < 0.05
