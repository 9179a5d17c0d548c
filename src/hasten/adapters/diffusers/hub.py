"""Models on the Hugging Face hub: configurations and safetensors, nothing that could run."""

from __future__ import annotations

import importlib
from pathlib import Path

from hasten.errors import MissingExtra, ModelError


def download(name: str) -> Path:
    """The folder of a model on the hub, fetched unless it is in the hub's own cache.

    Args:
        name: ``owner/name``.

    Raises:
        ModelError: If there is no such model, or it can neither be reached nor is in the cache.
        MissingExtra: If the hub's client, which comes with diffusers, is not installed.
    """
    try:
        hub = importlib.import_module("huggingface_hub")
    except ModuleNotFoundError as cause:
        raise MissingExtra("huggingface_hub", "diffusers") from cause
    try:
        return Path(hub.snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as cause:
        reason = str(cause).strip().splitlines()[0]
        raise ModelError(
            f"neither a folder here nor a model to be had from the hub: {reason}",
            where=name,
            hint="check the spelling and the network, or download the folder and name it",
        ) from cause
