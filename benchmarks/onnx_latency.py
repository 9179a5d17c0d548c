"""Latency of one sample: an exported graph in onnxruntime against hasten in PyTorch.

    python benchmarks/onnx_latency.py OUT.json MODEL [-r RECIPE] [--guidance 1] [--pairs 30]

MODEL and RECIPE are named as on the command line of hasten. Batch 1, one thread, everything from
condition and noise to decoded sample. Runs are interleaved, PyTorch, onnxruntime, and onnxruntime
without graph optimisations (the default of Geant4's Par04) in turn, so that drifts of the machine
hit all of them. OUT.json keeps every time; below 1, the ratios say, the graph is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from hasten.applying import apply
from hasten.cli.subjects import open_model, open_recipe
from hasten.core.model import Model
from hasten.integrate.onnx import export_onnx, noise_for

GEV = 1e3
ARMS = ("pytorch", "onnxruntime", "onnxruntime_unoptimised")


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def session(path: Path, *, optimised: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def condition(model: Model) -> tuple[torch.Tensor | None, dict[str, Any]]:
    """One condition, for hasten and for the graph."""
    if model.energies is not None:
        energy = model.energies.at(torch.tensor([0.5]))
        return energy, {"condition": (energy / GEV)[:, None].numpy()}
    if model.classes is not None:
        return torch.tensor([0]), {"label": np.array([0])}
    return None, {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("model")
    parser.add_argument("-r", "--recipe")
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--warm", type=int, default=3)
    arguments = parser.parse_args()

    model = open_model(arguments.model, threads=1)
    recipe = open_recipe(arguments.recipe, model, arguments.model)
    cond, feed = condition(model)
    noise = "seed" if feed else "input"  # without a condition, nothing says how many are wanted
    if not feed:
        feed = {"noise": noise_for(model, recipe, [0]).numpy()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        written = export_onnx(model, recipe, path, noise=noise, guidance=arguments.guidance)
        size = path.stat().st_size
        fast, plain = (session(path, optimised=optimised) for optimised in (True, False))
    seeds = iter(range(1 << 30))
    with apply(model, recipe, guidance=arguments.guidance) as applied:
        plan = applied.plan
        works = (
            lambda: applied.sample([next(seeds)], cond),
            lambda: fast.run(None, feed),
            lambda: plain.run(None, feed),
        )
        for _ in range(arguments.warm):
            for work in works:
                work()
        rounds = [[timed(work) for work in works] for _ in range(arguments.pairs)]
    ratios = {
        name: [times[index] / times[0] for times in rounds]
        for index, name in enumerate(ARMS)
        if index
    }
    facts = {
        "ratio_median": {name: statistics.median(each) for name, each in ratios.items()},
        "ratio_quartiles": {name: statistics.quantiles(each, n=4) for name, each in ratios.items()},
        "milliseconds_median": {
            name: 1e3 * statistics.median(times[index] for times in rounds)
            for index, name in enumerate(ARMS)
        },
        "rounds_seconds": rounds,
        "arms": ARMS,
        "n": len(rounds),
        "model": model.name,
        "plan": plan.label,
        "evaluations": plan.nfe,
        "guidance": arguments.guidance,
        "noise": noise,
        "bytes": size,
        "distance": written.distance,
        "notes": written.notes,
        "batch": 1,
        "threads": 1,
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }
    partial = arguments.out.with_suffix(".partial")
    partial.write_text(json.dumps(facts, indent=1))
    partial.replace(arguments.out)
    for name, found in facts["ratio_median"].items():
        print(f"{name} / pytorch: {found:.3f}  (n = {len(rounds)}, {arguments.out})")


if __name__ == "__main__":
    main()
