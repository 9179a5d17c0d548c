"""Reference: what is kept of real data, so that samples can be held against it anywhere."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hasten.errors import BudgetError, DataError
from hasten.files import atomic_write_bytes
from hasten.measure.moments import (
    BIAS_GROUPS,
    CELLS,
    Floats,
    Gaussian,
    Moments,
    as_features,
    scattered,
)
from hasten.measure.result import Measurement, plain

KEPT = 2000
"""Real samples kept with a reference, for the distances that look at neighbours."""
NEIGHBOURS = 5
"""How many neighbours make a real sample's surroundings (Naeem et al. 2020)."""


@final
@dataclass(frozen=True, eq=False)
class Reference:
    """Statistics of real data in the features of one metric.

    Attributes:
        mean: [d].
        cov: [d, d].
        features: Some of the real samples [m, d], for kernel distance, density and coverage.
        count: Number of real samples behind mean and cov.
        metric: Name of the features, part of every figure: ``Fashion judge v1``.
        data: Which real samples, for people: ``Fashion-MNIST test``.
        bias: What the finite number of real samples adds to a Fréchet distance; it is subtracted.
        just_visible: Distance of slightly degraded real data; the margin never falls below its
            share.
        degradation: Which degradation that was.
        floor: Distances nothing honest goes below, such as training data against these.
    """

    mean: Floats
    cov: Floats
    features: NDArray[np.float32]
    count: int
    metric: str
    data: str = ""
    bias: float = 0.0
    just_visible: float = 0.0
    degradation: str = ""
    floor: Mapping[str, Measurement] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        features: Tensor | ArrayLike,
        metric: str,
        *,
        data: str = "",
        keep: int = KEPT,
        **facts: Any,
    ) -> Reference:
        """From the features [n, d] of real samples.

        Raises:
            BudgetError: If they are too few for a covariance.
        """
        table = as_features(features, where=data or "reference")
        if len(table) < max(CELLS, 2 * table.shape[1]):
            raise BudgetError(
                f"{len(table)} real samples are too few for {table.shape[1]} features",
                where=data or "reference",
                hint=f"give at least {max(CELLS, 2 * table.shape[1])}, better ten times as many",
            )
        cells = Moments.of(table)
        whole = cells.all()
        mean, cov = whole.mean, whole.cov
        # R and R without a tenth differ by the sampling error of R, scaled by 1 / (k - 1): the mean
        # distance between them is the bias that a distance to R has because R is finite
        tenths = Gaussian(mean, cov).distance(cells.groups(BIAS_GROUPS).without_each())
        return cls(
            mean=mean,
            cov=cov,
            features=table[scattered(len(table))[:keep]],
            count=len(table),
            metric=metric,
            data=data,
            bias=(BIAS_GROUPS - 1) * float(tenths.mean()),
            **facts,
        )

    @functools.cached_property
    def gaussian(self) -> Gaussian:
        """Mean and covariance, ready for distances."""
        return Gaussian(self.mean, self.cov)

    @functools.cached_property
    def radii(self) -> Floats:
        """Squared distance of each kept sample to its fifth neighbour among them [m]."""
        near = squared_distances(self.features, self.features)
        found: Floats = np.partition(near, NEIGHBOURS, axis=1)[
            :, NEIGHBOURS
        ]  # itself is the zeroth
        return found

    @property
    def dims(self) -> int:
        """Number of features."""
        return len(self.mean)

    def fingerprint(self) -> str:
        """Hash of metric and statistics; equal for references that give equal distances."""
        parts = [
            self.metric.encode(),
            self.mean.tobytes(),
            self.cov.tobytes(),
            str(self.bias).encode(),
        ]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]

    def check(self, features: Tensor | ArrayLike, where: str) -> NDArray[np.float32]:
        """These features as a table, if they are of this metric.

        Raises:
            DataError: If their number is another or they are not finite.
        """
        table = as_features(features, where)
        if table.shape[1] != self.dims:
            raise DataError(
                f"{table.shape[1]} features against a reference with {self.dims} ({self.metric})",
                where=where,
                hint="compute both with the same features",
            )
        return table

    def context(self) -> dict[str, Any]:
        """What a distance to this reference depends on."""
        return {
            "metric": self.metric,
            "reference": self.data,
            "reference_n": self.count,
            "reference_fingerprint": self.fingerprint(),
        }

    def save(self, path: str | Path) -> None:
        """Write a safetensors file with the facts in its header; complete or not at all."""
        from safetensors.numpy import save

        facts = {
            name: plain(getattr(self, name))
            for name in ("count", "metric", "data", "bias", "just_visible", "degradation", "floor")
        }
        tensors = {"mean": self.mean, "cov": self.cov, "features": self.features}
        whole = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
        atomic_write_bytes(path, save(whole, metadata={"hasten.reference": json.dumps(facts)}))

    @classmethod
    def load(cls, path: str | Path) -> Reference:
        """Read what `save` wrote.

        Raises:
            DataError: If the file is missing, damaged or something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="numpy") as file:
                facts = json.loads((file.metadata() or {})["hasten.reference"])
                tensors = {name: file.get_tensor(name) for name in ("mean", "cov", "features")}
            floor = {k: Measurement.from_dict(v) for k, v in facts.pop("floor").items()}
            return cls(**tensors, **facts, floor=floor)
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"the reference statistics cannot be read ({error})", where=str(path)
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"this file does not hold reference statistics ({error!r})",
                where=str(path),
                hint="make it with hasten.measure.quality.make_reference",
            ) from error


def squared_distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> Floats:
    """Squared Euclidean distances [len(a), len(b)]."""
    left, right = torch.from_numpy(a).double(), torch.from_numpy(b).double()
    across = left.square().sum(1)[:, None] + right.square().sum(1) - 2 * left @ right.T
    found: Floats = across.clamp_(min=0).numpy()
    return found
