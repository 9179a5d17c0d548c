"""Measurement: a figure with its interval, its unit, how many samples it rests on, and where."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor


class Record:
    """Base of the frozen dataclasses that end up in ``result.json``."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is not finite becomes null (JSON has no infinity)."""
        found: dict[str, Any] = plain(self)
        return found


@final
@dataclass(frozen=True)
class Measurement(Record):
    """A figure.

    Attributes:
        value: The estimate.
        low: Lower end of its interval.
        high: Upper end.
        n: How many samples, or pairs, it rests on.
        unit: ``s``, ``byte``, ... ; empty for ratios and distances.
        confidence: Level of the interval.
        context: What it depends on: device, threads, versions, or features and reference.
        raw: The single readings, if they are few enough to keep.
    """

    value: float
    low: float
    high: float
    n: int
    unit: str = ""
    confidence: float = 0.95
    context: Mapping[str, Any] = field(default_factory=dict)
    raw: tuple[float, ...] = ()

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]{unit} (n = {self.n})"

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Measurement:
        """The inverse of `to_dict`; null becomes nan in the value, infinity at the ends."""
        return cls(
            value=math.nan if facts["value"] is None else float(facts["value"]),
            low=-math.inf if facts["low"] is None else float(facts["low"]),
            high=math.inf if facts["high"] is None else float(facts["high"]),
            n=int(facts["n"]),
            unit=str(facts.get("unit", "")),
            confidence=float(facts.get("confidence", 0.95)),
            context=dict(facts.get("context", {})),
            raw=tuple(float(x) for x in facts.get("raw", ())),
        )


def plain(value: Any) -> Any:
    """JSON values from dataclasses, mappings, sequences, arrays and numbers of any make."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def context(
    device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """The machine and the versions behind a timing or a memory figure."""
    place = torch.device(device)
    return {
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else _processor(),
        "backend": place.type,
        "dtype": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "hasten": _version("hasten"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "source tree"
