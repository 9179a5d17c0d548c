"""Run one function and write down the most memory this process held; started by `memory`.

Run by path and importing nothing of its own, so that what is counted is the work's alone.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from pathlib import Path
from typing import Any


def high_water() -> int:
    """Most bytes this process ever held in memory."""
    if platform.system() == "Linux":
        status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def main(entry: str, answer: Path, arguments: dict[str, Any]) -> None:
    """Import the entry, run it, and write ``peak``, ``before`` and ``device`` as JSON."""
    module, _, name = entry.partition(":")
    work = getattr(importlib.import_module(module), name)
    before = high_water()
    work(**arguments)
    torch = sys.modules.get("torch")
    used = torch is not None and torch.cuda.is_initialized()
    device = torch.cuda.max_memory_allocated() if torch is not None and used else None
    answer.write_text(json.dumps({"peak": high_water(), "before": before, "device": device}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.load(sys.stdin))
