"""What the page on showers says is what was measured, column by column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import closeness


def measured(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.25, "high": value + 0.25}


def row(value: float) -> dict[str, Any]:
    part = {"low": 1000.0, "high": 2500.0, "n": 40}
    ratios = {name: {"ratio": measured(value)} for name in ("response", "resolution")}
    return {
        "separations": {name: {"corrected": measured(value)} for name in closeness.POWERS},
        "distance": measured(value + 1),
        "high": measured(value + 2),
        "low": None,
        "fpd": measured(value / 1000),
        "slices": [part | ratios],
    }


def test_every_recipe_has_a_column_and_true_showers_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "calorimeter.md"
    marks = ("<!-- begin m -->\nold\n<!-- end -->\n", "<!-- begin m-energies -->\n<!-- end -->\n")
    page.write_text("before\n" + "between\n".join(marks))
    monkeypatch.setattr(closeness, "DOCS", tmp_path)
    found = {
        name: {
            "physics": {"judged": row(value), "floor": row(0.0), "n": 7, "m": 1234},
            "challenge": {"judged": measured(value + 3), "floor": measured(0.5)},
        }
        for name, value in (("fast", 5.0), ("slow", 6.0))
    }
    facts = tmp_path / "out.json"
    facts.write_text(json.dumps({"model": "m", "reference": "some.h5 test", "rows": found}))
    closeness.page(type("Given", (), {"results": [facts]}))
    lines = page.read_text().splitlines()
    assert lines[0] == "before"
    assert "old" not in lines
    assert "|  | `fast` | `slow` | true showers |" in lines
    ends = "[4.7500, 5.2500] | 6.0000 [5.7500, 6.2500] | 0.0000 [-0.2500, 0.2500] |"
    assert f"| separation of radius | 5.0000 {ends}" in lines
    assert "| FPD x 1000 | 5 | 6 | 0 |" in lines
    assert any(
        line.startswith("| AUC of boosted trees, the challenge's numbers | 8") for line in lines
    )
    assert "n = 7 against 1,234 of some.h5 test." in lines
    assert "| 1 to 2.5 | 5.000 [4.750, 5.250] | 5.000 [4.750, 5.250] | 40 |" in lines
