from __future__ import annotations

import enum
import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from hasten.measure.intervals import (
    mean_interval,
    median_interval,
    ratio_interval,
    share_interval,
)
from hasten.measure.result import Measurement, Record, plain


class Colour(enum.StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Nested(Record):
    inner: Measurement
    table: dict[str, object]


def test_everything_becomes_json() -> None:
    figure = Measurement(math.nan, -math.inf, math.inf, 3, "s", raw=(1.0, 2.0))
    record = Nested(
        figure, {"a": np.float32(1.5), "b": torch.ones(2), "c": Colour.RED, "d": (1, None)}
    )
    told = json.loads(json.dumps(record.to_dict(), allow_nan=False))
    assert told["table"] == {"a": 1.5, "b": [1.0, 1.0], "c": "red", "d": [1, None]}
    assert told["inner"]["value"] is None
    assert told["inner"]["raw"] == [1.0, 2.0]
    again = Measurement.from_dict(told["inner"])
    assert (again.low, again.high, again.n, again.unit) == (-math.inf, math.inf, 3, "s")
    assert math.isnan(again.value)
    assert plain(torch.float16) == "torch.float16"
    assert str(Measurement(1.0, 0.5, 2.0, 9, "ms")) == "1 [0.5, 2] ms (n = 9)"


def test_an_interval_of_a_share_is_wilsons() -> None:
    low, high = share_interval(8, 10, 0.95)
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson 1927, by hand
    assert share_interval(0, 10, 0.95)[0] == pytest.approx(0, abs=1e-12)
    assert share_interval(10, 10, 0.95)[1] == pytest.approx(1)
    assert share_interval(0, 0, 0.95) == (0, 1)


@pytest.mark.parametrize("n", [6, 7, 9, 20, 31])
def test_an_interval_of_a_median_covers_it_as_often_as_stated(n: int) -> None:
    draws = np.random.default_rng(n).exponential(size=(4000, n))
    ends = np.array([median_interval(list(row), 0.95) for row in draws])
    covered = ((ends[:, 0] <= math.log(2)) & (math.log(2) <= ends[:, 1])).mean()
    assert 0.94 <= covered < 1  # at least the confidence, up to the noise of this test
    assert n < 9 or covered < 0.985  # and from nine values on not far more


def test_too_few_values_have_no_interval() -> None:
    assert median_interval([1.0] * 5, 0.95) == (-math.inf, math.inf)
    assert mean_interval(np.array([1.0]), 0.95) == (-math.inf, math.inf)


def test_fieller_covers_the_ratio_also_where_the_denominator_is_poorly_known() -> None:
    rng, truth = np.random.default_rng(0), 2.0
    covariance = np.array([[0.08, 0.02], [0.02, 0.04]])  # the denominator's error is 20 % of it
    draws = rng.multivariate_normal([truth, 1.0], covariance, size=4000)
    ends = np.array([ratio_interval(t, b, covariance, 0.95) for t, b in draws])
    covered = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
    assert covered == pytest.approx(0.95, abs=0.015)


def test_fieller_is_the_delta_method_where_the_error_is_small() -> None:
    covariance = np.array([[4.0, 1.0], [1.0, 1.0]]) * 1e-4
    low, high = ratio_interval(3.0, 2.0, covariance, 0.95)
    se = math.sqrt(4e-4 - 2 * 1.5 * 1e-4 + 1.5**2 * 1e-4) / 2
    assert (low, high) == pytest.approx((1.5 - 1.96 * se, 1.5 + 1.96 * se), abs=1e-3)
    assert ratio_interval(1.0, 0.0, covariance, 0.95) == (-math.inf, math.inf)
    assert ratio_interval(1.0, 0.01, covariance, 0.95) == (-math.inf, math.inf)
