"""What the page on solvers says is what was measured, and its times are those of pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import calorimeter
from physics_table import POWERS, SLICED


def measured(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.25, "high": value + 0.25}


def physics(far: float) -> dict[str, Any]:
    return {
        "separations": {name: {"corrected": measured(0.5)} for name in POWERS},
        "slices": [{name: {"ratio": measured(1.5)} for name in SLICED}],
        "high": measured(0.75),
        "distance": measured(far),
    }


def row(recipe: str, evaluations: int, far: float, ratio: float, base: float) -> dict[str, Any]:
    """With times taken while Euler-32 had ``base`` seconds."""
    pair = {"ratio": {"value": ratio}, "seconds_a": {"raw": [base] * 3}}
    sides = {"judged": physics(far), "floor": physics(0.5)}
    times = {f"time_{batch}": pair for batch in calorimeter.PAIRS}
    return {"recipe": recipe, "evaluations": evaluations, "n": 1000, **times} | {
        "physics": sides | {"n": 1000, "m": 3000}
    }


def test_times_are_those_of_the_base_over_ratios_of_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "fastsim.md"
    page.write_text("before\n<!-- begin m -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr(calorimeter, "DOCS", tmp_path)
    rows = [
        row("euler karras 32", 32, 9.0, 1.0, 0.05),
        row("heun karras 256", 511, 3.0, 0.0625, 0.5),  # the machine was ten times slower then
        row("4 steps, own grid and coefficients", 4, 2.0, 5.0, 0.05),
    ]
    del rows[1]["time_100"]
    facts = tmp_path / "out.json"
    facts.write_text(json.dumps({"model": "m", "reference": "some.h5 test", "rows": rows}))
    calorimeter.page(type("Given", (), {"results": [facts]}))
    lines = page.read_text().splitlines()
    assert [lines[0], lines[-1]] == ["before", "after"]
    assert "old" not in lines
    starts = [line for line in lines if line.startswith("| ")]
    assert starts[2].startswith("| euler karras 32 | 32 | 1,000 | 50.0 | 50.0 | 0.500 [")
    assert starts[3].startswith("| heun karras 256 | 511 | 1,000 | 800 |  | 0.500 [")
    assert starts[4].startswith("| 4 steps, own grid and coefficients | 4 | 1,000 | 10.0 | 10.0 |")
    assert starts[5].startswith("| *true showers* |  | 1,000 |  |  |")
    assert (tmp_path / "fastsim.png").read_bytes()[1:4] == b"PNG"
