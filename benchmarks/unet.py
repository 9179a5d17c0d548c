"""The bars of the bundled U-Net: a fresh study, and what it found against what is asked.

    python benchmarks/unet.py [--model fashion-unet] [--least 5] [--run DIR] > unet.json

Fresh final seeds. This model is so good that a distance is mostly noise at the demo's n, so more
samples are judged; two idle cores take about 25 minutes, most of them for the references. Asked
are: a verdict `within`, a speed-up over the model's own sampler of at least so much, and less time
than the best stock sampler, by the lower ends of the intervals.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import hasten


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="fashion-unet")
    parser.add_argument("--least", type=float, default=5.0)
    parser.add_argument("--search-samples", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    run = given.run or Path(tempfile.mkdtemp()) / "run"
    begun = (run / "facts.json").exists()
    facts = hasten.tune(
        hasten.load(given.model),
        trials=given.trials,
        search_samples=given.search_samples,
        samples=given.samples,
        seeds=48,
        finalists=2,
        threads=given.threads,
        run=None if begun else run,
        resume=run if begun else None,
        progress=lambda stage, share, message: print(
            f"{stage} {share:4.0%} {message}", file=sys.stderr
        ),
    ).facts
    best, fewer, over = facts["best"], facts["fewer_steps"], facts["best_over_fewer_steps"]
    report: dict[str, Any] = {"run": str(run), "bars": bars(best, over, given.least)}
    for name, arm in (("baseline", facts["baseline"]), ("fewer_steps", fewer), ("best", best)):
        keys = ("label", "nfe", "seconds_per_sample", "speedup_interval", "distance_ratio", "n")
        report[name] = arm and {key: arm[key] for key in keys} | {
            "search_ratio": arm["search_ratio"],
            "checks": arm["checks"],
            "se_share": arm["verdict_detail"]["se_share"],
            "rho": arm["verdict_detail"]["rho"],
        }
    report["best_over_fewer_steps"] = over
    report |= {"machine": facts["speeds"], "versions": facts["versions"]}
    print(json.dumps(report, indent=1))
    sys.exit(not all(report["bars"].values()))


def bars(best: dict[str, Any] | None, over: dict[str, Any] | None, least: float) -> dict[str, bool]:
    """Which of the bars are met."""
    return {
        "within": best is not None and best["verdict"] == "within",
        f"at least {least:g} times faster": best is not None
        and best["speedup_interval"]["low"] >= least,
        "faster than fewer steps": over is not None and over["low"] > 1,
    }


if __name__ == "__main__":
    main()
