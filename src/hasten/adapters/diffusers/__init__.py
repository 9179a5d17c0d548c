"""The one place that knows the diffusers library; it is imported when first needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from hasten.errors import MissingExtra


def library() -> ModuleType:
    """The diffusers library.

    Raises:
        MissingExtra: If it is not installed.
    """
    try:
        return importlib.import_module("diffusers")
    except ModuleNotFoundError as cause:
        raise MissingExtra(cause.name or "diffusers", "diffusers") from cause
