"""Showers of GFlash: a law of electromagnetic showers that is known, and a source of data.

``medium`` says what a shower develops in, ``longitudinal`` how deep, ``radial`` how wide and
``spots`` how grainy it is; ``law`` puts them together and draws.
"""

from __future__ import annotations

from hasten.data.gflash.law import (
    DS2_FITTED,
    DS2_LIKE,
    HIGH,
    LOW,
    PRESETS,
    STRICT,
    GFlash,
    Trace,
    checked,
)
from hasten.data.gflash.medium import PBWO4, W_SI, Material, Medium, Sampling

__all__ = [
    "DS2_FITTED",
    "DS2_LIKE",
    "HIGH",
    "LOW",
    "PBWO4",
    "PRESETS",
    "STRICT",
    "W_SI",
    "GFlash",
    "Material",
    "Medium",
    "Sampling",
    "Trace",
    "checked",
]
