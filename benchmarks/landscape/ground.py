"""Ground: the noise that all entrants begin with, and where the exact equation ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import hasten
from hasten.core.identity import model_fingerprint
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.errors import OutputError
from hasten.files import atomic
from hasten.solvers import run
from hasten.tuning.seeds import drawn_conditions, stream
from hasten.tuning.teacher import STEPS, converged_plan
from landscape.entrants import Entrant

BATCH, WIDE = 64, 1024
"""Samples in one pass on the CPU, and on an accelerator."""

Where = tuple[str, int, Path, str]
"""Model, number of seeds, folder, device of a ground."""


@final
@dataclass(frozen=True, eq=False)
class Ground:
    """Seeds and their converged endpoints.

    Attributes:
        model: Whose.
        seeds: Of a stream that nothing else draws from.
        cond: Their conditions, or None.
        end: Where the converged plan ends [n, *shape].
        floor: Error of the converged plan itself against one of twice as many steps [n].
    """

    model: Model
    seeds: range
    cond: Tensor | None
    end: Tensor
    floor: NDArray[np.float64]

    @classmethod
    def of(cls, name: str, count: int, folder: Path, device: str) -> Ground:
        """The ground of a model; its endpoints are kept in the folder."""
        model = hasten.load(name)
        model.net.to(device)
        seeds = stream("landscape of solvers", "endpoint", count)
        cond = drawn_conditions(model)(seeds)
        coarse, fine = (converged_plan(model.process, steps) for steps in (STEPS, 2 * STEPS))
        facts = (model_fingerprint(model)[:8], coarse.fingerprint()[:8], fine.fingerprint()[:8])
        path = folder / f"ends-{name}-{count}-{'-'.join(facts)}.npz"
        if not path.exists():
            plans = {"end": coarse, "fine": fine}
            ends: Any = {name: _ends(model, plan, seeds, cond) for name, plan in plans.items()}
            with atomic(path) as file:
                np.savez_compressed(file, **ends)
        with np.load(path) as held:
            end, finer = torch.from_numpy(held["end"]), torch.from_numpy(held["fine"])
        return cls(model, seeds, cond, end, rmse(end, finer))

    def errors(self, entrant: Entrant, first: int, last: int) -> list[float]:
        """RMSE of each of these samples, six decimals; infinite where it diverges."""
        found: list[float] = []
        batch = batch_on(self.model)
        for low in range(first, last, batch):
            some = slice(low, min(low + batch, last))
            part = None if self.cond is None else self.cond[some]
            try:
                ends = entrant.endpoint(self.model, self.seeds[some], part).cpu()
            except OutputError:  # it diverged
                ends = torch.full_like(self.end[some], torch.inf)
            found += rmse(ends, self.end[some]).round(6).tolist()
        return found


def batch_on(model: Model) -> int:
    """Samples in one pass, where the model is."""
    return BATCH if model.device.type == "cpu" else WIDE


def rmse(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    """Root of the mean squared difference of each sample [n]."""
    found: NDArray[np.float64] = (a - b).double().square().flatten(1).mean(1).sqrt().numpy()
    return found


def _ends(model: Model, plan: Plan, seeds: range, cond: Tensor | None) -> NDArray[np.float32]:
    parts = []
    batch = batch_on(model)
    for first in range(0, len(seeds), batch):
        some = slice(first, first + batch)
        parts.append(run(model, plan, seeds[some], None if cond is None else cond[some]))
    found: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    return found
