from __future__ import annotations

import json
from pathlib import Path

import pytest

from hasten.errors import RunError
from hasten.report.story import read
from report import runs


def test_reads_what_was_written(tmp_path: Path) -> None:
    story = read(runs.write(tmp_path / "run"))
    assert story.best is not None
    assert story.hero is story.best
    assert story.best.nfe == 8
    assert story.best.full_evaluations == 6
    assert story.best.ratio.low < story.best.ratio.value < story.best.ratio.high
    assert [arm.role for arm in story.trio] == ["baseline", "fewer_steps", "best"]
    assert story.samples["best"].shape == (16, 1, 28, 28)
    assert story.errors["best"].held.sum() == 2
    assert "hasten = 1" in story.best.toml


def test_result_json_itself_may_be_named(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run")
    assert read(folder / "result.json").folder == folder


def test_judged_arms_appear_once_slowest_first(tmp_path: Path) -> None:
    story = read(runs.write(tmp_path / "run"))
    seconds = [arm.seconds for arm in story.judged]
    assert seconds == sorted(seconds, reverse=True)
    prints = [arm.fingerprint for arm in story.judged]
    assert len(prints) == len(set(prints))
    # `best` is among the finalists too: it keeps its own role
    assert [arm.role for arm in story.judged].count("best") == 1


def test_without_a_best_the_closest_is_the_hero(tmp_path: Path) -> None:
    story = read(runs.write(tmp_path / "run", outcome="undecided"))
    assert story.best is None
    assert story.hero is story.closest is not None


def test_missing_arrays_are_no_error(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run")
    (folder / "samples.npz").unlink()
    (folder / "errors.npz").unlink()
    story = read(folder)
    assert not story.samples
    assert not story.errors


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no run here"),
        ("{", "unreadable"),
        ('{"hasten": 2}', "schema"),
        ('{"hasten": 1, "model": "x"}', "cannot be understood"),
        ("[]", "schema"),
    ],
)
def test_bad_results_are_refused_in_words(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(RunError, match=words) as caught:
        read(tmp_path)
    assert caught.value.where


def test_an_unfinished_run_says_how_to_finish_it(tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text("{}")
    with pytest.raises(RunError, match="not finished") as caught:
        read(tmp_path)
    assert "--resume" in caught.value.hint


def test_damaged_samples_are_refused(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run")
    (folder / "samples.npz").write_bytes(b"PK nonsense")
    with pytest.raises(RunError, match="unreadable") as caught:
        read(folder)
    assert "samples.npz" in caught.value.where


def test_null_is_not_measured(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run")
    facts = json.loads((folder / "result.json").read_text())
    facts["best"]["speedup_interval"] = None
    facts["best"]["distance_ratio"] = None
    (folder / "result.json").write_text(json.dumps(facts))
    best = read(folder).best
    assert best is not None
    assert best.speedup.known
    assert not best.speedup.wide
    assert not best.ratio.known
