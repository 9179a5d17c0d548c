"""The accelerations, one file each; this is the table of them."""

from __future__ import annotations

from hasten.core.method import Method
from hasten.methods.cache import Cache
from hasten.methods.calibrate import Calibrate

METHODS: dict[str, type[Method]] = {method.name: method for method in (Cache, Calibrate)}
"""Every method by the name it has in recipes."""
