"""From a plain module to a Model: state the facts, and have them checked once."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hasten.core.model import Call, Classes, Codec, Identity, Model
from hasten.core.process import Prediction, Process
from hasten.errors import HastenError, ModelError, OutputError


def from_module(
    net: nn.Module,
    process: Process,
    prediction: Prediction,
    shape: Sequence[int],
    *,
    call: Call | None = None,
    codec: Codec | None = None,
    clip: float | None = None,
    classes: Classes | None = None,
    guide: Model | None = None,
    name: str = "model",
    kind: str = "",
    card: Mapping[str, Any] | None = None,
    example: Tensor | None = None,
) -> Model:
    """A Model of any denoiser called as ``net(x, time)`` or ``net(x, time, <cond>=...)``.

    The net is put into evaluation mode and asked once, about two noisy samples at different noise
    levels, so that what cannot work is refused here and not in the middle of a run.

    Args:
        net: The trained network.
        process: How it was noised in training.
        prediction: What its output means.
        shape: Shape of one sample, without the batch axis.
        call: How the net wants its arguments; by default ``net(x, time)``.
        codec: What surrounds it; by default nothing (`Pixels` suits images held in [-1, 1]).
        clip: Bound of x0 at every evaluation, if its own sampler clips.
        classes: The labels it is conditioned on, if any; ``call.cond`` names their keyword.
        guide: A weaker model of the same data, to be guided by (Karras et al. 2024, arXiv
            2406.02507).
        name: For people and file names.
        kind: ``image``, ``shower`` or ``toy``; by default an image if the shape is [1 or 3, H, W].
        card: Whatever else is to be known, such as ``{"reference": {"speed": {...}}}``.
        example: Two conditions [2, ...] for the check, where they are not class labels.

    Returns:
        The model.

    Raises:
        ModelError: If the facts contradict each other or the net cannot be called with them.
        OutputError: If it returns the wrong shape, or numbers that are not finite.
    """
    sizes = tuple(int(size) for size in shape)
    image = len(sizes) == 3 and sizes[0] in (1, 3)
    model = Model(
        net=net.eval(),
        process=process,
        prediction=prediction,
        shape=sizes,
        call=call or Call(),
        codec=codec or Identity(),
        clip=clip,
        classes=classes,
        guide=guide,
        name=name,
        kind=kind or ("image" if image else "toy"),
        card=dict(card or {}),
    )
    check(model, example)
    return model


def check(model: Model, example: Tensor | None = None) -> None:
    """Ask the net once, about two noisy samples, and its guide; see `from_module`.

    Raises:
        ModelError: As there.
        OutputError: As there.
    """
    _check_facts(model)
    cond = _example(model) if example is None else example
    if cond is None and model.call.cond is not None:
        return  # without an example of its condition there is nothing to ask
    levels = model.process.snap(model.process.sigma_of_t(np.asarray([0.3, 0.9])))
    noise = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(0))
    x = noise * torch.as_tensor(levels, dtype=torch.float32).reshape(-1, *[1] * len(model.shape))
    try:
        with torch.no_grad():
            out = model.denoise(x.to(model.device), levels, cond)
    except HastenError:
        raise
    except Exception as cause:
        raise ModelError(
            f"the net cannot be called: {type(cause).__name__}: {cause}",
            where=f"{model.name}: forward{_signature(model.net)}",
            hint="state its keywords with Call(cond=..., extra={...}), and the shape of one sample",
        ) from cause
    if not bool(torch.isfinite(out).all()):
        raise OutputError(
            "the net returns numbers that are not finite",
            where=model.name,
            hint="check that the weights are loaded, and the process and its time scale",
        )
    if model.guide is not None:
        check(model.guide, example)


def _check_facts(model: Model) -> None:
    if not model.shape or min(model.shape) < 1:
        raise ModelError(f"{model.shape} is not the shape of a sample", where=model.name)
    if model.clip is not None and not model.clip > 0:
        raise ModelError(f"clip must be positive, got {model.clip}", where=model.name)
    classes = model.classes
    if classes is None:
        return
    if classes.count < 1 or (classes.null is not None and not 0 <= classes.null <= classes.count):
        raise ModelError(
            f"{classes.count} classes with null class {classes.null}",
            where=model.name,
            hint="labels are 0 .. count - 1; the null class is one of them or count itself",
        )
    if classes.names and len(classes.names) != classes.count:
        raise ModelError(
            f"{len(classes.names)} names for {classes.count} classes", where=model.name
        )
    if model.call.cond is None:
        raise ModelError(
            "the model has classes, but its call has no keyword for them",
            where=model.name,
            hint="Call(cond='...') with the name of the label argument in the net's forward",
        )


def _example(model: Model) -> Tensor | None:
    """Two class labels on the model's device; None where there are no classes."""
    if model.classes is None:
        return None
    return torch.tensor([0, model.classes.count - 1], device=model.device)


def _signature(net: nn.Module) -> str:
    try:
        return str(inspect.signature(net.forward))
    except (TypeError, ValueError):
        return "(...)"
