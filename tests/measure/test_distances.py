from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from gaussians import TOTAL, paired_noise, planted, population

from hasten.errors import BudgetError, DataError
from hasten.measure.degradations import Blur, Smear
from hasten.measure.features import Flat
from hasten.measure.moments import Gaussian, Jackknife, Moments, jackknife_se, scattered
from hasten.measure.quality import (
    Reference,
    accuracy,
    density_coverage,
    frechet,
    just_visible,
    kid,
    make_reference,
    measure_quality,
)


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def test_the_distance_agrees_with_its_definition() -> None:
    a, b = normal(300, 6), normal(400, 6, 1) @ normal(6, 6, 2) + 0.3
    ca, cb = np.cov(a, rowvar=False), np.cov(b.astype(np.float32), rowvar=False)
    root = scipy.linalg.sqrtm(ca @ cb).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(ca + cb - 2 * root)
    found = Gaussian(a.mean(0), ca).distance(Moments.of(b).all())
    assert found == pytest.approx(expected, rel=1e-6)


def test_dead_features_do_no_harm() -> None:
    a = normal(300, 4)
    dead = np.concatenate([a, np.full((300, 2), 3.0)], axis=1)
    plain, padded = (Reference.of(x, "m") for x in (a, dead))
    other = 1.2 * normal(300, 4, 1)
    padded_other = np.concatenate([other, np.full((300, 2), 3.0)], axis=1)
    expected = frechet(other, plain).distance.corrected
    assert frechet(padded_other, padded).distance.corrected == pytest.approx(expected, rel=1e-6)
    constant = Reference(np.zeros(2), np.zeros((2, 2)), np.zeros((9, 2), np.float32), 9, "m")
    assert frechet(np.ones((60, 2)), constant).distance.plain == pytest.approx(2)


def test_leaving_out_cells_is_the_same_as_summing_the_others() -> None:
    x = normal(173, 3).astype(np.float32)
    cells = Moments.of(x)
    order = np.array_split(scattered(len(x)), 50)
    for k in (10, 25):
        left = cells.groups(k).without_each()
        for g in (0, k - 1):
            size = 50 // k
            kept = [i for j, i in enumerate(order) if not g * size <= j < (g + 1) * size]
            rest = x[np.concatenate(kept)]
            assert left.count[g] == len(rest)
            np.testing.assert_allclose(left.mean[g], rest.mean(0), atol=1e-6)
            np.testing.assert_allclose(left.cov[g], np.cov(rest, rowvar=False), atol=1e-6)


def test_the_correction_removes_the_bias_of_a_plain_distance() -> None:
    rng, real, share = np.random.default_rng(0), population(), 0.01
    found = [
        frechet(planted(share, paired_noise(rng, 500, 1.0)[0]), real).distance for _ in range(25)
    ]
    plain, corrected = (
        np.array([getattr(x, name) for x in found]) / TOTAL for name in ("plain", "corrected")
    )
    assert plain.mean() > 2 * share
    assert corrected.mean() == pytest.approx(share, abs=4 * corrected.std() / 5)


def test_a_finite_reference_adds_nothing() -> None:
    """Real data against other real data of the same law: zero, not the sampling error of both."""
    found = [
        (frechet(normal(600, 16, 2 * i), reference).distance.corrected, reference.bias)
        for i in range(15)
        for reference in [Reference.of(normal(500, 16, 2 * i + 1), "m")]
    ]
    distances, bias = np.array(found).T
    assert bias.mean() > 0.1
    assert abs(distances.mean()) < 4 * distances.std() / np.sqrt(len(distances)) < 0.1


def test_the_jackknife_knows_the_error_of_a_mean() -> None:
    x = np.random.default_rng(0).exponential(size=(5000, 1))
    left = Moments.of(x).groups(25).without_each().mean[:, 0]
    assert jackknife_se(left) == pytest.approx(x.std() / np.sqrt(5000), rel=0.35)


def test_the_jackknife_removes_a_bias_in_one_over_n_exactly() -> None:
    n, truth = 1000, 2.0
    tenths = np.full(10, truth + 7 / (n * 0.9))
    found = Jackknife.of(n, truth + 7 / n, tenths, np.zeros(25))
    assert found.corrected == pytest.approx(truth)


@pytest.mark.parametrize("order", ["cycle", "runs"])
def test_conditions_in_cycles_or_runs_do_not_end_up_in_one_group(order: str) -> None:
    """25 classes far apart: neighbours in one group would make the standard error a fantasy."""
    classes = np.arange(1000) % 25 if order == "cycle" else np.arange(1000) // 40
    x = np.stack([classes / 5.0, normal(1000, 1)[:, 0]], axis=1)
    real = Reference(np.zeros(2), np.eye(2), np.zeros((9, 2), np.float32), 9, "m")
    shuffled = np.random.default_rng(5).permutation(1000)
    assert frechet(x, real).distance.se == pytest.approx(
        frechet(x[shuffled], real).distance.se, rel=0.5
    )


def test_the_order_of_cells_is_fixed_for_ever() -> None:
    order = scattered(1000)
    assert sorted(order) == list(range(1000))
    assert order[:6].tolist() == [410, 821, 366, 503, 254, 566]
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1


def brute_kid(x: np.ndarray, y: np.ndarray) -> float:
    def k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def off(a: np.ndarray) -> float:
        full = k(a, a)
        return float(full.sum() - full.trace()) / (len(a) * (len(a) - 1))

    return off(x) + off(y) - 2 * float(k(x, y).mean())


def test_the_kernel_distance_agrees_with_its_definition() -> None:
    real = Reference.of(normal(200, 5, 1), "m")
    x = (1.1 * normal(90, 5)).astype(np.float32)
    expected = brute_kid(x.astype(np.float64), real.features.astype(np.float64))
    assert kid(x, real).value == pytest.approx(expected, abs=1e-9)


def test_the_kernel_distance_is_unbiased_and_its_interval_right() -> None:
    real = Reference.of(normal(1000, 4, 1), "m")
    few, many = (
        np.array([(m.value, m.high - m.low) for m in [kid(x, real) for x in drawn]])
        for drawn in (
            [0.5 + normal(60, 4, 100 + i) for i in range(100)],
            [0.5 + normal(600, 4, 300 + i) for i in range(20)],
        )
    )
    values, widths = few.T
    error = np.hypot(values.std() / 10, many[:, 0].std() / np.sqrt(20))
    assert abs(values.mean() - many[:, 0].mean()) < 4 * error
    assert widths.mean() / 2 / 1.96 == pytest.approx(values.std(), rel=0.3)


def test_density_and_coverage_know_outliers_from_missing_modes() -> None:
    centres = np.array([[0.0, 0.0], [20.0, 0.0]])
    real = Reference.of(centres[np.arange(600) % 2] + normal(600, 2), "m")
    same = centres[np.arange(600) % 2] + normal(600, 2, 1)
    density, coverage = density_coverage(same, real)
    assert density.value == pytest.approx(1, abs=0.15)
    assert coverage.value > 0.9
    density, coverage = density_coverage(normal(600, 2, 1), real)  # one mode is missing
    assert density.value > 0.8
    assert coverage.value == pytest.approx(0.5, abs=0.06)
    wild = same.copy()
    wild[::2] = [0, 50]  # half of the samples are nowhere near
    density, _ = density_coverage(wild, real)
    assert density.value == pytest.approx(0.5, abs=0.1)
    assert density.low < density.value < density.high


def test_accuracy_counts_the_classes_asked_for() -> None:
    logits = torch.eye(3)[torch.tensor([0, 1, 2, 2])]
    found = accuracy(logits, torch.tensor([0, 1, 2, 0]))
    assert found.value == 0.75
    assert 0.2 < found.low < 0.75 < found.high < 1
    with pytest.raises(DataError):
        accuracy(logits, torch.tensor([0, 1]))


def test_a_just_visible_distance_is_that_of_the_laws() -> None:
    x = normal(800, 10)
    found = just_visible(x, 0.9 * x)
    assert found.corrected == pytest.approx(0.01 * 10, rel=0.1)
    assert just_visible(x, x).plain == pytest.approx(0, abs=1e-8)


def test_blur_keeps_brightness_and_takes_contrast() -> None:
    images = torch.rand(4, 3, 16, 16)
    blurred = Blur(0.5)(images)
    assert blurred.shape == images.shape
    torch.testing.assert_close(Blur(0.5)(torch.ones(1, 1, 8, 8)), torch.ones(1, 1, 8, 8))
    torch.testing.assert_close(blurred.mean(), images.mean(), atol=0.01, rtol=0)
    dot = torch.zeros(1, 1, 9, 9)
    dot[..., 4, 4] = 1
    side = np.exp(-0.5 / 0.25)
    weight = 1 / (1 + 2 * side + 2 * np.exp(-2 / 0.25)) ** 2
    assert Blur(0.5)(dot)[0, 0, 4, 4].item() == pytest.approx(weight, rel=1e-4)
    with pytest.raises(DataError):
        Blur()(torch.zeros(3, 3))


def test_smearing_has_the_stated_size_and_is_the_same_each_time() -> None:
    ones = torch.ones(2000, 10)
    assert (Smear(0.02)(ones) - 1).std().item() == pytest.approx(0.02, rel=0.03)
    assert torch.equal(Smear(0.02)(ones), Smear(0.02)(ones))


def test_a_reference_is_made_from_samples_alone(tmp_path: Path) -> None:
    points = torch.from_numpy(normal(6000, 3)).float()
    train = torch.from_numpy(normal(600, 3, 1)).float()
    made = make_reference(
        Flat((3,)), points, data="points", degrade=Smear(1.0), degradation="smear", train=train
    )
    # smearing by s adds s^2 to the variance of a unit normal
    assert made.just_visible == pytest.approx(3 * (np.sqrt(2) - 1) ** 2, rel=0.3)
    assert made.floor["training data"].low < 0.02
    path = tmp_path / "deep" / "stats.safetensors"
    made.save(path)
    again = Reference.load(path)
    assert again.fingerprint() == made.fingerprint()
    for field in dataclasses.fields(made):
        one, other = getattr(made, field.name), getattr(again, field.name)
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    found = measure_quality(Flat((3,)), points[:600] + 0.5, again, cond=torch.zeros(600))
    assert found.distance.value == pytest.approx(0.75, rel=0.15)
    assert found.accuracy is None  # plain values do not classify
    assert found.to_dict()["distance"]["context"]["metric"] == "values 3"
    with pytest.raises(DataError, match="made with values 3"):
        measure_quality(Flat((4,)), points, again)


def test_what_is_not_a_reference_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        Reference.load(tmp_path / "none.safetensors")
    (tmp_path / "junk").write_bytes(b"junk" * 10)
    with pytest.raises(DataError, match="cannot be read"):
        Reference.load(tmp_path / "junk")
    from safetensors.numpy import save_file

    save_file({"mean": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="does not hold"):
        Reference.load(tmp_path / "other.safetensors")


def test_unsuitable_samples_are_refused_in_words() -> None:
    real = Reference.of(normal(200, 5), "m")
    with pytest.raises(BudgetError, match="49 samples"):
        frechet(normal(49, 5), real)
    with pytest.raises(DataError, match="4 features"):
        frechet(normal(100, 4), real)
    sick = normal(100, 5)
    sick[3, 2] = np.nan
    with pytest.raises(DataError, match="1 of 100"):
        frechet(sick, real)
    with pytest.raises(BudgetError, match="too few for 64"):
        Reference.of(normal(100, 64), "m")
