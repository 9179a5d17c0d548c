"""diffusers folders out of Models, with a stock scheduler where one plays the plan."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

_SPACINGS = ("trailing", "leading", "linspace")
_NOISE_KEYS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
    "prediction_type",
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
    for scheduler in stock_schedulers(model, plan) if index else ():
        pipe = _pipeline(model, index, place, scheduler)
        if pipe is not None:
            pipe.save_pretrained(folder)
            if "id2label" in index:  # diffusers forgets it
                path = folder / "model_index.json"
                table = {**json.loads(path.read_text("utf-8")), "id2label": index["id2label"]}
                path.write_text(json.dumps(table, indent=2) + "\n", "utf-8")
            return place, (
                f"The folder is a pipeline of diffusers too: {plan.nfe} steps of its "
                f"{type(scheduler).__name__} are this plan, from noise of its own."
            )
    model.net.save_pretrained(folder / place)  # type: ignore[operator]
    return place, "No stock scheduler of diffusers plays this plan in a pipeline; sample.py does."


def stock_schedulers(model: Model, plan: Plan) -> Iterator[Any]:
    """Schedulers of diffusers that ask and answer as the plan does.

    Every candidate is played against the plan, on outputs that are fixed beforehand: its times, the
    inputs it makes and its sample must be the plan's.
    """
    guided = any(row.guidance is not None for row in plan.rows)
    if plan.stochastic or guided or not all(entry.full for entry in plan.reuse):
        return
    for kind, choices in _candidates(model):
        with _quiet():
            try:
                scheduler = getattr(library(), kind)(**choices)
                scheduler.set_timesteps(plan.nfe)
                plays = _plays(scheduler, model, plan)
            except (TypeError, ValueError, NotImplementedError, IndexError):
                continue  # this scheduler cannot do so many steps, or not on this process
        if plays:
            yield getattr(library(), kind)(**choices)


def _pipeline(model: Model, index: Mapping[str, Any], place: str, scheduler: Any) -> Any:
    """The model's own kind of pipeline with another scheduler, if it keeps it and runs; or None."""
    components: dict[str, Any] = {place: model.net, "scheduler": scheduler}
    decoder = next((name for name in ("vae", "vqvae") if name in index), None)
    if decoder is not None and isinstance(model.codec, Latent):
        components[decoder] = model.codec.decoder
    try:
        pipe = getattr(library(), str(index.get("_class_name")))(**components)
        if type(pipe.scheduler) is not type(scheduler):
            return None  # some pipelines know one scheduler only, and put it in place of any other
        pipe.set_progress_bar_config(disable=True)
        known = inspect.signature(pipe.__call__).parameters
        told = {"class_labels": [0], "guidance_scale": 1.0}
        with _quiet():
            pipe(
                **{name: value for name, value in told.items() if name in known},
                num_inference_steps=1,
                generator=torch.Generator().manual_seed(0),
                output_type="np",
            )
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return None  # it hands the scheduler or the net what these do not understand
    return getattr(library(), str(index.get("_class_name")))(
        **{**components, "scheduler": type(scheduler).from_config(scheduler.config)}
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hush what diffusers hands to numpy in a way that numpy will refuse one day."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ impl", DeprecationWarning)
        yield


def _candidates(model: Model) -> Iterator[tuple[str, dict[str, Any]]]:
    config: Mapping[str, Any] = model.card.get("scheduler") or {}
    noise = {key: config[key] for key in _NOISE_KEYS if key in config}
    if "beta_schedule" in noise:
        # none of these clips x0 and then goes on from what was clipped, as a plan does
        for spacing in _SPACINGS if model.clip is None else ():
            facts = {**noise, "timestep_spacing": spacing}
            yield "DDIMScheduler", {**facts, "clip_sample": False}
            for order in (1, 2, 3):
                yield "DPMSolverMultistepScheduler", {**facts, "solver_order": order}
                yield "UniPCMultistepScheduler", {**facts, "solver_order": order}
    elif "sigma_data" not in noise:
        yield "FlowMatchEulerDiscreteScheduler", noise


def _plays(scheduler: Any, model: Model, plan: Plan) -> bool:
    rng = np.random.default_rng(0)
    start = rng.standard_normal(64)
    outputs = rng.uniform(-1, 1, (plan.nfe, 64))
    known = plan.rows[0].sigma * start
    if len(scheduler.timesteps) != plan.nfe:
        return False
    sample = _tensor(start) * float(getattr(scheduler, "init_noise_sigma", 1.0))
    for row, (t, x0) in enumerate(zip(scheduler.timesteps, outputs, strict=True)):
        sigma = np.asarray(plan.rows[row].sigma)
        try:
            scale, skip, out = model.prediction.coefficients(model.process, sigma)
        except HastenError:
            return False
        x = _value(plan.rows[row].input, known, outputs)
        told = float(model.process.time(sigma))
        asked = (
            scheduler.scale_model_input(sample, t)
            if hasattr(scheduler, "scale_model_input")
            else sample
        )
        if abs(told - float(t)) > 1e-3 * max(1.0, abs(told)) or not _close(asked, scale * x):
            return False
        # the output that means x0 for what the scheduler asked, so that differences do not grow
        seen = asked.double().reshape(-1).numpy() / scale
        sample = scheduler.step(_tensor((x0 - skip * seen) / out), t, sample).prev_sample
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
