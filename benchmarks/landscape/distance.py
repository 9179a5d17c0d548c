"""Distance: how far the samples of some solvers are from real data.

Every solver on the grid that gave it the least endpoint error with as many evaluations. So the
grids were chosen on other seeds, and by a measure that has not seen the judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import torch

import hasten
from hasten import solvers
from hasten.core.identity import model_fingerprint
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.measure.quality import Arm, frechet
from hasten.measure.reference import Reference
from hasten.measure.verdict import judge_contrast
from hasten.tuning.judging import Court
from hasten.tuning.seeds import drawn_conditions, stream
from hasten.tuning.standard import settle
from hasten.tuning.teacher import converged_plan
from landscape.entrants import Stock, on_all_grids
from landscape.ground import batch_on

EVALUATIONS = (4, 5, 6, 8, 10, 12, 15)
SOLVERS = (
    *("ddim", "heun", "dpmpp_2m", "dpmpp_3m", "lms3"),
    *("ipndm3", "deis3", "unipc2", "unipc3"),
)
ENOUGH = {"fashion-unet": 4000}
"""Samples that tell a model's solvers apart, where the usual 1000 do not."""


@final
@dataclass(frozen=True, eq=False)
class Bench:
    """Judges plans of one model on one set of seeds.

    Attributes:
        model: Whose.
        court: Turns samplers into features and remembers them.
        seeds: Of a stream that nothing else draws from.
        reference: Real data.
        identity: Fingerprint of the model.
    """

    model: Model
    court: Court
    seeds: range
    reference: Reference
    identity: str

    @classmethod
    def of(cls, name: str, count: int, folder: Path, device: str) -> Bench:
        """The bench of a model; features are kept in the folder."""
        model = hasten.load(name)
        model.net.to(device)
        standard = settle(model, None, None, lambda: (torch.empty(0), None))
        court = Court(
            standard.features,
            standard.reference,
            drawn_conditions(model),
            batch_on(model),
            (folder,),
        )
        seeds = stream("landscape of solvers", "distance", count)
        return cls(model, court, seeds, standard.reference, model_fingerprint(model))

    def arm(self, plan: Plan) -> Arm:
        """The features of a plan's samples and their corrected distance."""
        identity = f"{self.identity}|{plan.fingerprint()}"
        reading = self.court.read(partial(solvers.sample, self.model, plan), identity, self.seeds)
        return frechet(reading.features, self.reference)


def chosen(endpoint: Mapping[str, Any], model: Model) -> Iterator[Stock]:
    """Every solver on its best grid by endpoint error, at every number of evaluations."""
    errors = {entry["key"]: entry for entry in endpoint["results"]}
    for evaluations in EVALUATIONS:
        for name in SOLVERS:
            grids = on_all_grids(model.process, solvers.SOLVERS[name], evaluations)
            if raced := [entrant for entrant in grids if entrant.key in errors]:
                # whoever has errors on more seeds was better on fewer
                yield min(raced, key=lambda e: (-errors[e.key]["n"], errors[e.key]["error"]))


def judge(bench: Bench, endpoint: Mapping[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """The references and the chosen plans, with intervals, and with ratios in pairs."""
    references = {
        "converged": converged_plan(bench.model.process),
        "ddim trailing 50": solvers.stock_plan(bench.model.process, "ddim", "trailing", 50),
    }
    arms = {name: bench.arm(plan) for name, plan in references.items()}
    base = arms["converged"]
    table = []
    for entrant in chosen(endpoint, bench.model):
        arm = bench.arm(entrant.plan)
        ratio = judge_contrast(arm, base, bench.reference).ratio
        table.append(
            {"evaluations": entrant.evaluations, "solver": entrant.solver, "grid": entrant.grid}
            | {"family": entrant.family, "key": entrant.key, "n": arm.n, **_interval(arm)}
            | {"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high}
        )
        tell(f"{entrant.plan.label}: {arm.measurement()}")
    return {
        "model": bench.model.name,
        "distance": "corrected Fréchet distance, 95 % interval; ratio to the converged sampler's, "
        "same seeds, in pairs",
        "judge": bench.reference.context(),
        "seeds": [bench.seeds[0], len(bench.seeds)],
        "references": {name: {"n": arm.n, **_interval(arm)} for name, arm in arms.items()},
        "results": table,
    }


def _interval(arm: Arm) -> dict[str, float]:
    found = arm.measurement()
    return {"distance": found.value, "low": found.low, "high": found.high}
