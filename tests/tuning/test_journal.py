from __future__ import annotations

from pathlib import Path

import pytest

from hasten.errors import RunError
from hasten.tuning.journal import Journal


def test_what_is_finished_is_answered_from_the_file(tmp_path: Path) -> None:
    calls = []

    def work() -> dict[str, float]:
        calls.append(1)
        return {"value": 0.1 + 0.2}

    first = Journal(tmp_path / "j.jsonl")
    assert first.remember("a", work) == {"value": 0.1 + 0.2}
    assert first.remember("a", work) == {"value": 0.1 + 0.2}
    again = Journal(tmp_path / "j.jsonl")
    assert again.remember("a", work) == {"value": 0.1 + 0.2}
    assert len(calls) == 1
    assert again.replayed == 1
    assert "b" not in again


def test_a_value_is_the_same_when_fresh_and_when_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    assert journal.put("a", {"pair": (1, 2), 3: None}) == {"pair": [1, 2], "3": None}


@pytest.mark.parametrize("kept", range(1, 40, 6))
def test_a_line_cut_off_by_a_crash_is_done_again(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    journal.put("a", 1)
    whole = path.stat().st_size
    journal.put("b", 2)
    path.write_bytes(path.read_bytes()[: whole + kept])
    again = Journal(path)
    assert again.get("a") == 1
    assert "b" not in again
    again.put("b", 3)
    assert dict(Journal(path)) == {"a": 1, "b": 3}


def test_the_clock_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text('{"key": "a", "value": 1, "clock": 1000.0}\n')
    assert 1000 <= Journal(path).clock < 1060


def test_a_damaged_file_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text('{"key": "a", "value": 1, "clock": 0}\nnonsense\n{"key": "b"}\n')
    with pytest.raises(RunError, match="line 2"):
        Journal(path)
