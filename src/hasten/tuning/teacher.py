"""Teacher: the trajectories that candidates shall follow, and where they end.

The probability-flow equation is solved by Heun's method on a fine grid. What a candidate makes of
the same noise is compared with where that ends, and a candidate's coefficients are fitted to the
way there.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.core.process import Process
from hasten.errors import ModelError
from hasten.files import atomic
from hasten.solvers import SOLVERS, loop
from hasten.solvers.build import build
from hasten.solvers.noise import start_noise

STEPS = 64
"""Heun steps of the converged sampler: 127 evaluations."""


def converged_plan(process: Process, steps: int = STEPS) -> Plan:
    """Heun on the rho-7 grid, fine enough to stand for the exact solution.

    A short table of trained levels has fewer distinct ones; then all that the grid meets are used.
    Source: Karras et al. 2022 (arXiv 2206.00364), algorithm 1 and eq. 5.
    """
    grid = fine_grid(process, steps)
    return build(SOLVERS["heun"], grid, label=f"converged (heun karras {len(grid)})")


def fine_grid(process: Process, points: int) -> NDArray[np.float64]:
    """The rho-7 grid without the levels that are one and the same for the net, descending."""
    high, low = process.sigma_max ** (1 / 7), process.sigma_min ** (1 / 7)
    return np.unique(process.snap(np.linspace(high, low, points) ** 7))[::-1]


@final
@dataclass(frozen=True, eq=False)
class Teacher:
    """Converged trajectories of some seeds.

    Attributes:
        seeds: Which.
        noise: Their standard normal starting points [n, *shape].
        sigmas: Noise levels, descending [m].
        path: ``x_hat / sqrt(1 + sigma^2)`` at each of them [m, n, *shape].
        end: The converged samples before decoding [n, *shape].
        cond: Their conditions as the user gives them, or None.
    """

    seeds: Sequence[int]
    noise: Tensor
    sigmas: NDArray[np.float64]
    path: Tensor
    end: Tensor
    cond: Tensor | None

    def __len__(self) -> int:
        return len(self.seeds)

    def part(self, first: int, last: int) -> Teacher:
        """Trajectories first .. last - 1 of these."""
        return Teacher(
            self.seeds[first:last],
            self.noise[first:last],
            self.sigmas,
            self.path[:, first:last],
            self.end[first:last],
            None if self.cond is None else self.cond[first:last],
        )

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What `load` needs beside seeds and conditions."""
        tensors = {"noise": self.noise, "path": self.path, "end": self.end}
        return {"sigmas": self.sigmas} | {k: t.cpu().numpy() for k, t in tensors.items()}

    @classmethod
    def load(
        cls, path: Path, seeds: Sequence[int], cond: Tensor | None, device: torch.device
    ) -> Teacher:
        """Trajectories that were stored as `arrays`."""
        with np.load(path) as file:
            held = {k: torch.from_numpy(file[k]).to(device) for k in ("noise", "path", "end")}
            return cls(seeds, held["noise"], file["sigmas"], held["path"], held["end"], cond)

    @functools.cached_property
    def _knots(self) -> NDArray[np.float64]:
        return -np.log(self.sigmas)

    def at(self, sigma: float) -> Tensor:
        """The trajectory's point at a noise level, in VE coordinates [n, *shape].

        Cubic in log sigma between the stored levels, where the scaled path is smooth; below the
        last one, a straight line to the end.
        """
        place = -float(np.log(sigma))
        if place >= self._knots[-1] or len(self._knots) < 4:
            last = self.path[-1] * float(np.sqrt(1 + self.sigmas[-1] ** 2))
            return self.end + (sigma / float(self.sigmas[-1])) * (last - self.end)
        first = int(np.clip(np.searchsorted(self._knots, place) - 2, 0, len(self._knots) - 4))
        knots = self._knots[first : first + 4]
        total = torch.zeros_like(self.end)
        for i in range(4):
            others = np.delete(knots, i)
            weight = np.prod((place - others) / (knots[i] - others))
            total.add_(self.path[first + i], alpha=float(weight))
        return total.mul_(float(np.sqrt(1 + sigma**2)))


def kept(
    folder: Path,
    model: Model,
    plan: Plan,
    seeds: Sequence[int],
    cond: Tensor | None,
    *,
    identity: str,
    guidance: float = 1.0,
    batch: int = 64,
) -> Teacher:
    """`teach`, or the same trajectories from a folder where they were kept.

    Args:
        folder: Where they are kept, each set under a name of its own; made if missing.
        model: Whose trajectories.
        plan: As for `teach`.
        seeds: Which.
        cond: Their conditions as the user gives them.
        identity: Fingerprint of the model.
        guidance: Weight where a row states none.
        batch: Most samples in one pass.
    """
    held = "" if cond is None else hashlib.sha256(cond.cpu().numpy().tobytes()).hexdigest()
    facts = f"{identity}|{plan.fingerprint()}|{list(seeds)}|{held}|{guidance}"
    path = folder / f"teacher-{hashlib.sha256(facts.encode()).hexdigest()[:20]}.npz"
    if path.exists():
        return Teacher.load(path, seeds, cond, model.device)
    found = teach(model, plan, seeds, cond, guidance=guidance, batch=batch)
    arrays: dict[str, Any] = {**found.arrays()}
    with atomic(path) as file:
        np.savez_compressed(file, **arrays)
    return found


def teach(
    model: Model,
    plan: Plan,
    seeds: Sequence[int],
    cond: Tensor | None,
    *,
    guidance: float = 1.0,
    batch: int = 64,
) -> Teacher:
    """The trajectories of some seeds under a plan of many small steps.

    Args:
        model: Whose trajectories.
        plan: `converged_plan`, or another sampler that is to be followed.
        seeds: Which.
        cond: Their conditions as the user gives them.
        guidance: Weight where a row states none.
        batch: Most samples in one pass.

    Raises:
        ModelError: If the plan has too few steps to interpolate between.
    """
    firsts = [k for k, row in enumerate(plan.rows) if row.slot == 0]
    if len(firsts) < 2:
        raise ModelError("a plan of one step has no trajectory", where=model.name)
    paths, ends = [], []
    for first in range(0, len(seeds), batch):
        chosen = slice(first, first + batch)
        seen: list[Tensor] = []

        def watch(
            index: int, sigma: float, x: Tensor, _: Tensor, kept: list[Tensor] = seen
        ) -> None:
            if plan.rows[index].slot == 0:
                kept.append(x * float(1 / np.sqrt(1 + sigma**2)))

        part = None if cond is None else cond[chosen]
        ends.append(loop.run(model, plan, seeds[chosen], part, guidance, on_row=watch))
        paths.append(torch.stack(seen))
    with torch.inference_mode(False):
        return Teacher(
            seeds=seeds,
            noise=start_noise(seeds, model.shape).to(ends[0]),
            sigmas=np.array([plan.rows[k].sigma for k in firsts]),
            path=torch.cat(paths, dim=1).clone(),
            end=torch.cat(ends),
            cond=cond,
        )
