from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from hasten.report import tables
from hasten.report.story import Story, read
from hasten.report.words import threads
from report import runs


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return read(runs.write(tmp_path / "run"))


def cell(story: Story, role: str, column: str) -> tables.Cell:
    line = next(line for line in tables.verdicts(story) if line.role == role)
    index = [c.name for c in tables.VERDICTS].index(column)
    return line.cells[index]


def test_every_line_has_every_column(story: Story) -> None:
    assert {len(line.cells) for line in tables.verdicts(story)} == {len(tables.VERDICTS)}


def test_intervals_stand_with_their_values(story: Story) -> None:
    assert cell(story, "best", "ratio") == tables.Cell("1.012", "0.990 to 1.034")
    assert cell(story, "best", "evaluations") == tables.Cell("8", "2 partial")
    assert cell(story, "best", "speed-up").detail == "7.70× to 8.06×"
    assert cell(story, "best", "pairing ρ").value == "0.97"


def test_what_was_not_timed_says_so(story: Story) -> None:
    assert cell(story, "converged", "time per sample").detail == "predicted"
    assert cell(story, "best", "time per sample").detail == ""
    facts = runs.result(story.folder)
    fast = facts["finalists"][0] | {"pairs": [], "speedup": None, "speedup_interval": None}
    (story.folder / "result.json").write_text(json.dumps(facts | {"finalists": [fast]}))
    again = read(story.folder)
    assert cell(again, "finalist", "time per sample").detail == "predicted"
    # without pairs the factor is that of the predicted times
    assert cell(again, "finalist", "speed-up").value == "13.1×"


def test_undecided_says_what_would_decide(story: Story) -> None:
    lines = [line for line in tables.verdicts(story) if line.verdict == "undecided"]
    details = [line.cells[7].detail.replace("\u202f", " ") for line in lines]
    assert details == ["needs 9 500"]


def test_facts(story: Story) -> None:
    judge = tables.judge_facts(story)
    assert judge["features"] == "Fréchet distance, Fashion judge v1"
    assert "3 finalists" in judge["confidence"]
    assert tables.search_facts(story)["trials"] == "180"
    assert "9f2c61aa0b3d4e58" in tables.provenance(story)["run id"]
    assert "margin = 0.05" in tables.provenance(story)["settings"]
    assert tables.provenance(story)["device"].endswith(", 2 threads")


def test_one_thread_is_no_threads() -> None:
    assert [threads(number) for number in (1, 2)] == ["1 thread", "2 threads"]


def test_the_front_is_fastest_first_and_beats_all_others(story: Story) -> None:
    chosen = sorted((p for p in story.points if p.on_front), key=lambda p: p.seconds)
    assert [row[0] for row in tables.front(story)] == [p.label for p in chosen[:15]]
    assert all(a.error > b.error for a, b in itertools.pairwise(chosen))
