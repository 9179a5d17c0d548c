"""The landscape of solvers: who comes how near to the exact samples with how many evaluations.

    python benchmarks/solvers.py endpoint MODEL     our solvers on our grids
    python benchmarks/solvers.py diffusers MODEL    the scheduler classes of diffusers
    python benchmarks/solvers.py distance MODEL     distance of some to real data
    python benchmarks/solvers.py figure             docs/solvers.png
    python benchmarks/solvers.py table              the tables of docs/solvers.md

MODEL is fashion-uvit, fashion-unet or mixture. The first three run for up to an hour of one core;
what is finished lies in a journal under --work, so a stopped run continues where it was. Their
results go to --results, from where figure and table read; those of other --evaluations that lie
there stay. Full size, on an accelerator:

    python benchmarks/solvers.py endpoint MODEL --device cuda --full --n 4096
    python benchmarks/solvers.py distance MODEL --device cuda --n 50000
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from hasten.tuning.journal import Journal
from landscape import distance as judging
from landscape import record
from landscape.entrants import EVALUATIONS, Entrant, left_out, stock
from landscape.figure import draw
from landscape.ground import Ground
from landscape.race import LONG, SHORT, Race, measurer, race_all
from landscape.rivals import rivals
from landscape.tables import fill

HERE = Path(__file__).parent


def compete(
    given: argparse.Namespace, part: str, entrants: Mapping[int, Sequence[Entrant]]
) -> None:
    """Race the entrants and write down their errors, beside what others came to before."""
    path = given.results / f"{part}-{given.model}.json"
    where = (given.model, given.n, given.work, given.device)
    journal = Journal(given.work / f"{part}-{given.model}.jsonl")
    ground = Ground.of(*where)
    seeds, process = [ground.seeds[0], len(ground.seeds)], repr(ground.model.process)
    table, machines, failed = record.others(path, entrants, seeds=seeds, process=process)
    race = Race(journal, measurer(where, given.processes), say)
    ranked = race_all(race, entrants, given.n, full=given.full)
    for entrant in (e for found in ranked.values() for e in found):
        errors = race.errors[entrant.key]
        if not all(map(math.isfinite, errors)):
            failed.append(f"{entrant.solver} {entrant.grid} {entrant.evaluations}")
            continue
        table.append(record.entry(entrant, errors, ground.floor.tolist()))
        if len(errors) > SHORT[1].seeds:
            table[-1]["errors"] = record.readings(errors)
    table.sort(key=lambda found: int(found["evaluations"]))
    record.write(
        path,
        {
            "model": given.model,
            "process": process,
            "error": "mean over samples of the root of the mean squared difference in x0 from "
            "heun karras 64 (127 evaluations), same noise",
            "floor": record.mean_and_se(ground.floor.tolist()),
            "floor_is": "the same of heun karras 64 from heun karras 128",
            "seeds": seeds,
            "machines": machines,
            "rounds": "all on all seeds" if given.full else {"up to 20": SHORT, "beyond": LONG},
            "left_out": left_out(),
            "failed": failed,
            "results": table,
        },
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def endpoint(given: argparse.Namespace) -> None:
    process = Ground.of(given.model, given.n, given.work, given.device).model.process
    compete(given, "endpoint", {count: stock(process, count) for count in given.evaluations})


def diffusers(given: argparse.Namespace) -> None:
    compete(given, "diffusers", {count: rivals(count) for count in given.evaluations})


def distance(given: argparse.Namespace) -> None:
    found = record.read(given.results / f"endpoint-{given.model}.json")
    if found is None:
        raise SystemExit(f"no {given.results}/endpoint-{given.model}.json: run endpoint first")
    count = given.n or judging.ENOUGH.get(given.model, 1000)
    bench = judging.Bench.of(given.model, count, given.work / "features", given.device)
    record.write(given.results / f"distance-{given.model}.json", judging.judge(bench, found, say))


def figure(given: argparse.Namespace) -> None:
    draw(given.results, given.docs / "solvers.png")


def table(given: argparse.Namespace) -> None:
    fill(given.results, given.docs / "solvers.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parts = parser.add_subparsers(required=True)
    for work in (endpoint, diffusers, distance):
        part = parts.add_parser(work.__name__)
        part.add_argument("model")
        part.add_argument("--work", type=Path, default=Path("runs/solvers"))
        part.set_defaults(work_on=work)
        part.add_argument("--device", default="cpu")
        part.add_argument("--n", type=int, default=None if work is distance else 256)
        if work is not distance:
            part.add_argument("--evaluations", type=int, nargs="+", default=EVALUATIONS)
            part.add_argument("--processes", type=int, default=1)
            part.add_argument("--full", action="store_true", help="all plans on all seeds: no race")
    for work in (figure, table):
        part = parts.add_parser(work.__name__)
        part.add_argument("--docs", type=Path, default=HERE.parent / "docs")
        part.set_defaults(work_on=work)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work_on(given)


if __name__ == "__main__":
    main()
