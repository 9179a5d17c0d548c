"""Identity: what makes two models the same, as a fingerprint."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from hasten.core.fingerprint import fingerprint
from hasten.core.model import Model


def model_fingerprint(model: Model) -> str:
    """Sixteen hexadecimal digits of the weights and of every fact that changes a sample."""
    digest = hashlib.sha256()
    for name, value in sorted(model.net.state_dict().items()):
        digest.update(name.encode())
        digest.update(
            value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    levels = model.process.sigma_of_t(np.linspace(0.02, 1, 50))
    digest.update(fingerprint(levels.tolist()).encode())
    facts = (model.process, model.prediction, model.shape, model.call, model.codec, model.clip)
    digest.update(repr((facts, model.dtype)).encode())
    for beside in (*model.codec.models(), *([model.guide] if model.guide else [])):
        digest.update(model_fingerprint(beside).encode())
    return digest.hexdigest()[:16]
