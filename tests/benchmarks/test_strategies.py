"""Time at equal error, from curves that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from strategies import at_equal_error

ERRORS = np.linspace(0.5, 1.5, 40)


def plan(strategy: str, seconds: float, error: float) -> dict[str, Any]:
    return {"strategy": strategy, "seconds": seconds, "errors": (error * ERRORS).tolist()}


def test_a_curve_shifted_in_time_has_that_ratio_in_any_order() -> None:
    joint = [plan("joint", t, 1 / t**2) for t in (4.0, 5.0, 7.0)]
    behind = [plan("sequential", 1.3 * t, 1 / t**2) for t in (4.0, 5.0, 7.0)]
    for found in (joint + behind, (joint + behind)[::-1]):
        answer = at_equal_error(found)
        assert answer["ratio"] == pytest.approx(1.3)
        assert answer["low"] == pytest.approx(1.3)


def test_curves_that_never_reach_the_same_error_have_none() -> None:
    found = [plan("joint", t, e) for t, e in ((4.0, 0.10), (5.0, 0.09))]
    found += [plan("sequential", t, e) for t, e in ((4.0, 0.5), (5.0, 0.4))]
    assert at_equal_error(found)["ratio"] is None
