"""Peak memory of a piece of work, in a fresh process so that nothing earlier is counted.

On Linux the figure is ``VmHWM`` of ``/proc/self/status``. ``getrusage`` will not do there: its
maximum survives ``exec``, so a child of a large process starts with the parent's peak.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from hasten.errors import RunError
from hasten.measure.result import Record


@final
@dataclass(frozen=True)
class PeakMemory(Record):
    """Bytes.

    Attributes:
        peak: Most that the process ever held.
        before: Most it held before the work, with its modules imported.
        device: Most that was allocated on the GPU; None where none was used.
    """

    peak: int
    before: int
    device: int | None

    @property
    def work(self) -> int:
        """What the work added."""
        return self.peak - self.before


def peak_memory(
    entry: str, arguments: Mapping[str, Any] | None = None, timeout: float | None = None
) -> PeakMemory:
    """Run a function in a fresh process and report the most memory it held.

    Args:
        entry: ``package.module:function``, importable with this process's path.
        arguments: Its keyword arguments, plain JSON values.
        timeout: Seconds after which it is given up.

    Raises:
        RunError: If the function cannot be found, fails, or takes too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "peak.json"
        # -P keeps this folder, whose file names are common words, off the child's path
        script = Path(__file__).with_name("_peak.py")
        command = [sys.executable, "-P", str(script), entry, str(answer)]
        try:
            done = subprocess.run(
                command,
                input=json.dumps(dict(arguments or {})),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RunError(f"not done after {timeout} s", where=entry) from error
        if done.returncode or not answer.exists():
            last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise RunError(f"the work failed in its own process ({last})", where=entry)
        return PeakMemory(**json.loads(answer.read_text()))
