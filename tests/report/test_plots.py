from __future__ import annotations

import json
from pathlib import Path

import pytest

from hasten.report import read
from hasten.report.plots import comparable, quality_over_time
from report import runs


@pytest.mark.parametrize("ratio", [0.2, 0.7, 1.012])
def test_however_good_an_arm_is_its_mark_lies_in_the_frame(tmp_path: Path, ratio: float) -> None:
    folder = runs.write(tmp_path)
    facts = json.loads((folder / "result.json").read_text())
    reach = {"value": ratio, "low": ratio - 0.1, "high": ratio + 0.1}
    facts["best"]["distance_ratio"] = reach
    (folder / "result.json").write_text(json.dumps(facts))
    story = read(folder)
    low, high = quality_over_time(story, 700).axes[0].get_ylim()
    assert low < ratio < high
    assert min(arm.ratio.value for arm in comparable(story)) == pytest.approx(ratio, rel=0.02)
    assert low < 1 < 1 + story.judge.margin < high
