"""The accelerations, one file each; this is the table of them."""

from __future__ import annotations

from hasten.core.method import Method
from hasten.methods.cache import Cache

METHODS: dict[str, type[Method]] = {method.name: method for method in (Cache,)}
"""Every method by the name it has in recipes."""
