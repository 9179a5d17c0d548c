"""ShowerFeatures: the compact feature set in which showers are compared for verdicts.

A covariance of d features needs n >> d showers, and a search has one or two thousand; the
challenge's 362 features are too many. These are about sixty, chosen so that each of the things
physicists plot moves some of them:

    response            energy of all layers over the incident energy
    depth, length       first moment of the longitudinal profile, and the root of the second
    energy of layers    in ten groups, roots of shares of the incident energy
    hits of layers      in the same groups, roots; and of all layers (the same as the sparsity)
    ring shares         the transverse profile, roots
    radius, spread      transverse moments in five groups of layers
    centre              along both axes in two groups of layers: their variance is the wobble
    cell spectrum       hits in eight groups of bins of the cell energy, roots
    tilts               response, depth, radius and hits times where the energy lies

Groups are finer where the showers are: they share out energy and layers evenly, half and half.

Why standardise given the incident energy. The spread over energies is not the generator's doing;
it is common to both sides, for conditions are given, and it would drown what is: a 1 % shift of the
energy is .6 standard deviations of the response at 100 GeV, where the resolution is 1.7 %, but
nothing beside the spread of the hits from 1 to 100 GeV. So every feature is what it is above its
mean at that energy in units of its standard deviation there (`Conditional`). The energy itself is
no feature: it would add the conditions' sampling error to both sides and say nothing of the
generator.
The tilts stand for it. Without them +1 % at 10 GeV and -1 % at 100 GeV would cancel in a mean over
all energies; times ln E, of mean 0 and variance 1, they add up.

Why these transforms. Counts and energies of late layers have atoms at nothing and scatter like
counts; a root makes that scatter even and keeps nothing at 0, where a logarithm would put it far
away. Moments of groups with hardly any energy are drawn to the reference's mean by a thousandth of
the incident energy, so that one stray cell is no outlier. What is left is clipped at six standard
deviations: no single shower dominates a covariance.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hasten.data.geometry import Floats, Geometry, Layer
from hasten.errors import DataError
from hasten.files import atomic_write_bytes
from hasten.measure.features import Features
from hasten.measure.physics.conditional import Conditional
from hasten.measure.physics.means import to_sums
from hasten.measure.physics.observables import Observables, observe, width
from hasten.measure.physics.rows import to_rows
from hasten.measure.reading import Reading

VERSION = 1
FINE, COARSE, HALVES, RINGS, BANDS = 10, 5, 2, 9, 8
"""Groups of layers for energies and hits, for moments, for centres; of rings; of spectrum bins."""
PULL = 1e-3
"""Share of the incident energy with which moments are drawn to the reference's."""
TILTED = ("response", "depth", "radius", "hits")
"""Features of which a drift with the energy is looked for."""


@final
@dataclass(frozen=True)
class Grouping:
    """Which layers and bins are taken together, and where their moments are drawn to.

    Attributes:
        fine: First layer of every group for energies and hits.
        coarse: The same for transverse moments.
        halves: The same for centres.
        rings: First ring of every group.
        bands: First bin of every group of the cell spectrum.
        radius: Mean radius of each coarse group in the reference, mm.
        square: Mean squared radius, mm^2.
    """

    fine: tuple[int, ...]
    coarse: tuple[int, ...]
    halves: tuple[int, ...]
    rings: tuple[int, ...]
    bands: tuple[int, ...]
    radius: tuple[float, ...]
    square: tuple[float, ...]

    @classmethod
    def of(cls, seen: Observables) -> Grouping:
        """From reference showers."""
        profile = (np.maximum(seen.layers, 0) / seen.incident[:, None]).mean(axis=0)
        spectrum = seen.spectrum.mean(axis=0)
        filled = int(np.flatnonzero(spectrum).max(initial=0)) + 1
        coarse = _share_out(profile, COARSE)
        energy = _sum(seen.layers, coarse).sum(axis=0)
        weighed = [_sum(seen.layers * x, coarse).sum(axis=0) for x in _radial(seen)]
        radius, square = (np.divide(x, energy, where=energy > 0, out=0 * x) for x in weighed)
        return cls(
            _share_out(profile, FINE),
            coarse,
            _share_out(profile, HALVES),
            _share_out(np.maximum(seen.rings, 0).mean(axis=0), RINGS),
            _share_out(spectrum[:filled], BANDS),
            tuple(radius.tolist()),
            tuple(square.tolist()),
        )

    def columns(self, seen: Observables) -> dict[str, Floats]:
        """Features before they are standardised: name and [n, some]."""
        incident = seen.incident[:, None]
        mean, square = (
            self._drawn(seen, values, self.coarse, np.array(home))
            for values, home in zip(_radial(seen), (self.radius, self.square), strict=True)
        )
        centres = [
            self._drawn(seen, seen.centres[..., axis], self.halves, np.zeros(len(self.halves)))
            for axis in (0, 1)
        ]
        return {
            "response": seen.response[:, None],
            "depth": seen.depth[:, None],
            "length": seen.length[:, None],
            "radius": seen.radius[:, None],
            "hits": _root(seen.hits.sum(axis=1, keepdims=True)),
            "energy of layers": _root(_sum(seen.layers, self.fine) / incident),
            "hits of layers": _root(_sum(seen.hits, self.fine)),
            "rings": _root(_sum(seen.rings, self.rings)),
            "radius of layers": mean,
            "spread of layers": width(square, mean),
            "centre 1 of layers": centres[0],
            "centre 2 of layers": centres[1],
            "cells from bin": _root(_sum(seen.spectrum, self.bands)),
        }

    @property
    def places(self) -> dict[str, tuple[int, ...]]:
        """Where the groups of a feature begin, by its name."""
        return {
            "energy of layers": self.fine,
            "hits of layers": self.fine,
            "rings": self.rings,
            "radius of layers": self.coarse,
            "spread of layers": self.coarse,
            "centre 1 of layers": self.halves,
            "centre 2 of layers": self.halves,
            "cells from bin": self.bands,
        }

    @staticmethod
    def _drawn(seen: Observables, values: Floats, starts: tuple[int, ...], home: Floats) -> Floats:
        pull = PULL * seen.incident[:, None]
        energy = np.maximum(_sum(seen.layers, starts), 0)
        found: Floats = (_sum(seen.layers * values, starts) + pull * home) / (energy + pull)
        return found


@final
class ShowerFeatures(Features):
    """About sixty numbers of a shower, standardised given its incident energy.

    Samples are cell energies in MeV, [n, cells] or any shape that is flattened to it; conditions
    are incident energies in MeV, [n] or [n, 1].

    Args:
        geometry: Of the showers.
        grouping: What is taken together.
        law: Means and spreads as functions of the energy.
        name: Names the metric; by default geometry, version and a hash of what was fitted, so that
            features fixed on different showers are not mistaken for each other.
    """

    def __init__(
        self, geometry: Geometry, grouping: Grouping, law: Conditional, name: str = ""
    ) -> None:
        self.geometry, self.grouping, self.law = geometry, grouping, law
        self.dims = law.mean.shape[1] + len(TILTED)
        digest = hashlib.sha256(repr((geometry, grouping)).encode())
        for values in (law.knots, law.mean, law.log_std, law.centre):
            digest.update(np.ascontiguousarray(values).tobytes())
        self.name = name or f"shower features {geometry.name} v{VERSION} ({digest.hexdigest()[:6]})"

    @classmethod
    def fit(
        cls, cells: Tensor | ArrayLike, energies: Tensor | ArrayLike, geometry: Geometry
    ) -> ShowerFeatures:
        """Fixed on reference showers, such as the training data.

        Args:
            cells: [n, cells], MeV.
            energies: Incident energies [n] or [n, 1], MeV.
            geometry: Of the showers.

        Raises:
            DataError: If shapes or numbers do not fit.
            BudgetError: If there are fewer than 250 showers.
        """
        seen = observe(cells, energies, geometry)
        grouping = Grouping.of(seen)
        table = np.concatenate(list(grouping.columns(seen).values()), axis=1)
        return cls(geometry, grouping, Conditional.fit(table, seen.incident))

    @functools.cached_property
    def titles(self) -> tuple[str, ...]:
        """What each feature is, in order [dims]; groups are named by their first member."""
        energy = np.exp(self.law.knots[:1])
        dark = observe(np.zeros((1, self.geometry.cells)), energy, self.geometry)
        found = [
            f"{name} {start}".strip()
            for name in self.grouping.columns(dark)
            for start in self.grouping.places.get(name, ("",))
        ]
        return (*found, *(f"{name}, tilt" for name in TILTED))

    def look(self, samples: Tensor, cond: Tensor | None = None) -> Reading:
        """Standardised features.

        Raises:
            DataError: If there are no conditions, or they are not energies the reference has.
        """
        if cond is None:
            raise DataError(
                "showers are judged given their incident energies, but there are none",
                where=self.name,
                hint="pass the conditions the samples were drawn with: energies [n] in MeV",
            )
        seen = observe(samples, cond, self.geometry)
        return Reading(
            torch.from_numpy(self.of(seen)),
            seen=torch.from_numpy(to_rows(seen)),
            sums=torch.from_numpy(to_sums(seen)),
        )

    def of(self, seen: Observables) -> NDArray[np.float32]:
        """Features [n, dims] of showers whose observables are at hand."""
        columns = self.grouping.columns(seen)
        table = self.law(np.concatenate(list(columns.values()), axis=1), seen.incident)
        starts = dict(
            zip(columns, np.cumsum([0, *(c.shape[1] for c in columns.values())]), strict=False)
        )
        tilted = table[:, [starts[name] for name in TILTED]]
        tilted = tilted * self.law.tilt(seen.incident)[:, None]
        return np.concatenate([table, tilted], axis=1).astype(np.float32)

    def save(self, path: str | Path) -> None:
        """Write all that was fixed, complete or not at all; later showers are seen as these."""
        from safetensors.numpy import save

        facts = {
            "name": self.name,
            "version": VERSION,
            "geometry": dataclasses.asdict(self.geometry),
            "grouping": dataclasses.asdict(self.grouping),
        }
        fitted = dataclasses.fields(self.law)
        tensors = {f.name: np.ascontiguousarray(getattr(self.law, f.name)) for f in fitted}
        atomic_write_bytes(path, save(tensors, metadata={"hasten.showers": json.dumps(facts)}))

    @classmethod
    def load(cls, path: str | Path) -> ShowerFeatures:
        """Read what `save` wrote.

        Raises:
            DataError: If the file cannot be read, holds something else or is of another version.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="numpy") as file:
                facts = json.loads((file.metadata() or {})["hasten.showers"])
                fitted = [field.name for field in dataclasses.fields(Conditional)]
                law = Conditional(*(file.get_tensor(name) for name in fitted))
            if facts["version"] != VERSION:
                raise DataError(
                    f"shower features of version {facts['version']}, this is {VERSION}",
                    where=str(path),
                    hint="fit them again on the reference showers",
                )
            shape = facts["geometry"]
            layers = [Layer(tuple(each["edges"]), each["sectors"]) for each in shape.pop("layers")]
            grouping = Grouping(**{key: tuple(x) for key, x in facts["grouping"].items()})
            return cls(Geometry(layers=tuple(layers), **shape), grouping, law, facts["name"])
        except (OSError, SafetensorError) as error:
            raise DataError(f"the features cannot be read ({error})", where=str(path)) from error
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"this file does not hold shower features ({error!r})", where=str(path)
            ) from error


def _radial(seen: Observables) -> tuple[Floats, Floats]:
    """Mean and mean square of the radius in the layers [n, layers]."""
    return seen.radii, np.square(seen.spreads) + np.square(seen.radii)


def _sum(table: Floats, starts: tuple[int, ...]) -> Floats:
    """Sums of neighbouring columns."""
    if not starts:
        return table[:, :0]
    found: Floats = np.add.reduceat(table, starts, axis=1)
    return found


def _share_out(mass: Floats, parts: int) -> tuple[int, ...]:
    """First places of groups with even shares of mass and places, half and half."""
    parts = min(parts, len(mass))
    if not parts:
        return ()
    whole = mass.sum() or 1.0
    passed = np.cumsum(mass / whole + 1 / len(mass)) / 2
    starts = [0]
    for part in range(1, parts):
        place = int(np.searchsorted(passed, part / parts))
        # at least one place each, and enough left for the rest
        starts.append(min(max(place, starts[-1] + 1), len(mass) - parts + part))
    return tuple(starts)


def _root(table: Floats) -> Floats:
    """Square roots of counts and energies; what a sampler left below 0 counts as nothing."""
    found: Floats = np.sqrt(np.maximum(table, 0))
    return found
