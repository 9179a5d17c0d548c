"""Journal: what a study has finished, in a file that only grows.

One JSON line for each finished piece of work, on the disk before the next piece begins. A study
is a deterministic programme over the values in its journal: it is resumed by running it again
from the start, and every piece that is in the journal is answered from there. So nothing finished
is lost, the piece that was running when the process died is done again, and the end is the same.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, final

from hasten.errors import RunError
from hasten.files import refusal


@final
class Journal:
    """An append-only file of ``{"key": ..., "value": ..., "clock": ...}``.

    Args:
        path: The file; made if missing. A line that was cut off by a crash is removed.

    Attributes:
        path: The file.
        replayed: How many pieces were answered from the file.

    Raises:
        RunError: If the file cannot be written, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.replayed = path, 0
        self._known: dict[str, Any] = {}
        self._before = 0.0
        self._started = time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._read()
        except OSError as error:
            raise refusal(error, path) from error

    @property
    def clock(self) -> float:
        """Seconds of work in this study, all its processes together, as far as recorded."""
        return self._before + time.monotonic() - self._started

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self._known.items())

    def get(self, key: str) -> Any:
        """The value finished under this key.

        Raises:
            KeyError: If there is none.
        """
        return self._known[key]

    def put(self, key: str, value: Any) -> Any:
        """Record a finished piece; returns the value as it will be read back.

        Raises:
            RunError: If the disk refuses.
        """
        line = json.dumps({"key": key, "value": value, "clock": round(self.clock, 3)})
        try:
            with self.path.open("ab") as file:
                file.write(line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise refusal(error, self.path) from error
        self._known[key] = json.loads(line)["value"]
        return self._known[key]

    def remember(self, key: str, compute: Callable[[], Any]) -> Any:
        """The value under this key, computed and recorded if it is not there yet."""
        if key in self._known:
            self.replayed += 1
            return self._known[key]
        return self.put(key, compute())

    def _read(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                entry = json.loads(line)
                self._known.setdefault(entry["key"], entry["value"])
                self._before = max(self._before, float(entry["clock"]))
            except (ValueError, KeyError, TypeError) as error:
                raise RunError(
                    "this journal is damaged",
                    where=f"{self.path}, line {number}",
                    hint="start a new run, or remove the line",
                ) from error
        if whole < len(content):
            with self.path.open("rb+") as file:
                file.truncate(whole)
