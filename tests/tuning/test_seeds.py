from __future__ import annotations

import numpy as np
import pytest

from hasten.errors import BudgetError
from hasten.models.mixture import mixture_model
from hasten.tuning.seeds import drawn_conditions, stream, trial_seed


def test_streams_are_fixed_long_and_disjoint() -> None:
    names = ["train", "valid", "judge", "final"]
    found = [stream(origin, name, 1000) for origin in (0, 1, "id") for name in names]
    assert len({seed for seeds in found for seed in seeds}) == 12 * 1000
    assert stream(0, "train", 10) == stream(0, "train", 1000)[:10]
    assert max(max(seeds) for seeds in found) < 2**53
    with pytest.raises(BudgetError):
        stream(0, "train", 1 << 21)


def test_a_trials_seed_depends_on_study_and_number_alone() -> None:
    assert trial_seed(3, 5) == trial_seed(3, 5)
    assert len({trial_seed(s, t) for s in range(20) for t in range(20)}) == 400


def test_classes_are_uniform_and_belong_to_their_seed() -> None:
    labels = [k % 10 for k in range(20)]
    model = mixture_model(
        means=np.zeros((20, 2)), variances=[1.0] * 20, weights=[1.0] * 20, labels=labels
    )
    classes = drawn_conditions(model)
    drawn = classes(stream(0, "train", 10_000))
    assert drawn is not None
    counts = np.bincount(drawn.numpy(), minlength=10)
    assert np.square(counts - 1000).sum() / 1000 < 27.9  # chi squared, 9 degrees, one in 1000
    seeds = [7, 123456789, 2**40]
    alone = [int(classes([seed])[0]) for seed in seeds]  # type: ignore[index]
    assert classes(seeds).tolist() == alone  # type: ignore[union-attr]
    assert drawn_conditions(mixture_model())(seeds) is None
