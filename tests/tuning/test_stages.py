from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import small
import torch
from torch import Tensor

from calo import shower_model
from hasten.core.identity import model_fingerprint
from hasten.core.model import Model
from hasten.errors import BudgetError, ModelError
from hasten.loading import load
from hasten.measure.quality import frechet
from hasten.measure.reading import Reading
from hasten.models.mixture import mixture_model
from hasten.recipe import Recipe
from hasten.tuning.settings import Settings
from hasten.tuning.stages import Judging, comfort, planned_samples, samples_needed
from hasten.tuning.standard import ENOUGH, find_judge, settle, settle_given


def verdict(contrast: float | None, se: float | None, n: int = 1000) -> dict[str, Any]:
    return {"contrast": contrast, "se": se, "n": n, "critical": 1.645}


def test_comfort_is_a_probability_that_grows_with_distance_and_samples() -> None:
    assert comfort(verdict(0.0, 1.0), 1000) < 0.2
    assert comfort(verdict(-10.0, 1.0), 1000) > 0.999
    assert comfort(verdict(10.0, 1.0), 10**6) < 1e-6
    values = [comfort(verdict(-2.0, 1.0), n) for n in (500, 1000, 4000, 10**9)]
    assert values == sorted(values)
    assert comfort(verdict(-1.0, 0.0), 1000) == 1.0
    assert comfort(verdict(None, None), 1000) == 0.0


def test_comfort_keeps_its_promise() -> None:
    # many worlds: a truth, what the search saw of it, what the final seeds say
    torch.manual_seed(0)
    truth, se, more = -2.6, 1.0, 4000
    seen = truth + se * torch.randn(20_000)
    final = truth + se / 2 * torch.randn(20_000)
    within = float((final + 1.645 * se / 2 < 0).double().mean())
    told = sum(comfort(verdict(float(t), se), more) for t in seen[:2000]) / 2000
    assert told < within  # it allows for its own doubt
    assert within - told < 0.2


def test_samples_are_those_needed_within_the_caps() -> None:
    settings = Settings(search_samples=500, max_samples=10_000)
    assert planned_samples(settings) == 2000
    assert samples_needed([verdict(-100.0, 1.0)], settings) == 512
    between = samples_needed([verdict(-2.4, 1.0)], settings)
    assert 1000 < between < 2000
    assert between % 256 == 0
    assert samples_needed([verdict(-0.01, 1.0)], settings) == 2000
    assert samples_needed([verdict(+1.0, 1.0)], settings) == 2000
    assert samples_needed([verdict(-0.1, 1.0)], Settings(samples=700)) == 700


@pytest.mark.parametrize(
    "wrong",
    [
        {"margin": 0.0},
        {"margin": float("nan")},
        {"confidence": 1.0},
        {"trials": -1},
        {"samples": 50},
        {"samples": 20_000},
        {"only": "cache"},
        {"dtype": "int8"},
        {"batch": 0},
        {"minutes": -1.0},
    ],
    ids=str,
)
def test_settings_without_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BudgetError) as caught:
        Settings(**wrong)
    assert caught.value.hint


def nothing() -> tuple[Tensor, None]:
    return torch.empty(0), None


def test_without_data_the_models_own_samples_stand_in_and_it_is_said() -> None:
    model = mixture_model()
    torch.manual_seed(0)
    found = settle(model, None, None, lambda: (torch.randn(500, 2), None))
    assert found.against == "own"
    assert "own" in found.reference.data
    found = settle(model, None, torch.randn(500, 2), nothing)
    assert found.against == "data"
    assert "500" in found.reference.data
    assert found.scout is found.reference
    assert not found.apart


def test_the_search_sees_other_real_samples_than_the_verdicts() -> None:
    model, real = mixture_model(), torch.randn(ENOUGH, 2)
    found = settle(model, None, real, nothing)
    assert found.reference.count == found.scout.count == ENOUGH // 2
    assert found.apart
    assert found.reference.fingerprint() != found.scout.fingerprint()
    assert found.reference.just_visible == found.scout.just_visible
    seen = torch.cat([torch.from_numpy(r.features) for r in (found.reference, found.scout)])
    assert len(seen.unique(dim=0)) == len(seen)
    whole = settle(model, None, real, nothing, split=False)
    assert whole.scout is whole.reference
    assert whole.reference.count == ENOUGH
    bundled = settle(load("fashion-uvit"), None, None, nothing)
    assert "train" in bundled.scout.data
    assert "test" in bundled.reference.data
    assert bundled.scout.metric == bundled.reference.metric


@pytest.mark.parametrize(
    ("model", "judge", "says"),
    [
        (
            lambda: load("fashion-uvit"),
            "calo-geant4",
            "looks at showers, and fashion-uvit makes none",
        ),
        (
            lambda: load("calo-geant4"),
            "fashion-judge",
            "looks at images, and calo-geant4 makes none",
        ),
        (shower_model, "calo-geant4", "knows showers in siw, and .* makes them in small"),
    ],
)
@pytest.mark.parametrize("reference", [None, "never-read.h5"])
def test_a_judge_of_other_things_is_refused(
    model: Callable[[], Model], judge: str, says: str, reference: str | None
) -> None:
    with pytest.raises(ModelError, match=says):
        settle(model(), judge, reference, nothing)


def test_a_judge_is_found_by_name_or_folder_or_refused() -> None:
    found = find_judge(mixture_model(), "fashion")
    assert found is not None
    assert find_judge(mixture_model(), str(found)) == found
    assert find_judge(mixture_model(), None) is None
    with pytest.raises(ModelError, match="no such judge") as caught:
        find_judge(mixture_model(), str(Path("no") / "judge"))
    assert "fashion-judge" in caught.value.hint


def test_the_fingerprint_of_a_model_sees_weights_and_facts() -> None:
    first = model_fingerprint(mixture_model())
    assert model_fingerprint(mixture_model()) == first
    moved = mixture_model(variances=(0.04, 0.09, 0.06, 0.051))
    clipped = mixture_model().replace(clip=1.0)
    double = mixture_model(dtype=torch.float64)
    assert len({first, *map(model_fingerprint, (moved, clipped, double))}) == 4
    by_moved, by_clipped = (mixture_model().replace(guide=guide) for guide in (moved, clipped))
    assert len({first, model_fingerprint(by_moved), model_fingerprint(by_clipped)}) == 3


def test_what_meets_mean_and_covariance_alone_is_not_sound() -> None:
    real = small.real()
    standard = settle_given(mixture_model(), None, real)
    assert standard is not None
    others = standard.features.read(real[:1000].double()).features
    torch.manual_seed(0)
    half = torch.linalg.cholesky(others.T.cov())
    normal = others.mean(0) + torch.randn(1000, half.shape[0], dtype=half.dtype) @ half.T
    assert frechet(normal, standard.scout).distance.corrected < 0.1

    def sound(found: Tensor) -> bool:
        session = SimpleNamespace(
            reading=lambda *_: Reading(found),
            arm=lambda *_: frechet(others, standard.scout),
            reference=standard.scout,
            seeds=range(1000),
            better="converged",
        )
        return Judging.sound(session, Recipe(), "")  # type: ignore[arg-type]

    assert sound(standard.features.read(real[1000:2000].double()).features)
    assert not sound(normal)
