"""Tensors from safetensors files into nets, or an error that names them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor, nn

from hasten.errors import WeightsError

_SHOWN = 5


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """All tensors of a safetensors file, and the first sixteen digits of its SHA-256.

    The file is read, not mapped: tensors must survive its being written over.

    Raises:
        WeightsError: If it is missing, cut off, or not such a file.
    """
    try:
        content = path.read_bytes()
        return load(content), digest(content)
    except (SafetensorError, OSError) as cause:
        raise _unreadable(path, cause) from cause


def check_file(path: Path) -> None:
    """Read no more than the list of tensors, and compare it with the file's length.

    Raises:
        WeightsError: As `read_tensors`.
    """
    try:
        with safe_open(path, "pt") as file:
            file.keys()
    except (SafetensorError, OSError) as cause:
        raise _unreadable(path, cause) from cause


def digest(content: bytes) -> str:
    """The first sixteen hexadecimal digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


def _unreadable(path: Path, cause: Exception) -> WeightsError:
    if not path.is_file():
        return WeightsError("there is no such file of weights", where=str(path))
    return WeightsError(
        f"these weights cannot be read: {cause}",
        where=f"{path} ({path.stat().st_size} bytes)",
        hint="the file is cut off or damaged; copy or download it again",
    )


def put_tensors(net: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Fill a net, all of it and nothing else, converting to the net's own precision.

    Args:
        net: The net.
        tensors: By the names of its state.
        where: The file they came from, for messages.

    Raises:
        WeightsError: If tensors are missing, left over, of another shape or not finite.
    """
    own = net.state_dict()
    both = own.keys() & tensors.keys()
    complaints = [
        _listed("missing", sorted(own.keys() - tensors.keys())),
        _listed("unknown to the net", sorted(tensors.keys() - own.keys())),
        _listed(
            "of another shape",
            [
                f"{name} (file {list(tensors[name].shape)}, net {list(own[name].shape)})"
                for name in sorted(both)
                if tensors[name].shape != own[name].shape
            ],
        ),
        _listed("not finite", sorted(name for name in both if not _finite(tensors[name]))),
    ]
    if any(complaints):
        raise WeightsError(
            "; ".join(filter(None, complaints)),
            where=where,
            hint="weights and configuration of the net must come from the same model",
        )
    net.load_state_dict(dict(tensors))


def _listed(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{more}"


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
