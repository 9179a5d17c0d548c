from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from hasten.report import words
from hasten.report.notes import notes
from hasten.report.story import Story, read
from hasten.report.values import Interval
from hasten.solvers import SOLVERS
from report import runs


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return read(runs.write(tmp_path / "run"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.5, "1.50 s"), (0.0214, "21.4 ms"), (3.21e-5, "32.1 µs"), (2e-8, "20.0 ns")],
)
def test_durations_take_the_unit_that_suits(seconds: float, text: str) -> None:
    assert words.duration(seconds).replace("\xa0", " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.012345, "0.0123"), (1.5, "1.50"), (812345, "812345"), (1e-9, "1.00e-09")],
)
def test_digits(value: float, text: str) -> None:
    assert words.digits(value).replace("\u202f", "") == text


def test_what_was_not_measured_is_a_dash() -> None:
    for form in (words.duration, words.digits, words.count, words.factor, words.percent):
        assert form(math.nan) == words.NONE


def test_spans() -> None:
    assert words.span(74) == "1 min 14 s"
    assert words.span(3725) == "1 h 2 min"


def test_samplers_are_named_as_the_papers_name_them(story: Story) -> None:
    assert words.sampler(story.baseline) == "DDIM-50"
    assert story.best is not None
    # a searched grid is not the stock solver, so its label says what it is
    assert words.sampler(story.best) == story.best.label
    for method, said in (("calibrate", True), ("cache", False)):
        recipe = {**story.baseline.recipe, "method": [{"method": method}]}
        arm = dataclasses.replace(story.baseline, recipe=recipe)
        assert (words.sampler(arm) == "DDIM-50") is said


def test_headline_and_sentence_of_a_success(story: Story) -> None:
    assert words.headline(story) == ("7.9×", "faster than DDIM-50")
    sentence = words.verdict_sentence(story).replace("\xa0", " ").replace("\u202f", " ")
    assert "stay within 5 %" in sentence
    assert "0.990 to 1.034" in sentence
    assert "n = 2 000" in sentence


def test_nothing_undecided_is_called_equal(tmp_path: Path) -> None:
    story = read(runs.write(tmp_path / "open", outcome="undecided"))
    _, rest = words.headline(story)
    assert "not yet proven" in rest
    assert "is open" in words.verdict_sentence(story)
    assert "stay within" not in words.verdict_sentence(story).split("is open")[1]


def test_outside_is_said(tmp_path: Path) -> None:
    story = read(runs.write(tmp_path / "outside", outcome="outside"))
    assert "measurably worse" in words.headline(story)[1]
    assert "are not within" in words.verdict_sentence(story).replace("\xa0", " ")


def test_notes_name_every_failure(story: Story) -> None:
    titles = [note.title for note in notes(story)]
    assert sum(title.startswith("Undecided") for title in titles) == 1
    assert sum(title.startswith("Outside") for title in titles) == 2
    assert "Winner's curse" in titles
    assert "The run warns" in titles
    assert "No recipe passed" not in titles


def test_notes_of_a_run_without_data_and_without_success(tmp_path: Path) -> None:
    story = read(runs.write(tmp_path / "run", kind="toy", outcome="undecided"))
    found = {note.title: note.text for note in notes(story)}
    assert "No recipe passed" in found
    assert "own converged samples" in found["Measured against the model itself"]


def test_seeds_that_are_not_fresh_are_admitted(story: Story) -> None:
    title = "The demo's final seeds are fixed"
    assert title not in {note.title for note in notes(story)}
    assert title in {note.title for note in notes(dataclasses.replace(story, run_id="demo"))}


def test_a_small_gain_over_fewer_steps_is_admitted(story: Story) -> None:
    assert "The search added little" not in {note.title for note in notes(story)}
    small = dataclasses.replace(story, over_fewer=Interval(1.06, 1.02, 1.1))
    assert "The search added little" in {note.title for note in notes(small)}


def test_every_solver_has_a_name_for_people() -> None:
    assert set(words.NAMES) == set(SOLVERS)
    assert len(set(words.NAMES.values())) == len(SOLVERS)


def test_a_gain_that_timing_cannot_tell_is_no_gain(story: Story) -> None:
    none = dataclasses.replace(story, over_fewer=Interval(1.0, 0.995, 1.005))
    assert "adds nothing that timing can tell" in words.fewer_sentence(none)
    some = dataclasses.replace(story, over_fewer=Interval(1.02, 1.01, 1.03))
    assert "a further 1.02×" in words.fewer_sentence(some)
