"""Two fixed classifiers that try to tell judged showers from true ones.

    high_level_auc   boosted trees on numbers of a shower (scikit-learn)
    low_level_auc    a particle-flow network on its cells

Nothing is tuned to the showers at hand: settings, seeds and folds are fixed. What they find of
damage planted in Geant4 showers (electromagnetic, W-Si, 1-100 GeV), 3,000 against other 3,000,
95 % intervals +-.021 wide:

                              trees, features   trees, challenge   network, cells
    nothing                        .500              .490              .511
    energy scale +1 %              .572              .547              .581
    energy scale +3 %              .740              .729              .741
    cells smeared by 2 %           .502              .501              .511
    cells smeared by 10 %          .515              .492              .518
    cells smeared by 20 %          .625              .512              .678
    1 % of cells dark              .590              .550              .772

These are the figures of ``benchmarks/results/planted-geant4.json``. None sees cells smeared
independently by 2 to 10 %: showers fluctuate more than that in every cell, and the sums hardly
move. +1 % is close to what any classifier can: the resolution is 11 to 1.7 %.

The low-level one is no dense net on all voxels, as in the challenge: that needs its hundred
thousand showers; with 3,000 + 3,000 it learned them by heart and gave .49 to .52 for a 3 % shift of
the energy scale, which this one sees at .74. A particle-flow network (Komiske, Metodiev and Thaler,
arXiv 1810.05165) gives every lit cell to one small net, sums what it says over the shower, with and
without the share of energy as weight, and judges the sums together with log E. A cell is its energy
over threshold and over incident energy, its place, and the energies of its six neighbours; so sums
over cells and over neighbouring pairs can be found, correlations over longer distances cannot.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import ArrayLike
from torch import Tensor, nn

from hasten.data.geometry import Floats, Geometry
from hasten.errors import DataError, MissingExtra
from hasten.measure.moments import as_features
from hasten.measure.physics.auc import Indices, cross_validated
from hasten.measure.physics.neighbours import neighbours
from hasten.measure.physics.observables import (
    LOWEST,
    Observables,
    as_cells,
    as_energies,
    high_level,
)
from hasten.measure.result import Measurement

HIGH_FOLDS, LOW_FOLDS = 5, 3
TREES = {
    "max_iter": 100,
    "learning_rate": 0.05,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 40,
    "l2_regularization": 1.0,
    "max_features": 0.3,
}
"""Of `sklearn.ensemble.HistGradientBoostingClassifier`, without early stopping."""
EPOCHS, BATCH, RATE, DECAY = 5, 100, 2e-3, 1e-3
"""Of the network's training: AdamW with a one-cycle rate."""
WIDTH, HEAD = 32, 64


def challenge_table(seen: Observables) -> Floats:
    """The challenge's features and those of the whole shower [n, 8 layers + 8].

    Without the response trees cannot see a shift of the energy scale: it is a difference of two
    logarithms to a hundredth.
    """
    whole = (seen.response, seen.depth, seen.length, seen.radius, seen.breadth, seen.empty)
    return np.concatenate([high_level(seen), np.stack(whole, axis=1)], axis=1)


def high_level_auc(
    values: Tensor | ArrayLike,
    reference: Tensor | ArrayLike,
    *,
    folds: int = HIGH_FOLDS,
    seed: int = 0,
    confidence: float = 0.95,
) -> Measurement:
    """AUC of gradient-boosted trees on numbers of showers.

    Args:
        values: Of the showers judged [n, d]: `ShowerFeatures` or `challenge_table`.
        reference: The same of true ones [m, d].
        folds: Parts for cross-validation.
        seed: Of folds and trees.
        confidence: Of the interval.

    Raises:
        MissingExtra: If scikit-learn is not installed.
        DataError: If the two do not have the same columns.
        BudgetError: If there are too few showers.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise MissingExtra("scikit-learn", "showers") from error
    x, y = as_features(values, "judged"), as_features(reference, "reference")
    if x.shape[1] != y.shape[1]:
        raise DataError(f"{x.shape[1]} numbers a shower against {y.shape[1]}", where="classifier")
    table = np.concatenate([x, y])

    def scores(seen: Indices, held: Indices) -> ArrayLike:
        trees = HistGradientBoostingClassifier(**TREES, early_stopping=False, random_state=seed)
        found: ArrayLike = trees.fit(table[seen], seen < len(x)).decision_function(table[held])
        return found

    facts = {"classifier": "boosted trees", "inputs": x.shape[1]}
    return cross_validated(
        len(x), len(y), scores, folds=folds, seed=seed, confidence=confidence, facts=facts
    )


def low_level_auc(
    cells: Tensor | ArrayLike,
    energies: Tensor | ArrayLike,
    reference: Tensor | ArrayLike,
    reference_energies: Tensor | ArrayLike,
    geometry: Geometry,
    *,
    folds: int = LOW_FOLDS,
    seed: int = 0,
    confidence: float = 0.95,
) -> Measurement:
    """AUC of a particle-flow network on the cells of showers.

    Args:
        cells: Of the showers judged [n, cells], MeV.
        energies: Their incident energies [n], MeV.
        reference: Cells of true showers [m, cells].
        reference_energies: Theirs [m].
        geometry: Of both.
        folds: Parts for cross-validation.
        seed: Of folds, weights and batches.
        confidence: Of the interval.

    Raises:
        DataError: If shapes or numbers do not fit.
        BudgetError: If there are too few showers.
    """
    sides = [as_cells(each, geometry) for each in (cells, reference)]
    table = torch.cat([torch.from_numpy(np.asarray(side, np.float32)) for side in sides])
    if not bool(torch.isfinite(table).all()):
        raise DataError("some cells are not finite", where="classifier")
    n, m = (len(side) for side in sides)
    both = (as_energies(energies, n), as_energies(reference_energies, m))
    incident = torch.from_numpy(np.concatenate(both)).float()

    def scores(seen: Indices, held: Indices) -> ArrayLike:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            net = _FlowNet(geometry, incident)
            _train(net, table, incident, torch.from_numpy(seen), n)
        net.eval()
        with torch.no_grad():
            parts = torch.split(torch.from_numpy(held), 4 * BATCH)
            return torch.cat([net(table[part], incident[part]) for part in parts]).numpy()

    facts = {"classifier": "particle-flow network", "inputs": geometry.cells}
    return cross_validated(n, m, scores, folds=folds, seed=seed, confidence=confidence, facts=facts)


def _train(net: _FlowNet, table: Tensor, incident: Tensor, seen: Tensor, n: int) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    steps = math.ceil(len(seen) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * steps)
    for _ in range(EPOCHS):
        for batch in seen[torch.randperm(len(seen))].tensor_split(steps):
            wanted = (batch < n).float()
            logits = net(table[batch], incident[batch])
            loss = F.binary_cross_entropy_with_logits(logits, wanted)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()


class _FlowNet(nn.Module):
    """Sums over lit cells of what a small net says of each, and a small net on the sums."""

    def __init__(self, geometry: Geometry, incident: Tensor) -> None:
        super().__init__()
        self.threshold = geometry.threshold or LOWEST
        self.near = torch.from_numpy(neighbours(geometry))
        self.place = _places(geometry)
        log_energy = incident.log()
        self.middle, self.spread = log_energy.mean(), log_energy.std().clamp(min=1e-3)
        inputs = 3 + len(self.near) + self.place.shape[1]
        self.cell = nn.Sequential(
            nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()
        )
        self.norm = nn.BatchNorm1d(2 * WIDTH + 1)
        self.head = nn.Sequential(nn.Linear(2 * WIDTH + 2, HEAD), nn.ReLU(), nn.Linear(HEAD, 1))

    def forward(self, cells: Tensor, incident: Tensor) -> Tensor:
        """Logits [b] that showers [b, cells] are judged ones, not true ones."""
        count = len(cells)
        # the last column is where cells at the edge have their missing neighbours
        light = F.pad(torch.log1p(cells.clamp(min=0) / self.threshold), (0, 1))
        row, cell = torch.nonzero(cells, as_tuple=True)
        lit, energy = cells[row, cell], (incident.log() - self.middle) / self.spread
        share = lit / incident[row]
        around = [light[row, self.near[side, cell]] / 6 - 0.5 for side in range(len(self.near))]
        # logarithms brought to the order of 1
        own = [light[row, cell] / 3 - 1.5, share.abs().log() / 3 + 2, energy[row], *around]
        said = self.cell(torch.cat([torch.stack(own, dim=1), self.place[cell]], dim=1))
        weighed, response = (
            torch.zeros(count, values.shape[1]).index_add(0, row, values)
            for values in (said * share[:, None], share[:, None])
        )
        # hits grow like the root of the energy
        usual = (incident / self.threshold).sqrt()[:, None]
        counted = torch.zeros(count, WIDTH).index_add(0, row, said) / usual
        sums = self.norm(torch.cat([weighed, counted, response], dim=1))
        logits: Tensor = self.head(torch.cat([sums, energy[:, None]], dim=1))
        return logits[:, 0]


@functools.cache
def _places(geometry: Geometry) -> Tensor:
    """Where every cell is, of the order of 1 [cells, 4]."""
    depth = geometry.layer_of / max(len(geometry.layers) - 1, 1)
    radius = geometry.radius / geometry.radius.max()
    parts = (2 * depth - 1, 2 * radius - 1, np.cos(geometry.angle), np.sin(geometry.angle))
    return torch.from_numpy(np.stack(parts, axis=1)).float()
