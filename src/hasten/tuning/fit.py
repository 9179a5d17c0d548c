"""Fit: the coefficients of a plan by least squares on the teacher's trajectories.

A solver's coefficients are right for a smooth trajectory and small steps. With few steps, or with
reused features, other coefficients of the same past outputs land closer to where the trajectory
goes. Row by row, with the net's real answers at hand, the fit moves them:

    minimise  | x*(sigma_k) - sum_j (w_j + d_j) D_j |^2 + ridge |d|^2   over d with  sum_j d_j = 0,

where w is the solver's combination and x* the teacher's point at the row's noise level (at the
end, its sample). The constraint keeps what any consistent linear solver has: a constant D is
integrated exactly, so the fit can extrapolate better but cannot shrink samples towards their
mean. One pass through the plan fits all of it, so a fitted plan costs as much to try as a plain
one.

Related: learned linear solvers (Shaul et al. 2024, arXiv 2403.01329; there by gradients through all
steps).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from hasten.core.plan import Combination
from hasten.tuning.play import combine
from hasten.tuning.teacher import Teacher

RIDGE = 1e-3
"""Weight of staying with the solver, as a share of the outputs' mean square differences."""


@final
@dataclass(frozen=True, eq=False)
class Fit:
    """Revises each row's combination so that it meets the teacher.

    Attributes:
        teacher: The trajectories of the very samples that are played.
        ridge: See `RIDGE`.
    """

    teacher: Teacher
    ridge: float = RIDGE

    def __call__(
        self, _: int, sigma: float, prior: Combination, start: Tensor, outputs: Sequence[Tensor]
    ) -> Combination:
        """The combination that lands nearest to the teacher at ``sigma``."""
        if len(outputs) < 2:
            return prior
        target = self.teacher.end if sigma == 0 else self.teacher.at(sigma)
        residual = (target - combine(prior, start, outputs)).flatten()
        newest = outputs[-1]
        columns = torch.stack([(each - newest).flatten() for each in outputs[:-1]])
        gram = (columns @ columns.T).double()
        gram.diagonal().add_(self.ridge * gram.diagonal().mean() + 1e-30)
        moves = torch.linalg.solve(gram, (columns @ residual).double()).tolist()
        weights = dict(prior.outputs)
        for index, move in enumerate([*moves, -sum(moves)]):
            weights[index] = weights.get(index, 0.0) + move
        return Combination(prior.start, tuple(sorted(weights.items())))
