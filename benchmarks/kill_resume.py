"""Kill a study ten times at random moments; resumed, it must lose nothing and end the same.

    python benchmarks/kill_resume.py [--kills 10] [--seed 0] > kill_resume.json
    python benchmarks/kill_resume.py --model fashion-uvit --kills 1

Two studies of the mixture (or of a bundled model, as in the demo) share a table of row times. One
runs undisturbed. The other is killed with SIGKILL at random moments of its work and resumed; every
journal must begin with the one before it, and both must end with the same recipe and distances.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SMALL = Path(__file__).parent.parent / "tests" / "tuning" / "small.py"


def command(model: str, folder: Path) -> list[str]:
    """What begins a study in a folder, or goes on with it."""
    if model == "mixture":
        return [sys.executable, str(SMALL), str(folder)]
    begun = (folder / "facts.json").exists()
    how = ["--resume", str(folder)] if begun else ["--demo", "--run", str(folder)]
    return [sys.executable, "-m", "hasten", "tune", model, *how, "--format", "json"]


def run(model: str, folder: Path, lines: float = math.inf, pause: float = 0.0) -> bool:
    """Run the study in a process of its own; whether it came to its end.

    It is killed a pause after its journal has so many lines: somewhere in the work that follows.
    """
    process = subprocess.Popen(command(model, folder), stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if len(journal(folder)) >= lines:
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            process.wait()
            return False
        time.sleep(0.005)
    return process.returncode == 0


def journal(folder: Path) -> list[dict[str, Any]]:
    """The finished pieces of work."""
    path = folder / "trials.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mixture")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as root:
        calm, killed = Path(root) / "calm", Path(root) / "killed"
        started = time.perf_counter()
        run(given.model, calm)
        seconds, length = time.perf_counter() - started, len(journal(calm))
        killed.mkdir()
        shutil.copy(calm / "speeds.json", killed)
        kills, before = [], list[dict[str, Any]]()
        for at in sorted(chance.sample(range(length), given.kills)):
            pause = chance.uniform(0, 0.2)
            ended = run(given.model, killed, max(at, len(before)), pause)
            now = journal(killed)
            kills.append(
                {"after": at, "pause": round(pause, 3), "finished": len(now), "ended": ended}
                | {"lost": before != now[: len(before)]}
            )
            before = now
        run(given.model, killed)
        one, other = (json.loads((f / "result.json").read_text()) for f in (calm, killed))
    same = {
        name: (one[name] or {}).get("fingerprint") == (other[name] or {}).get("fingerprint")
        for name in ("best", "fewer_steps")
    }
    distances = [[arm["distance"] for arm in facts["finalists"]] for facts in (one, other)]
    report = {
        "seconds": round(seconds, 2),
        "kills": kills,
        "lost": any(kill["lost"] for kill in kills),
        "same": same | {"distances": distances[0] == distances[1]},
    }
    print(json.dumps(report, indent=1))
    if report["lost"] or not all(report["same"].values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
