from __future__ import annotations

import pytest

from hasten.tuning.outcome import in_seconds, sentence


def test_seconds_agree_with_speedups_though_the_machine_changed_its_pace() -> None:
    baseline: dict[str, object] = {"seconds_per_sample": 9.0}
    rival = {"speedup": 8.0, "pairs": [[0.4, 0.05], [0.4, 0.05], [0.4, 0.05]]}
    best = {"speedup": 10.0, "pairs": [[0.8, 0.08], [0.8, 0.08], [0.8, 0.08], [0.8, 0.08]]}
    in_seconds(baseline, [rival, best])
    assert baseline["seconds_per_sample"] == pytest.approx(0.8)
    assert rival["seconds_per_sample"] == pytest.approx(0.1)
    assert best["seconds_per_sample"] == pytest.approx(0.08)


def test_the_sentence_claims_no_more_than_the_verdicts() -> None:
    fast = {"speedup": 12.44, "fingerprint": "a"}
    assert sentence(fast, fast, None, 0.05).endswith("to which the search added nothing")
    assert sentence(fast, {"speedup": 11.0, "fingerprint": "b"}, None, 0.05) == (
        "12.4 times faster than the baseline, with its distance to the reference within 5%; "
        "fewer steps alone reach 11.0 times"
    )
    assert sentence(None, None, None, 0.025).endswith("was found within 2.5%")
    unsure = {"verdict": "undecided", "n": 100, "verdict_detail": {"n_needed": 107}}
    assert sentence(None, None, unsure, 0.05) == (
        "undecided: 100 samples do not tell whether anything is within; about 107 samples would"
    )
    outside = {"verdict": "outside", "n": 100, "verdict_detail": {"n_needed": None}}
    assert "nothing faster than the baseline is within 0.1%" in sentence(None, None, outside, 0.001)
