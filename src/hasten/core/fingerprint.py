"""Fingerprints of plain tables: the same on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any

DIGITS = 10
"""Significant digits that count; machines differ in the last bits of powers and cosines."""


def fingerprint(facts: Any) -> str:
    """Sixteen hexadecimal digits of tables, lists, text and numbers.

    Args:
        facts: As JSON could hold it; the order of a table's keys does not matter.
    """
    text = json.dumps(_rounded(facts), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _rounded(facts: Any) -> Any:
    if isinstance(facts, float):
        return f"{facts:.{DIGITS - 1}e}"
    if isinstance(facts, dict):
        return {key: _rounded(value) for key, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [_rounded(value) for value in facts]
    return facts
