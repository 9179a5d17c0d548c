"""The run as one module, played by torch itself, and the seeds of what plays it elsewhere."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import torch
from test_onnx import GEV, SEEDED, assert_same_showers, conditions, showers

from hasten.core.process import EDM
from hasten.integrate.onnx import noise_for
from hasten.integrate.unrolled import SEEDS, Form, Unrolled, pieces, runtime_seed, stages
from hasten.solvers import build, ddim, sample
from hasten.solvers.grids import GRIDS


def test_increments_of_a_stochastic_plan_come_in_too() -> None:
    model, plan = showers(), build(ddim(0.7), GRIDS["karras"](EDM(), 4))
    noise = noise_for(model, plan, SEEDED)
    assert [each.what for each in pieces(stages(model, plan))][1:] == [
        "start",
        *(
            f"{noise.high:.6g} to {noise.low:.6g}"
            for noise in stages(model, plan)[1].program.noises
        ),
    ]
    asks = {
        each.name: functools.partial(each.model.call, each.model.net)
        for each in stages(model, plan)
    }
    with torch.inference_mode():
        got = Unrolled(model, plan, Form(), asks)(conditions(GEV), noise=noise)
    assert_same_showers(got, sample(model, plan, SEEDED, GEV * 1000))


def test_seeds_stay_apart_in_the_runtime() -> None:
    told = [runtime_seed(seed) for seed in range(2000)]
    assert len(set(told)) == 2000
    assert min(told) >= 1
    assert max(runtime_seed(seed) for seed in (SEEDS - 1, 7)) < 1 << 24
    assert all(float(np.float32(each)) == each for each in told)
    # neighbours are no simple multiples of each other, as 2 and 3 would be
    shares = [max(a, b) / min(a, b) for a, b in itertools.pairwise(told)]
    assert sum(abs(share - round(share)) < 1e-4 for share in shares) < 10
