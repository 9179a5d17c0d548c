"""Polish: the last freedom of a plan, spent on the judge's distance instead of on single samples.

With very few evaluations no plan follows every trajectory, but it may still be right on the whole.
From a refined candidate, noise levels and coefficients are moved until the distance of its samples
to the real ones is that of the reference, and no further: what is asked for is the same quality,
not the judge's favour.

Every sample's features are nearly linear in these few numbers. One perturbed run a number gives
the features' derivatives (most rows of a perturbed plan are those of the plan, so it costs a
fraction of a run); then the distance of the linearised features, not a linearised distance, is
minimised in a box, and the step is tried (Gauss-Newton with the outer function kept exact; Burke
1985).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from hasten.core.model import Model
from hasten.core.plan import Combination, Plan
from hasten.core.process import Process
from hasten.measure.features import Features
from hasten.measure.moments import Gaussian
from hasten.tune.play import Played, play
from hasten.tune.refine import distinct, legal

Floats: TypeAlias = NDArray[np.float64]

LEVEL, WEIGHT = 0.3, 0.2
"""Size of a step in log sigma, and in a share of the outputs."""
NUDGE = 0.1
"""Of these, how much is tried to see the derivative."""
PULL = 1e-3
"""Weight of staying, against the square of the relative excess of the distance."""
ROUNDS = 4
CHUNK = 125


@final
@dataclass(frozen=True, eq=False)
class Form:
    """A consistent linear plan as free numbers.

    The input of row k is ``(sigma_k / sigma_0) start + (1 - sigma_k / sigma_0) sum_j share_kj D_j``
    with shares that sum to 1, so constants are integrated exactly whatever the numbers are.

    Attributes:
        plan: Reuse, steps, label.
        levels: ``log sigma`` [n].
        shares: One list for each row from the second, and one for the result.
    """

    plan: Plan
    levels: Floats
    shares: tuple[Floats, ...]

    @classmethod
    def of(cls, plan: Plan) -> Form:
        """The numbers of a fitted plan with one evaluation a step."""
        first = plan.rows[0].sigma
        parts = [(row.input, row.sigma) for row in plan.rows[1:]] + [(plan.result, 0.0)]
        shares = []
        for k, (part, sigma) in enumerate(parts):
            weights = np.zeros(k + 1)
            for index, weight in part.outputs:
                weights[index] = weight
            shares.append(weights / (1 - sigma / first))
        return cls(plan, np.log(plan.sigmas), tuple(shares))

    @property
    def size(self) -> int:
        """How many numbers are free: all levels, and all shares but the newest of each row."""
        return len(self.levels) + sum(len(shares) - 1 for shares in self.shares)

    def moved(self, by: Floats, process: Process) -> Form:
        """The form with its numbers moved, in units of `LEVEL` and `WEIGHT`."""
        count = len(self.levels)
        wanted = legal(self.levels + LEVEL * by[:count], process.sigma_max, process.sigma_min)
        levels = np.log(distinct(process, wanted))
        shares, at = [], count
        for old in self.shares:
            step = WEIGHT * by[at : at + len(old) - 1]
            shares.append(old + np.append(step, -step.sum()))
            at += len(old) - 1
        return Form(self.plan, levels, tuple(shares))

    def build(self) -> Plan:
        """The rows."""
        sigmas = np.exp(self.levels)
        rows = [dataclasses.replace(self.plan.rows[0], sigma=float(sigmas[0]))]
        for k, shares in enumerate(self.shares[:-1], 1):
            part = _combination(shares, float(sigmas[k] / sigmas[0]))
            rows.append(dataclasses.replace(self.plan.rows[k], sigma=float(sigmas[k]), input=part))
        result = _combination(self.shares[-1], 0.0)
        return dataclasses.replace(self.plan, rows=tuple(rows), result=result)


@final
@dataclass(frozen=True, eq=False)
class Run:
    """A form that was played: its features, and what a neighbour may take over."""

    form: Form
    played: tuple[Played, ...]
    features: Tensor


@final
@dataclass
class Polisher:
    """Moves plans until their samples are as near to real ones as the reference's.

    Attributes:
        noise: Starting points [n, *shape].
        cond: Conditions, or None.
        features: What the judge looks at.
        real: Mean and covariance of real samples.
        wanted: The reference's plain distance on the same seeds.
        guidance: Weight of every run.
        evaluations: Of the net so far, counted per sample.
    """

    noise: Tensor
    cond: Tensor | None
    features: Features
    real: Gaussian
    wanted: float
    guidance: float = 1.0
    evaluations: int = 0

    def __call__(self, model: Model, plan: Plan, goal: float, rounds: int = ROUNDS) -> Plan:
        """A plan whose samples are nearer to the real ones, never further.

        Args:
            model: With the plan's tactic attached.
            plan: With one evaluation a step, and no noise.
            goal: Share of the reference's distance that is good enough.
            rounds: At most so many steps.
        """
        here = self._run(model, Form.of(plan), None)
        ratio, reach = self._ratio(here.features), 1.0
        for _ in range(rounds):
            if ratio <= goal:
                break
            slopes = []
            for k in range(here.form.size):
                by = np.zeros(here.form.size)
                by[k] = NUDGE if k else -NUDGE
                near = self._run(model, here.form.moved(by, model.process), here)
                slopes.append((near.features - here.features).double() / by[k])
            step = self._step(here.features.double(), torch.stack(slopes), reach, goal)
            there = self._run(model, here.form.moved(step, model.process), None)
            found = self._ratio(there.features)
            if found < ratio:
                here, ratio = there, found
            else:
                reach /= 4
        return here.form.build()

    def _step(self, features: Tensor, slopes: Tensor, reach: float, goal: float) -> Floats:
        """Where in the box the distance of the linearised features is least."""
        ones = torch.cat([features[None], slopes])  # [1 + m, n, d]
        centred = ones - ones.mean(1, keepdim=True)
        means = ones.mean(1).numpy()
        count = features.shape[0] - 1
        products = torch.einsum("ind,jne->ijde", centred, centred).numpy() / count

        def value(by: Floats) -> float:
            weights = np.append(1.0, by)
            mean = weights @ means
            cov = np.einsum("i,j,ijde->de", weights, weights, products, optimize=True)
            excess = max(_distance(self.real, mean, cov) / self.wanted - goal, 0.0)
            return float(excess**2 + PULL * by @ by)

        box = [(-reach, reach)] * len(slopes)
        return np.asarray(
            minimize(value, np.zeros(len(slopes)), method="L-BFGS-B", bounds=box).x,
            dtype=np.float64,
        )

    def _ratio(self, features: Tensor) -> float:
        return plain_distance(self.real, features) / self.wanted

    def _run(self, model: Model, form: Form, before: Run | None) -> Run:
        plan, played, features = form.build(), list[Played](), list[Tensor]()
        for index, first in enumerate(range(0, len(self.noise), CHUNK)):
            chosen = slice(first, first + CHUNK)
            cond = None if self.cond is None else self.cond[chosen]
            done = play(
                model,
                plan,
                self.noise[chosen],
                cond,
                guidance=self.guidance,
                before=None if before is None else before.played[index],
            )
            self.evaluations += done.evaluated * len(done.end)
            played.append(done)
            features.append(self.features(model.codec.decode(done.end, cond)))
        return Run(form, tuple(played), torch.cat(features))


def _combination(shares: Floats, start: float) -> Combination:
    return Combination(start, tuple(enumerate(((1 - start) * shares).tolist())))


def plain_distance(real: Gaussian, features: Tensor) -> float:
    """Fréchet distance of features [n, d] to the real ones, not corrected for n."""
    table = features.double().numpy()
    return _distance(real, table.mean(0), np.cov(table.T))


def _distance(real: Gaussian, mean: Floats, cov: Floats) -> float:
    """Fréchet distance of a mean and a covariance to the real ones."""
    values = np.linalg.eigvalsh(real.root.T @ cov @ real.root)
    shift = float(np.square(mean - real.mean).sum())
    spread = float(np.trace(real.cov) + np.trace(cov))
    return shift + spread - 2 * float(np.sqrt(np.maximum(values, 0)).sum())
