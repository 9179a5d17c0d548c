"""How many showers of GFlash a second one core draws.

    python benchmarks/gflash.py OUT.json [--preset ds2-like] [--geometry siw] [--repeats 7]

Energies are log-uniform from 1 GeV to 1 TeV, the same in every repeat. OUT.json keeps every time,
by the clock and of the processor: where other work shares the core only the second is of use. The
aim is at least 800 showers a second with 45 x 16 x 9 cells.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import scipy

from hasten.data.energies import incident_energies
from hasten.data.geometry import GEOMETRIES
from hasten.data.gflash import PRESETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--preset", choices=list(PRESETS), default="ds2-like")
    parser.add_argument("--geometry", choices=list(GEOMETRIES), default="siw")
    parser.add_argument("--showers", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()

    law = dataclasses.replace(PRESETS[arguments.preset], geometry=GEOMETRIES[arguments.geometry])
    rng = np.random.default_rng(0)
    energies = incident_energies("power", arguments.showers, rng)
    law.draw(energies[:100], rng)
    clock, processor = [], []
    for repeat in range(arguments.repeats):
        rng = np.random.default_rng(repeat)
        began, busy = time.perf_counter(), time.process_time()
        law.draw(energies, rng)
        clock.append(time.perf_counter() - began)
        processor.append(time.process_time() - busy)
    rate, free = (arguments.showers / statistics.median(times) for times in (clock, processor))
    facts = {
        "showers_a_second": rate,
        "showers_a_second_of_processor": free,
        "seconds": clock,
        "seconds_of_processor": processor,
        "showers": arguments.showers,
        "energies": "log-uniform, 1 GeV to 1 TeV",
        "preset": arguments.preset,
        "geometry": arguments.geometry,
        "shape": law.geometry.shape,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }
    partial = arguments.out.with_suffix(".partial")
    partial.write_text(json.dumps(facts, indent=1))
    partial.replace(arguments.out)
    print(f"{rate:.0f} showers a second, {free:.0f} of processor time  ({arguments.out})")


if __name__ == "__main__":
    main()
