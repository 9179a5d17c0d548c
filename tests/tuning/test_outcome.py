from __future__ import annotations

import pytest

from hasten.tuning.outcome import in_seconds


def test_seconds_agree_with_speedups_though_the_machine_changed_its_pace() -> None:
    baseline: dict[str, object] = {"seconds_per_sample": 9.0}
    rival = {"speedup": 8.0, "pairs": [[0.4, 0.05], [0.4, 0.05], [0.4, 0.05]]}
    best = {"speedup": 10.0, "pairs": [[0.8, 0.08], [0.8, 0.08], [0.8, 0.08], [0.8, 0.08]]}
    in_seconds(baseline, [rival, best])
    assert baseline["seconds_per_sample"] == pytest.approx(0.8)
    assert rival["seconds_per_sample"] == pytest.approx(0.1)
    assert best["seconds_per_sample"] == pytest.approx(0.08)
