"""The whole of a small study: what it writes, and that nothing is lost when it is killed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import SETTINGS, model, real, study

import hasten
from hasten.errors import BudgetError, MethodError, PlanError, RunError
from hasten.models.mixture import MixtureNet
from hasten.report import read, render
from hasten.tuning import hunt
from hasten.tuning import study as study_module
from hasten.tuning.outcome import Outcome

SCRIPT = Path(__file__).with_name("small.py")


@cache
def whole(root: Path) -> Outcome:
    return study(root / "whole")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return whole(tmp_path_factory.getbasetemp())


def test_the_result_says_what_is_promised(outcome: Outcome) -> None:
    facts = json.loads((outcome.folder / "result.json").read_text())
    keys = {"recipe", "seconds_per_sample", "batch", "device", "dtype", "threads", "nfe"}
    keys |= {"speedup", "verdict", "distance", "distance_ratio", "n"}
    for arm in ("baseline", "best", "fewer_steps"):
        assert keys <= facts[arm].keys()
    assert facts["best"]["verdict"] == facts["fewer_steps"]["verdict"] == "within"
    assert facts["best"]["nfe"] <= facts["fewer_steps"]["nfe"] < facts["baseline"]["nfe"]
    assert facts["best"]["n"] == SETTINGS["samples"]


def test_the_best_recipe_is_a_file_that_samples(outcome: Outcome) -> None:
    recipe = hasten.Recipe.loads((outcome.folder / "best.toml").read_text())
    with hasten.apply(hasten.load("mixture"), recipe) as fast:
        assert fast.sample(range(8)).isfinite().all()


def test_killed_and_resumed_it_ends_the_same_and_loses_nothing(
    outcome: Outcome, tmp_path: Path
) -> None:
    lines = (outcome.folder / "trials.jsonl").read_text().splitlines()
    journal, finished = tmp_path / "run" / "trials.jsonl", ""
    for share in (0.15, 0.4, 0.8):
        process = subprocess.Popen([sys.executable, str(SCRIPT), str(tmp_path / "run")])
        enough, deadline = int(share * len(lines)), time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") >= enough:
                break
            time.sleep(0.01)
        ended = process.poll()
        process.kill()
        process.wait()
        assert not ended, "the study failed by itself"
        held = journal.read_text()
        assert held.startswith(finished), "a finished trial was lost"
        finished = held[: held.rindex("\n") + 1]
    resumed = study(tmp_path / "run")
    assert journal.read_text().startswith(finished)
    assert resumed.facts["best"]["fingerprint"] == outcome.facts["best"]["fingerprint"]
    assert resumed.facts["best"]["recipe"] == outcome.facts["best"]["recipe"]
    assert resumed.facts["finalists"][0]["distance"] == outcome.facts["finalists"][0]["distance"]


def test_other_reference_samples_than_it_began_with_are_refused(outcome: Outcome) -> None:
    for wrong in (None, torch.zeros(500, 2), torch.zeros(0, 2)):
        with pytest.raises(RunError, match="other reference samples"):
            hasten.tune(hasten.load("mixture"), resume=outcome.folder, reference=wrong)


def test_reference_samples_that_differ_in_the_last_bit_are_the_same(outcome: Outcome) -> None:
    same = real().nextafter(torch.tensor(torch.inf))
    found = hasten.tune(hasten.load("mixture"), resume=outcome.folder, reference=same)
    assert found.facts == outcome.facts
    with pytest.raises(RunError, match="other reference samples"):
        hasten.tune(hasten.load("mixture"), resume=outcome.folder, reference=1.001 * real())


def test_a_baseline_that_draws_noise_is_judged_but_has_no_path(tmp_path: Path) -> None:
    speed = {"solver": "ancestral", "grid": "trailing", "steps": 40}
    noisy = model().replace(card={"reference": {"speed": speed}})
    found = study(tmp_path / "run", which=noisy, trials=0)
    facts = found.facts
    assert facts["baseline"]["endpoint_error"] is None
    assert facts["baseline"]["distance"] is not None
    assert "baseline_error" not in np.load(found.folder / "errors.npz")
    page = render(read(found.folder))
    assert not re.search(r"\bnan\b", page)


def test_where_the_search_added_nothing_one_recipe_has_one_timing(tmp_path: Path) -> None:
    facts = study(tmp_path / "run", trials=0).facts
    best, fewer = facts["best"], facts["fewer_steps"]
    assert best["fingerprint"] == fewer["fingerprint"]
    assert best["pairs"] == fewer["pairs"]
    assert best["speedup"] == fewer["speedup"]
    assert facts["best_over_fewer_steps"] is None


@pytest.mark.parametrize(("real_samples", "aims"), [(4000, False), (10_000, True)])
def test_aiming_wants_real_samples_that_do_not_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_samples: int, aims: bool
) -> None:
    seen: list[hunt.Hunt] = []

    def spy(*args: Any) -> hunt.Hunt:
        seen.append(hunt.Hunt(*args))
        raise KeyboardInterrupt

    monkeypatch.setattr(study_module, "Hunt", spy)
    net = model().net
    assert isinstance(net, MixtureNet)
    data = net.draw(real_samples, np.random.default_rng(0)).float()
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path / "run", reference=data)
    assert (seen[0].aims, seen[0].reference) == (aims, 50)


def test_no_time_for_a_candidate_is_no_reason_to_claim_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rivals off the shelf are judged all the same, here on too few samples for such a margin."""
    monkeypatch.setattr(hunt, "WIDEST", 8)  # or many would be looked at for nothing
    little = {"margin": 0.001, "search_samples": 100, "samples": 100}
    net = model().net
    assert isinstance(net, MixtureNet)
    own = net.draw(2000, np.random.default_rng(0)).float()
    found = study(tmp_path / "run", reference=own, minutes=0, **little)
    facts = found.facts
    assert facts["search"]["trials"] == 0
    assert facts["search"]["stopped_by"] == "minutes"
    assert facts["finalists"] == []
    assert [arm["verdict"] for arm in facts["rivals"]] == ["undecided"]
    assert (facts["decided"], found.best, facts["closest"]) == (False, None, None)
    assert found.message.startswith("undecided: 100 samples do not tell")
    page = render(read(found.folder))
    assert "The search stopped at its limit of minutes" in page


def test_bad_settings_and_folders_are_refused_in_words(tmp_path: Path) -> None:
    net = hasten.load("mixture")
    with pytest.raises(BudgetError, match="margin"):
        hasten.tune(net, margin=0.0, run=tmp_path / "a")
    with pytest.raises(BudgetError, match="latency or throughput"):
        hasten.tune(net, objective="speed", run=tmp_path / "a")
    with pytest.raises(RunError):
        hasten.tune(net, resume=tmp_path / "nothing")
    assert not (tmp_path / "a").exists()


def test_a_recipe_that_is_given_is_tried_and_wins_where_it_is_fastest(
    outcome: Outcome, tmp_path: Path
) -> None:
    """Here the best of a whole search, given to one that may try nothing of its own."""
    best = hasten.Recipe.loads((outcome.folder / "best.toml").read_text())
    slow = hasten.Recipe(hasten.PlanSpec("ddim", "uniform", 30))
    found = study(tmp_path / "run", trials=0, recipes=[slow, best])
    assert found.best is not None
    assert found.best.fingerprint() == best.fingerprint()
    kept = json.loads((found.folder / "facts.json").read_text())["settings"]["recipes"]
    assert [hasten.Recipe.from_dict(facts) for facts in kept] == [slow, best]


def test_a_recipe_that_cannot_be_applied_is_refused_before_there_is_a_folder(
    tmp_path: Path,
) -> None:
    held = hasten.Recipe(hasten.PlanSpec("ddim", "uniform", 8, reuse="every:2"))
    noisy = hasten.Recipe(hasten.PlanSpec("dpmpp_2m_sde", "karras", 4))
    with pytest.raises(MethodError, match="reuse"):
        hasten.tune(model(), recipes=[held], run=tmp_path / "run")
    with pytest.raises(PlanError, match="draws noise"):
        hasten.tune(model(), recipes=[noisy], run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_recipes_are_given_at_the_beginning(outcome: Outcome) -> None:
    late = hasten.Recipe(hasten.PlanSpec("ddim", "uniform", 8))
    with pytest.raises(RunError, match="at its beginning"):
        hasten.tune(model(), recipes=[late], resume=outcome.folder)
