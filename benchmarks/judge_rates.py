"""The judge's three rates on real features: are its verdicts as reliable as it says?

    python benchmarks/judge_rates.py POOL.npz --out rates.json

POOL.npz holds ``reference`` [m, d], features of real data, and ``baseline`` [N, d], features of a
sampler's samples (20,000 or more). With ``features`` [N, d] alone, real ones, half are the
reference and the other half become a poor sampler's by shift and shrinkage to ``--share`` of the
variance.

The pool is taken as the whole truth: trials draw from it with replacement, so every distance is
known exactly. A pair of samples is one row in both arms, or, with probability 1 - rho, two rows
drawn apart; that redraws part of the noise and leaves each arm's law as it is. Candidates of a
wanted distance are the baseline shifted and shrunk.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hasten.measure.intervals import share_interval
from hasten.measure.moments import Moments
from hasten.measure.quality import Reference, frechet
from hasten.measure.result import context, plain
from hasten.measure.verdict import Verdict, judge_contrast

Table = NDArray[np.float32]
LIMITS = {  # share of the trials, at least or at most; 18 of 200 is 99 % binomial for 5 %
    "at the margin": [("within", "<=", 18 / 200)],
    "noise redrawn": [("within", ">=", 0.8), ("outside", "<=", 5 / 200)],
    "15 % beyond the margin": [("outside", ">=", 0.8)],
}


def read(path: Path, share: float) -> tuple[Reference, Table]:
    with np.load(path, allow_pickle=False) as file:
        tables = {name: np.asarray(file[name], dtype=np.float32) for name in file.files}
    if "features" in tables:
        order = np.random.default_rng(0).permutation(len(tables["features"]))
        real, other = np.array_split(tables["features"][order], 2)
        reference = Reference.of(real, path.stem, data=path.name)
        wanted = share * float(np.trace(reference.cov))
        return reference, degraded(other, reference, wanted)
    return Reference.of(tables["reference"], path.stem, data=path.name), tables["baseline"]


def truth(pool: Table, reference: Reference) -> float:
    """Distance of the pool's law, as the corrected estimate sees it."""
    return float(reference.gaussian.distance(Moments.of(pool).all())) - reference.bias


def degraded(pool: Table, reference: Reference, wanted: float) -> Table:
    """The pool shifted and shrunk until its distance is the wanted one (bisection)."""
    mean = pool.mean(axis=0, dtype=np.float64)
    shift = pool.std(axis=0, dtype=np.float64)

    def at(s: float) -> Table:
        table: Table = (mean + (1 - s) * (pool - mean) + s * shift).astype(np.float32)
        return table

    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if truth(at(middle), reference) < wanted else (low, middle)
    return at((low + high) / 2)


def judge(pool: Table, candidate: Table, reference: Reference, settings: Any) -> list[Verdict]:
    rng = np.random.default_rng(settings.seed)
    found = []
    for _ in range(settings.trials):
        rows = rng.integers(len(pool), size=settings.n)
        apart = np.where(
            rng.random(settings.n) < settings.rho, rows, rng.integers(len(pool), size=settings.n)
        )
        arms = frechet(candidate[apart], reference), frechet(pool[rows], reference)
        found.append(judge_contrast(*arms, reference, settings.margin, settings.just_visible))
    return found


def summary(name: str, verdicts: list[Verdict], ratio: float) -> dict[str, Any]:
    trials, outcomes = len(verdicts), [verdict.outcome.value for verdict in verdicts]
    rules = []
    for outcome, sense, limit in LIMITS[name]:
        share = outcomes.count(outcome) / trials
        kept = share <= limit if sense == "<=" else share >= limit
        low, high = share_interval(outcomes.count(outcome), trials, 0.95)
        rules.append(
            {
                "outcome": outcome,
                "share": share,
                "low": low,
                "high": high,
                "limit": sense + f" {limit:g}",
            }
            | {"kept": kept}
        )
    planned = [n for verdict in verdicts if (n := verdict.planned_n()) is not None]
    return {
        "rules": rules,
        "true_ratio": ratio,
        "outcomes": {name: outcomes.count(name) for name in ("within", "outside", "undecided")},
        "ratio_covered": float(np.mean([v.ratio.low <= ratio <= v.ratio.high for v in verdicts])),
        "se_share_median": float(np.median([v.se_share for v in verdicts])),
        "rho_mean": float(np.mean([v.rho for v in verdicts])),
        "spread_over_se": float(
            np.std([v.contrast for v in verdicts], ddof=1)
            / math.sqrt(np.mean([v.se**2 for v in verdicts]))
        ),
        "n_for_90_percent": int(np.median(planned)) if planned else None,
        "raw": [{"contrast": v.contrast, "se": v.se, "outcome": v.outcome} for v in verdicts],
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description="The judge's three rates on a pool of real features."
    )
    parser.add_argument("pool", type=Path, help="npz with reference and baseline, or features")
    parser.add_argument("--n", type=int, default=2500, help="pairs a trial (default 2500)")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--margin", type=float, default=0.05)
    parser.add_argument("--just-visible", type=float, default=0.0, help="FD_jv")
    parser.add_argument("--rho", type=float, default=0.9, help="share of pairs with equal noise")
    parser.add_argument("--share", type=float, default=0.06, help="made-up baseline's distance")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("judge_rates.json"))
    settings = parser.parse_args()

    start = time.perf_counter()
    reference, pool = read(settings.pool, settings.share)
    base = truth(pool, reference)
    allowed = base + settings.margin * max(base, settings.just_visible)
    wanted = {
        "at the margin": allowed,
        "noise redrawn": base,
        "15 % beyond the margin": 1.15 * allowed,
    }
    found = {}
    for name, distance in wanted.items():
        candidate = pool if distance == base else degraded(pool, reference, distance)
        ratio = truth(candidate, reference) / base
        found[name] = summary(name, judge(pool, candidate, reference, settings), ratio)
        for rule in found[name]["rules"]:
            mark = "kept" if rule["kept"] else "BROKEN"
            print(f"{name:24} {rule['outcome']:8} {rule['share']:6.1%} ({rule['limit']}) {mark}")
    record = {
        "settings": {
            key: str(v) if isinstance(v, Path) else v for key, v in vars(settings).items()
        },
        "reference": reference.context(),
        "dims": reference.dims,
        "pool": len(pool),
        "distance_share_of_variance": base / float(np.trace(reference.cov)),
        "rates": found,
        "seconds": time.perf_counter() - start,
        "context": context(),
    }
    part = settings.out.with_suffix(".part")
    part.write_text(json.dumps(plain(record), indent=1))
    part.replace(settings.out)
    return int(not all(rule["kept"] for rate in found.values() for rule in rate["rules"]))


if __name__ == "__main__":
    raise SystemExit(main())
