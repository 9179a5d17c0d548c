from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

import nets
from calo import shower_model, told
from hasten.core.plan import HOLD
from hasten.core.process import EDM, DiscreteVP
from hasten.methods.cache import Cache
from hasten.methods.calibrate import Calibrate
from hasten.models.mixture import mixture_model
from hasten.solvers import GRIDS, stock_plan
from hasten.tuning.family import LEADS, family, power_grid
from hasten.tuning.moves import around, held, shaken
from hasten.tuning.refine import distinct, legal
from hasten.tuning.space import Candidate, Scored, finishing, front, tactics
from hasten.tuning.speeds import Speeds, measure_speeds
from hasten.tuning.stock import candidates

SIGMAS = (40.0, 5.0, 1.0, 0.2)
CACHE = Cache(depth=0.6)


def scored(seconds: float, error: float) -> Scored:
    candidate = Candidate.stock("ddim", "karras", 4)
    return Scored(candidate, stock_plan(EDM(), "ddim", "karras", 4), seconds, error, 1)


def test_what_any_recipe_may_have_done_to_its_output() -> None:
    assert finishing(shower_model()) == finishing(mixture_model()) == ()
    known = told(shower_model())
    assert finishing(known) == (Calibrate(),)
    assert all(isinstance(each, Cache) for each in tactics(known))


def test_a_candidate_survives_the_journal() -> None:
    own = Candidate.of("dpmpp_2m", SIGMAS, held=(False, True, False, False), tactic=CACHE)
    stock = Candidate.stock("unipc2", "logsnr", 7)
    for candidate in (own, stock):
        again = Candidate.from_dict(json.loads(json.dumps(candidate.to_dict())))
        assert again == candidate
        assert again.key() == candidate.key()
        assert again.spec.resolve(EDM()) == candidate.spec.resolve(EDM())
    one = Scored(own, own.spec.resolve(EDM()), 0.1 + 0.2, 1 / 3, 7)
    assert Scored.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_a_tactic_without_a_held_step_is_left_out() -> None:
    plain = Candidate.of("dpmpp_2m", SIGMAS, held=(False,) * 4, tactic=CACHE)
    assert plain == Candidate.of("dpmpp_2m", SIGMAS)
    assert plain.tactic is None


def test_the_front_keeps_what_nothing_beats() -> None:
    pool = [scored(3, 0.1), scored(1, 0.5), scored(2, 0.6), scored(2, 0.4), scored(3, 0.4)]
    assert [(s.seconds, s.error) for s in front(pool)] == [(1, 0.5), (2, 0.4), (3, 0.1)]


def test_mechanisms_are_offered_once_and_only_where_they_act() -> None:
    assert tactics(mixture_model()) == []
    model = nets.uvit()
    found = tactics(model)
    cuts = {str(tactic.cut(model)) for tactic in found if isinstance(tactic, Cache)}
    assert len(found) == len(cuts) > 1
    assert "None" not in cuts


def test_held_plans_never_hold_two_rows_running_and_can_be_built() -> None:
    base = Candidate.of("dpmpp_2m", SIGMAS, fitted=False)
    found = held(base, np.array(SIGMAS), [CACHE, Cache(depth=0.9)])
    assert len({each.key() for each in found}) == len(found)
    counts = [len([c for c in found if c.spec.count == n]) for n in (4, 5, 6)]
    # Fibonacci numbers without the plan that holds nothing, for each mechanism
    assert counts == [2 * 4, 2 * 7, 2 * 12]
    for candidate in found:
        plan = candidate.spec.resolve(EDM())
        assert plan.reuse[0].full
        assert HOLD in plan.reuse
        assert not any(a == b == HOLD for a, b in itertools.pairwise(plan.reuse))


def test_plans_around_another_keep_its_steps_and_its_mechanism() -> None:
    base = Candidate.of(
        "dpmpp_2m", SIGMAS, held=(False, True, False, False), tactic=CACHE, fitted=False
    )
    found = around(base, np.array(SIGMAS), EDM(), np.random.default_rng(0), count=5, size=0.3)
    assert len(found) == 5 + len(LEADS) - 1
    assert all((c.spec.count, c.held, c.tactic) == (4, base.held, CACHE) for c in found)
    assert {c.spec.solver for c in found[5:]} == set(LEADS) - {"dpmpp_2m"}


def test_a_family_lies_between_the_known_grids() -> None:
    process = EDM()
    karras = power_grid(process.sigma_max, process.sigma_min, 7.0, 9)
    assert karras == pytest.approx(GRIDS["karras"](process, 9))
    almost = power_grid(process.sigma_max, process.sigma_min, 1e4, 9)
    assert almost == pytest.approx(GRIDS["logsnr"](process, 9), rel=0.01)
    few, many = family(process, 4, 8), family(process, 4, 16)
    assert few == many[:8]
    assert {c.spec.solver for c in many} == set(LEADS)
    for candidate in many:
        plan = candidate.spec.resolve(process)
        assert plan.nfe == 4
        assert plan.rows[0].sigma == pytest.approx(process.sigma_max)
    table = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 1000))
    assert len(family(table, 3, 16)) == 16


def test_shaken_and_legal_grids_are_grids() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 5, 14):
        start = np.geomspace(80, 0.002, count)
        for _ in range(50):
            moved = shaken(start, 1.0, rng, EDM())
            assert (np.diff(moved) < 0).all()
            assert moved[0] <= 80 * (1 + 1e-9)
            assert moved[-1] >= 0.002 * (1 - 1e-9)
    kept = np.array([3.0, 1.0, 0.1])
    assert legal(np.log(kept), 80, 0.002) == pytest.approx(kept)
    table = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 1000))
    assert (np.diff(distinct(table, shaken(np.geomspace(20, 0.02, 8), 0.5, rng, table))) < 0).all()


def test_all_deterministic_stock_samplers_take_part_and_none_twice() -> None:
    for evaluations in (1, 2, 7, 8):
        found = candidates(EDM(), evaluations)
        plans = [candidate.spec.resolve(EDM()) for candidate in found]
        assert {plan.nfe for plan in plans} == {evaluations}
        assert len({plan.fingerprint() for plan in plans}) == len(plans)
    names = {candidate.spec.solver for candidate in candidates(EDM(), 7)}
    assert {"ddim", "heun", "dpmpp_2m", "unipc3", "ipndm4", "lms2"} <= names
    assert "ancestral" not in names


SPEEDS = Speeds(
    1.0, 10.0, {"cache depth=0.3 hold=residual": 8.0, "cache depth=0.6 hold=residual": 7.9}
)


def test_a_plans_time_is_the_sum_of_its_rows() -> None:
    plan = stock_plan(EDM(), "ddim", "karras", 3)
    assert SPEEDS.of(plan, None) == 31.0
    mixed = Candidate.of("ddim", (3.0, 2.0, 1.0), held=(False, True, True), tactic=CACHE)
    assert SPEEDS.of(mixed.spec.resolve(EDM()), CACHE) == pytest.approx(1 + 10 + 2 * 7.9)
    assert Speeds.from_dict(json.loads(json.dumps(SPEEDS.to_dict()))) == SPEEDS


def test_mechanisms_that_skip_more_but_save_no_more_are_left_out() -> None:
    gentle, strong = Cache(depth=0.3), CACHE
    assert SPEEDS.worthwhile([gentle, strong]) == [gentle]
    slow = Speeds(1.0, 10.0, {**SPEEDS.held, "cache depth=0.3 hold=residual": 9.9})
    assert slow.worthwhile([gentle, strong]) == [strong]


def test_row_times_are_positive_and_stated_for_every_mechanism() -> None:
    model = nets.uvit()
    options = tactics(model)[:2]
    found = measure_speeds(model, options, range(1), torch.zeros(1, dtype=torch.long), rounds=2)
    assert found.full > 0
    assert len(found.held) == 2
    assert all(time >= 0 for time in [found.overhead, *found.held.values()])
