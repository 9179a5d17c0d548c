"""With clocks that are told what to show; nothing here depends on how fast this machine is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from hasten.errors import BudgetError
from hasten.measure.speed import SpeedRatio, compare_speed, time_sampler


class Bench:
    """Samplers that take as long as they are told, and remember who was called."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, ""
        self.inputs: list[tuple[Sequence[int], Tensor | None]] = []

    def clock(self) -> float:
        return self.now

    def sampler(
        self, name: str, seconds: Callable[[int], float]
    ) -> Callable[[Sequence[int], Tensor | None], Tensor]:
        def sample(seeds: Sequence[int], cond: Tensor | None) -> Tensor:
            self.now += seconds(self.calls.count(name))
            self.calls += name
            self.inputs.append((seeds, cond))
            return torch.zeros(len(seeds))

        return sample

    def compare(
        self, a: Callable[[int], float], b: Callable[[int], float], **options: int
    ) -> SpeedRatio:
        pair = self.sampler("a", a), self.sampler("b", b)
        return compare_speed(*pair, [1, 2], torch.ones(2), clock=self.clock, **options)


def test_pairs_are_interleaved_after_warming() -> None:
    bench = Bench()
    found = bench.compare(lambda _: 6.0, lambda _: 2.0, pairs=7, warm=2)
    assert bench.calls == "ab" * 9
    assert all(seeds == [1, 2] and cond is not None for seeds, cond in bench.inputs)
    assert found.ratio.value == found.ratio.low == found.ratio.high == 3.0
    assert found.seconds_a.value == 3.0  # a sample
    assert found.seconds_b.unit == "s/sample"
    assert found.stable
    assert str(found) == "3.00 [3.00, 3.00] times as fast"


def test_a_slow_first_call_is_not_counted() -> None:
    found = Bench().compare(lambda i: 100.0 if i == 0 else 4.0, lambda _: 2.0, pairs=7)
    assert max(found.ratio.raw) == 2.0


def test_a_drifting_machine_does_not_change_the_ratio() -> None:
    found = Bench().compare(lambda i: 4.0 * 1.5**i, lambda i: 2.0 * 1.5**i, pairs=9)
    assert found.ratio.raw == pytest.approx([2.0] * 9)
    assert found.stable
    assert found.variation_a > 0.5


def test_one_hiccup_does_not_change_the_ratio() -> None:
    found = Bench().compare(lambda i: 40.0 if i == 3 else 4.0, lambda _: 2.0, pairs=9)
    assert found.ratio.value == found.ratio.low == found.ratio.high == 2.0
    assert max(found.ratio.raw) == 20.0


def test_a_ratio_that_changes_on_the_way_is_refused() -> None:
    noise = [0.0, 0.05, -0.05, 0.02, -0.02, 0.04, 0.0, 0.01, -0.03, 0.03, 0.0]
    found = Bench().compare(lambda i: (4 if i < 5 else 6) + noise[i], lambda _: 2.0, pairs=10)
    assert not found.stable
    assert "first half" in str(found)
    steady = Bench().compare(lambda i: 4 + noise[i], lambda _: 2.0, pairs=10)
    assert steady.stable
    assert steady.ratio.low < 2 < steady.ratio.high
    assert steady.ratio.low > min(steady.ratio.raw)  # ten pairs give an inner interval


def test_the_record_says_where_and_keeps_the_readings() -> None:
    told = json.loads(json.dumps(Bench().compare(lambda _: 2.0, lambda _: 1.0).to_dict()))
    assert len(told["ratio"]["raw"]) == len(told["seconds_a"]["raw"]) == 9
    facts = told["ratio"]["context"]
    assert facts["batch"] == 2
    assert facts["threads"] == torch.get_num_threads()
    assert {"device", "dtype", "load", "torch", "python", "hasten", "cores"} <= set(facts)


def test_one_sampler_alone() -> None:
    bench = Bench()
    times = [9.0, 2.0, 4.0, 3.0, 8.0]
    found = time_sampler(bench.sampler("a", lambda i: times[i]), [1], repeats=4, clock=bench.clock)
    assert found.raw == (2.0, 4.0, 3.0, 8.0)
    assert found.value == 3.5
    assert found.to_dict()["low"] is None  # four readings have no 95 % interval


def test_too_little_is_refused() -> None:
    with pytest.raises(BudgetError, match="6 pairs"):
        Bench().compare(lambda _: 1.0, lambda _: 1.0, pairs=6)
    with pytest.raises(BudgetError, match="nothing to time"):
        time_sampler(Bench().sampler("a", lambda _: 1.0), [])
    with pytest.raises(BudgetError, match="at least one"):
        time_sampler(Bench().sampler("a", lambda _: 1.0), [1], repeats=0)
