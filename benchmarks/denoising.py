"""How much a shower model's denoiser says of whole showers, at every noise level.

    python benchmarks/denoising.py run MODEL SHOWERS.h5 OUT.json
    python benchmarks/denoising.py table TITLE=OUT.json [TITLE=OUT.json ...]     docs/underfit.md

An exact denoiser gives the mean of all clean showers that may be behind a noisy one. So of every
property that is linear in the cells' numbers, the regression of what is true on what it says has
slope 1, at every noise level. A slope above 1 is a net that
says too little, and samples will vary too little in that property; one below 1 says too much.
SHOWERS are showers of the law the model was trained on; the validation part is taken.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hasten.adapters.showers import Showers, layer_sums
from hasten.core.identity import model_fingerprint
from hasten.core.model import Model
from hasten.data.showers import load_showers
from hasten.files import atomic_write_text
from hasten.loading import load
from hasten.measure.intervals import Floats, ratio_interval
from hasten.tuning.folder import versions
from physics_table import interval, write

PAGE = Path(__file__).parent.parent / "docs" / "underfit.md"
SIGMAS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
GROUPS, DEGREE, BATCH = 5, 3, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    study = parts.add_parser("run")
    study.add_argument("model")
    study.add_argument("showers", type=Path)
    study.add_argument("out", type=Path)
    study.add_argument("--n", type=int, default=2000)
    parts.add_parser("table").add_argument("outs", nargs="+", metavar="TITLE=OUT")
    given = parser.parse_args()
    torch.set_num_threads(1)
    {"run": run, "table": table}[given.part](given)


def run(given: argparse.Namespace) -> None:
    """The slopes of every property."""
    model = load(given.model)
    codec = model.codec
    if not isinstance(codec, Showers):
        raise SystemExit(f"{given.model} has no layer model beside its cells")
    showers = load_showers(given.showers, geometry=codec.geometry, split="valid")
    cells, incident = (
        torch.from_numpy(each[: given.n]) for each in (showers.cells, showers.energies)
    )
    told = codec.condition(layer_sums(cells, codec.geometry), incident)
    x0 = codec.clean(cells)
    basis = torch.stack([told[:, 0].double() ** power for power in range(DEGREE + 1)], dim=1)
    true, rows = properties(x0), {}
    for sigma in SIGMAS:
        said = properties(torch.cat(list(denoised(model, x0, told, sigma))))
        rows[str(sigma)] = {
            name: slope(beyond(said[name], basis), beyond(true[name], basis)) for name in true
        }
    report = {
        "model": model.name,
        "fingerprint": model_fingerprint(model),
        "showers": showers.name,
        "n": len(cells),
        "slopes": rows,
        **versions(),
    }
    atomic_write_text(given.out, json.dumps(report, indent=1) + "\n")


def denoised(model: Model, x0: Tensor, told: Tensor, sigma: float) -> Iterator[Tensor]:
    """What the net takes noisy showers for, batch by batch; noise is the same at every level."""
    rng = torch.Generator().manual_seed(0)
    for first in range(0, len(x0), BATCH):
        some = x0[first : first + BATCH]
        noisy = some + sigma * torch.randn(some.shape, generator=rng)
        with torch.no_grad():
            yield model.denoise(noisy, sigma, told[first : first + BATCH])


def properties(x: Tensor) -> dict[str, Tensor]:
    """Linear properties of showers [n, layers, sectors, rings], by groups of layers [n, ...]."""
    sector = 2 * math.pi * torch.arange(x.shape[2]) / x.shape[2]
    ring = torch.arange(x.shape[3]) - (x.shape[3] - 1) / 2
    sums = {
        "where around the axis": torch.stack(
            [torch.einsum("nzar,a->nz", x, wave) for wave in (sector.cos(), sector.sin())]
        ).movedim(0, -1),
        "how far from the axis": torch.einsum("nzar,r->nz", x, ring)[..., None],
        "how much": x.sum(dim=(2, 3))[..., None],
    }
    edges = [round(share) for share in np.linspace(0, x.shape[1], GROUPS + 1)]
    return {
        name: torch.cat(
            [part[:, a:b].sum(dim=1) for a, b in itertools.pairwise(edges)], dim=1
        ).double()
        for name, part in sums.items()
    }


def beyond(values: Tensor, basis: Tensor) -> Tensor:
    """What the incident energy does not explain; the net is told it."""
    return values - basis @ torch.linalg.lstsq(basis, values).solution


def slope(said: Tensor, true: Tensor) -> dict[str, float]:
    """Of what is true on what is said [n, k], all k taken together, with its interval."""
    scale = true.std(dim=0)
    top, bottom = (((said / scale) * (each / scale)).mean(dim=1).numpy() for each in (true, said))
    covariance: Floats = np.cov(top, bottom) / len(top)
    low, high = ratio_interval(float(top.mean()), float(bottom.mean()), covariance, 0.95)
    return {"value": float(top.mean() / bottom.mean()), "low": low, "high": high}


def table(given: argparse.Namespace) -> None:
    """Write the slopes between the marks of the page."""
    found: dict[str, Any] = {}
    for each in given.outs:
        title, path = each.split("=", 1)
        found[title] = json.loads(Path(path).read_text("utf-8"))
    names = list(next(iter(found.values()))["slopes"][str(SIGMAS[0])])
    rows = [
        [
            name if first else "",
            title,
            *(interval(each["slopes"][str(s)][name], ".2f") for s in SIGMAS),
        ]
        for name in names
        for first, (title, each) in zip([True, *[False] * len(found)], found.items(), strict=False)
    ]
    n = min(each["n"] for each in found.values())
    head = ["", "model", *(f"sigma = {sigma:g}" for sigma in SIGMAS)]
    write(PAGE, "denoising", head, rows, f"n = {n:,}; 95 % intervals.")


if __name__ == "__main__":
    main()
