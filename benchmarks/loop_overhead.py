"""What the executor costs beyond the net's own forward calls.

    python benchmarks/loop_overhead.py OUT.json [--solver dpmpp_2m] [--steps 20] [--pairs 30]

Pairs of runs are interleaved, bare calls and executor in turn, so that drifts of the machine hit
both. OUT.json keeps every time. The aim is a median ratio of at most 1.02 at batch 16 and about a
millisecond a sample.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hasten.core.model import Model
from hasten.core.process import VP, V
from hasten.solvers import SOLVERS, run, stock_plan

SHAPE = (3, 32, 32)


class Convolutions(nn.Module):
    """About a millisecond a sample on one core, most of it in two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 3, 3, padding=1),
        )
        self.scale = nn.Linear(1, 3)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """The prediction [B, 3, 32, 32]."""
        out: Tensor = self.body(x) * (1 + 1e-3 * self.scale(time[:, None]))[:, :, None, None]
        return out


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--solver", choices=list(SOLVERS), default="dpmpp_2m")
    parser.add_argument("--grid", default="logsnr")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    net = Convolutions(arguments.width).eval()
    model = Model(net, VP(), V(), SHAPE, name="convolutions")
    plan = stock_plan(model.process, arguments.solver, arguments.grid, arguments.steps)
    seeds = list(range(arguments.batch))
    x = torch.randn(arguments.batch, *SHAPE)
    times = [
        torch.full((arguments.batch,), float(t)) for t in model.process.time(np.array(plan.sigmas))
    ]

    def bare() -> None:
        with torch.inference_mode():
            for t in times:
                net(x, t)

    def ours() -> None:
        run(model, plan, seeds)

    for _ in range(3):
        bare()
        ours()
    pairs = [(timed(bare), timed(ours)) for _ in range(arguments.pairs)]
    ratios = [executor / calls for calls, executor in pairs]
    facts = {
        "ratio_median": statistics.median(ratios),
        "ratio_quartiles": statistics.quantiles(ratios, n=4),
        "net_ms_per_sample": 1e3
        * statistics.median(calls for calls, _ in pairs)
        / (plan.nfe * arguments.batch),
        "pairs_seconds_bare_executor": pairs,
        "plan": plan.label,
        "rows": plan.nfe,
        "batch": arguments.batch,
        "shape": SHAPE,
        "threads": arguments.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
    }
    partial = arguments.out.with_suffix(".partial")
    partial.write_text(json.dumps(facts, indent=1))
    partial.replace(arguments.out)
    print(f"executor / bare calls: {facts['ratio_median']:.4f}  ({arguments.out})")


if __name__ == "__main__":
    main()
