"""What the page says of a plan's own calibration is what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tailored


def judged(far: float) -> dict[str, Any]:
    sides = {"judged": far, "floor": 0.0}
    figures = {
        side: {
            "distance": {"value": value, "low": value - 0.5, "high": value + 0.5},
            "high": {"value": 0.5 + value / 100, "low": 0.25, "high": 0.75},
        }
        for side, value in sides.items()
    }
    return figures | {"n": 7, "m": 1234, "against": "some.h5 valid"}


def test_every_plan_is_shown_decoded_either_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "calorimeter.md"
    page.write_text("before\n<!-- begin m-tailored -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr(tailored, "PAGE", page)
    row = {"label": "few", "evaluations": 4, "common": judged(9.0), "own": judged(2.0)}
    facts = tmp_path / "out.json"
    facts.write_text(json.dumps({"model": "m", "rows": [row]}))
    tailored.page(type("Given", (), {"out": facts}))
    lines = page.read_text().splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert "old" not in lines
    ends = "[0.250, 0.750]"
    assert (
        f"| few | 4 | 9.00 [8.50, 9.50]; 0.590 {ends} | 2.00 [1.50, 2.50]; 0.520 {ends} |" in lines
    )
    assert f"| *true showers* |  |  | 0.00 [-0.50, 0.50]; 0.500 {ends} |" in lines
    assert "n = 7 against 1,234 of some.h5 valid." in lines
