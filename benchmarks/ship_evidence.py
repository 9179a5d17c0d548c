"""Features of the reference arms for fixed seeds, to be shipped with a bundled model.

    python benchmarks/ship_evidence.py fashion-uvit --search 500 --final 1000

The references (the card's sampler and the converged equation) cost far more than any candidate. For
the demo's fixed seeds their features lie in the model's folder, found by fingerprint of weights,
recipe and seeds; candidates are always sampled afresh. Finished blocks are kept, so a stopped run
continues; ``--part K/N`` shares the work among processes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from hasten.applying import apply
from hasten.core.identity import model_fingerprint
from hasten.loading import load
from hasten.recipe import Recipe
from hasten.tuning.judging import Court
from hasten.tuning.seeds import drawn_conditions, stream
from hasten.tuning.standard import settle
from hasten.tuning.study import CHUNK, baseline
from hasten.tuning.teacher import converged_plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--search", type=int, default=500)
    parser.add_argument("--final", type=int, default=1000)
    parser.add_argument("--run-id", default="demo")
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    part, parts = map(int, given.part.split("/"))

    model = load(given.model)
    folder = Path(str(model.card["folder"])) / "evidence"
    folder.mkdir(exist_ok=True)
    standard = settle(model, None, None, lambda: (torch.empty(0), None))
    court = Court(standard.features, standard.reference, drawn_conditions(model), CHUNK, (folder,))
    arms = (baseline(model), Recipe(converged_plan(model.process)))
    streams = (
        stream(0, "judge", given.search),
        stream(given.run_id, "final", given.final),
    )
    work = [(recipe, seeds) for seeds in streams for recipe in arms]
    for recipe, seeds in work[part - 1 :: parts]:
        identity = f"{model_fingerprint(model)}|{recipe.fingerprint()}|1.0"
        with apply(model, recipe) as sampler:
            court.read(sampler, identity, seeds)
        print(recipe.label, seeds[0], len(seeds), flush=True)


if __name__ == "__main__":
    main()
