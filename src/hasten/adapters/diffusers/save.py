"""diffusers folders out of Models, with a stock scheduler where one plays the plan."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hasten.adapters.diffusers import library
from hasten.adapters.diffusers.load import Latent, is_net
from hasten.core.model import Model
from hasten.core.plan import Combination, Plan
from hasten.errors import HastenError, ModelError
from hasten.files import atomic_write_text

_SPACINGS = ("trailing", "leading", "linspace")
_NOISE_KEYS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
    "prediction_type",
    "sigma_min",
    "sigma_max",
    "sigma_data",
)
TOLERANCE = 3e-3
"""Largest difference between scheduler and plan, relative to the size of what is compared: above
the usual one in the starting point (diffusers takes unit noise, the process has slightly less)."""


def save_folder(model: Model, plan: Plan, folder: Path) -> tuple[str, str]:
    """Save a net of diffusers, and the pipeline around it if a stock scheduler plays the plan.

    Args:
        model: Its net must be of diffusers.
        plan: What is to be played.
        folder: Where; exists.

    Returns:
        The net's folder in it, and a sentence about the pipeline.

    Raises:
        ModelError: If the net is not of diffusers.
    """
    if not is_net(model.net):
        raise ModelError(f"{type(model.net).__name__} is not a net of diffusers", where=model.name)
    index: Mapping[str, Any] = model.card.get("pipeline") or {}
    place = next((name for name in ("unet", "transformer") if name in index), "net")
    model.net.save_pretrained(folder / place)  # type: ignore[operator]
    if not index:
        return place, "The net was loaded without a pipeline, so only sample.py plays the plan."
    scheduler = stock_scheduler(model, plan)
    if scheduler is None:
        return place, "No stock scheduler of diffusers plays this plan; sample.py does."
    scheduler.save_pretrained(folder / "scheduler")
    decoder = next((name for name in ("vae", "vqvae") if name in index), None)
    if decoder is not None and isinstance(model.codec, Latent):
        model.codec.decoder.save_pretrained(folder / decoder)  # type: ignore[operator]
    kind = type(scheduler).__name__
    table = {**index, "scheduler": ["diffusers", kind]}
    atomic_write_text(folder / "model_index.json", json.dumps(table, indent=2) + "\n")
    return place, (
        f"DiffusionPipeline.from_pretrained(this folder)(num_inference_steps={plan.nfe}) plays the "
        f"same plan with diffusers' {kind}, from noise of its own."
    )


def stock_scheduler(model: Model, plan: Plan) -> Any:
    """A scheduler of diffusers that asks and answers as the plan does, or None.

    Every candidate is played against the plan, on outputs that are fixed beforehand: its times, the
    inputs it makes and its sample must be the plan's.
    """
    noisy = any(c.noise for c in (*(row.input for row in plan.rows), plan.result))
    guided = any(row.guidance is not None for row in plan.rows)
    if noisy or guided or not all(entry.full for entry in plan.reuse):
        return None
    for kind, choices in _candidates(model):
        try:
            scheduler = getattr(library(), kind)(**choices)
            scheduler.set_timesteps(plan.nfe)
            if _plays(scheduler, model, plan):
                return getattr(library(), kind)(**choices)
        except (TypeError, ValueError, NotImplementedError, IndexError):
            continue  # this scheduler cannot do so many steps, or not on this process
    return None


def _candidates(model: Model) -> Iterator[tuple[str, dict[str, Any]]]:
    config: Mapping[str, Any] = model.card.get("scheduler") or {}
    noise = {key: config[key] for key in _NOISE_KEYS if key in config}
    if "sigma_data" in noise:
        yield "EDMEulerScheduler", noise
        yield "EDMDPMSolverMultistepScheduler", noise
    elif "beta_schedule" in noise:
        bound = model.clip if model.clip is not None else 1.0
        clip = {"clip_sample": model.clip is not None, "clip_sample_range": bound}
        for spacing in _SPACINGS:
            yield "DDIMScheduler", {**noise, **clip, "timestep_spacing": spacing}
        if model.clip is None:
            for spacing in _SPACINGS:
                yield "DPMSolverMultistepScheduler", {**noise, "timestep_spacing": spacing}
    else:
        yield "FlowMatchEulerDiscreteScheduler", {**noise}


def _plays(scheduler: Any, model: Model, plan: Plan) -> bool:
    rng = np.random.default_rng(0)
    start = rng.standard_normal(64)
    outputs = rng.uniform(-0.9, 0.9, (plan.nfe, 64))  # inside any clipping
    known = plan.rows[0].sigma * start
    if len(scheduler.timesteps) != plan.nfe:
        return False
    sample = _tensor(start) * float(scheduler.init_noise_sigma)
    for row, (t, x0) in enumerate(zip(scheduler.timesteps, outputs, strict=True)):
        sigma = np.asarray(plan.rows[row].sigma)
        try:
            scale, skip, out = model.prediction.coefficients(model.process, sigma)
        except HastenError:
            return False
        x = _value(plan.rows[row].input, known, outputs)
        told = float(model.process.time(sigma))
        asked = scheduler.scale_model_input(sample, t) if _scales(scheduler) else sample
        if abs(told - float(t)) > 1e-3 * max(1.0, abs(told)) or not _close(asked, scale * x):
            return False
        sample = scheduler.step(_tensor((x0 - skip * x) / out), t, sample).prev_sample
    return _close(sample, _value(plan.result, known, outputs))


def _value(
    c: Combination, start: NDArray[np.float64], outputs: NDArray[np.float64]
) -> NDArray[np.float64]:
    return c.start * start + sum((w * outputs[i] for i, w in c.outputs), np.zeros_like(start))


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32).reshape(1, 1, 8, 8)


def _close(got: Tensor, want: NDArray[np.float64]) -> bool:
    difference = np.abs(got.reshape(-1).double().numpy() - want).max()
    return bool(difference <= TOLERANCE * np.abs(want).max())


def _scales(scheduler: Any) -> bool:
    return hasattr(scheduler, "scale_model_input")
