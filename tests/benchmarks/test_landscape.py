"""The pure parts of the landscape of solvers, and that rivals begin and end where we do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from hasten.core.process import VP, V
from hasten.models.mixture import mixture_model
from hasten.solvers import SOLVERS
from hasten.tuning.journal import Journal
from landscape import record
from landscape.entrants import family, stock
from landscape.figure import spread
from landscape.race import Job, Race, Round, survivors
from landscape.rivals import betas, rivals, velocity
from landscape.tables import alike

PROCESS = VP()


@dataclasses.dataclass(frozen=True)
class Runner:
    key: str
    solver: str
    family: str = "f"
    grid: str = "g"
    evaluations: int = 4

    def endpoint(self, *_: object) -> torch.Tensor:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("solver", "expected"),
    [
        ("lms3", "lms"),
        ("dpmpp_2m_exact", "dpmpp_m"),
        ("dpmpp_3s", "dpmpp_s"),
        ("dpm_2", "dpm_s"),
        ("dpm_2m", "dpm_m"),
        ("dpmpp_fast", "dpmpp_s"),
        ("deis_t2", "deis"),
        ("unipc3_bh1", "unipc"),
        ("ddim", "ddim"),
    ],
)
def test_families(solver: str, expected: str) -> None:
    assert family(solver) == expected


def test_no_stochastic_solver_and_no_plan_twice() -> None:
    found = stock(PROCESS, 5)
    assert not any(SOLVERS[entrant.solver].stochastic for entrant in found)
    assert len({entrant.plan.fingerprint() for entrant in found}) == len(found)
    assert {entrant.plan.nfe for entrant in found} == {5}
    assert "heun" in {entrant.solver for entrant in found}
    assert "heun" not in {entrant.solver for entrant in stock(PROCESS, 6)}


def test_survivors_are_the_best_and_the_best_of_each() -> None:
    ranked = [Runner(key, key[0]) for key in ("a1", "a2", "b1", "a3", "c1", "b2", "c2", "a4")]
    assert [r.key for r in survivors(ranked, 2, "solver")] == ["a1", "a2", "b1", "c1"]
    assert [r.key for r in survivors(ranked, 0.25, "")] == ["a1", "a2"]
    assert survivors(ranked, float("inf"), "") == ranked


def test_a_race_measures_each_piece_once(tmp_path: Path) -> None:
    runners = [Runner(key, key) for key in "abcdefgh"]
    asked: list[Job] = []

    def measure(jobs: Iterable[Job]) -> Iterator[list[float]]:
        for job in jobs:
            asked.append(job)
            runner, first, last = job
            yield [float(ord(runner.key) + seed) for seed in range(first, last)]

    rounds = (Round(4), Round(6, 3), Round(10, 1, "family"))
    for _ in range(2):  # the second time everything comes from the journal
        race = Race(Journal(tmp_path / "race.jsonl"), measure, lambda _: None)
        ranked = race.run(runners[::-1], rounds, 8)
        assert [r.key for r in ranked] == list("abcdefgh")
        assert [len(race.errors[r.key]) for r in ranked] == [8, 6, 6, 4, 4, 4, 4, 4]
        assert race.errors["a"] == [97.0 + seed for seed in range(8)]
    assert len(asked) == 8 + 3 + 1
    asked.clear()
    Race(Journal(tmp_path / "short.jsonl"), measure, lambda _: None).run(runners, rounds, 4)
    assert len(asked) == 8  # the later rounds have nothing to add


def test_labels_are_spread() -> None:
    wanted = [0.0, 10.0, 11.0, 12.0, 40.0]
    found = spread(wanted, 5.0, 0.0, 100.0)
    assert found == pytest.approx([0, 6, 11, 16, 40])
    assert spread([98.0, 99.0], 5.0, 0.0, 100.0) == pytest.approx([95, 100])


def test_rank_correlation() -> None:
    entries = [{"key": f"{k}", "distance": d} for k, d in enumerate((1.0, 2.0, 3.0))]
    assert alike(entries, {"0": 0.1, "1": 0.2, "2": 0.9}) == pytest.approx(1)
    assert alike(entries, {"0": 0.9, "1": 0.2, "2": 0.1}) == pytest.approx(-1)


def test_their_table_is_our_process() -> None:
    bar = np.cumprod(1 - np.array(betas(PROCESS)))
    ends = np.sqrt(1 / bar[[0, -1]] - 1)
    assert ends == pytest.approx([PROCESS.sigma_min, PROCESS.sigma_max], rel=1e-9)


def test_velocity_is_the_nets_own() -> None:
    model = mixture_model(PROCESS, V(), dtype=torch.float64)
    x = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sigma = 0.7
    alpha = 1 / np.hypot(1, sigma)
    time = torch.full((8,), float(PROCESS.time(np.array(sigma))), dtype=torch.float64)
    found = velocity(model, x, alpha, sigma * alpha, None)
    assert (found - model.net(x, time)).abs().max().item() < 1e-12


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize(
    ("theirs", "grid", "ours", "our_grid"),
    [
        ("UniPCMultistep 2", "karras", "unipc2", "karras"),
        ("DPMSolverMultistep 3", "exponential", "dpmpp_3m", "logsnr"),
        ("HeunDiscrete", "karras", "heun", "karras"),
        ("IPNDM", "trailing", "ipndm4", "trailing"),
    ],
)
def test_rivals_end_where_we_do(theirs: str, grid: str, ours: str, our_grid: str) -> None:
    model = mixture_model(PROCESS, V())
    their = next(r for r in rivals(9) if (r.solver, r.grid) == (theirs, grid))
    own = next(s for s in stock(PROCESS, 9) if (s.solver, s.grid) == (ours, our_grid))
    ends = [entrant.endpoint(model, range(16), None) for entrant in (their, own)]
    assert (ends[0] - ends[1]).abs().max().item() < 1e-3


def test_what_was_measured_of_other_numbers_of_evaluations_stays(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    assert record.others(path, [4], seeds=[1, 2], process="p")[0] == []
    old = [{"evaluations": 4, "error": 1.0}, {"evaluations": 8, "error": 2.0}]
    facts = {"seeds": [1, 2], "process": "p", "results": old, "machines": ["Z80"]}
    record.write(path, facts | {"failed": ["A beta 4", "A beta 8"]})
    kept, machines, failed = record.others(path, [4, 5], seeds=[1, 2], process="p")
    assert kept == old[1:]
    assert "Z80" in machines
    assert len(machines) == 2
    assert failed == ["A beta 8"]
    assert "Z80" not in record.others(path, [4, 8], seeds=[1, 2], process="p")[1]
    for other in ({"seeds": [1, 3], "process": "p"}, {"seeds": [1, 2], "process": "q"}):
        with pytest.raises(SystemExit, match="other seeds or another process"):
            record.others(path, [5], **other)
