"""What a diffusers scheduler's configuration says about how the net was trained.

Schedulers mix facts about training (the noise table, what the net predicts) with choices about
sampling (spacing, order, Karras levels). Only the former are read here, and only from the keys of
the configuration, so a scheduler that appears tomorrow with the same keys is understood today.

    key in the configuration        process
    beta_schedule, trained_betas    DiscreteVP over the table of abar
    sigma_data                      EDM with its preconditioning
    shift                           Flow (the shift itself is a choice of grid)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hasten.core.process import (
    EDM,
    SIGMA_CAP,
    X0,
    DiscreteVP,
    Eps,
    Flow,
    Prediction,
    Process,
    Raw,
    V,
    Velocity,
)
from hasten.errors import ModelError

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Facts:
    """A net's process, prediction and clipping of x0."""

    process: Process
    prediction: Prediction
    clip: float | None


PREDICTIONS: dict[str, Prediction] = {
    "epsilon": Eps(),
    "sample": X0(),
    "v_prediction": V(),
    "flow_prediction": Velocity(),
}


def facts(config: Mapping[str, Any], where: str) -> Facts:
    """Read a scheduler's configuration, defaults filled in.

    Args:
        config: Its keys and values.
        where: The file, for messages.

    Raises:
        ModelError: If it describes a process or a rule that has no equivalent here.
    """
    _refuse(config, where)
    clip = float(config.get("clip_sample_range", 1.0)) if config.get("clip_sample") else None
    kind = config.get("prediction_type", "epsilon")
    flow = "shift" in config and "beta_schedule" not in config
    if flow or kind == "flow_prediction":
        steps = float(config.get("num_train_timesteps", 1000))
        return Facts(Flow(time_scale=steps), Velocity(), clip)
    if kind not in PREDICTIONS:
        raise ModelError(
            f"unknown prediction_type {kind!r}", where=where, hint=f"known: {[*PREDICTIONS]}"
        )
    if "sigma_data" in config:
        return Facts(_edm(config), Raw(float(config["sigma_data"])), clip)
    prediction = PREDICTIONS[kind]
    table = abar(config, where)
    if prediction.needs_signal():
        # a noise-predicting net says nothing about data at levels without signal: it starts below
        table = table[table > 1 / (1 + SIGMA_CAP**2)]
    return Facts(DiscreteVP(tuple(table.tolist())), prediction, clip)


def abar(config: Mapping[str, Any], where: str) -> Floats:
    """The table of ``prod(1 - beta)``, cleanest level first, [num_train_timesteps].

    Raises:
        ModelError: If the law of the betas is unknown or they are not variances.
    """
    steps = int(config.get("num_train_timesteps", 1000))
    trained, law = config.get("trained_betas"), config.get("beta_schedule", "linear")
    if trained is not None:
        betas = np.asarray(trained, dtype=np.float64)
    elif law in BETAS:
        first, last = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
        betas = BETAS[law](float(first), float(last), steps)
    else:
        raise ModelError(
            f"unknown beta_schedule {law!r}",
            where=where,
            hint=f"known: {[*BETAS]}; or give the table itself as trained_betas",
        )
    if betas.ndim != 1 or not ((betas > 0) & (betas < 1)).all():
        raise ModelError("betas must lie between 0 and 1", where=where)
    table: Floats = np.cumprod(1 - betas, dtype=np.float64)
    return _without_terminal_signal(table) if config.get("rescale_betas_zero_snr") else table


def _without_terminal_signal(table: Floats) -> Floats:
    """Zero terminal SNR, Lin et al. 2023 (arXiv 2305.08891), algorithm 1."""
    root = np.sqrt(table)
    shifted: Floats = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return np.square(shifted)


def _linear(first: float, last: float, steps: int) -> Floats:
    return np.linspace(first, last, steps)


def _scaled_linear(first: float, last: float, steps: int) -> Floats:
    return np.square(np.linspace(math.sqrt(first), math.sqrt(last), steps))


def _sigmoid(first: float, last: float, steps: int) -> Floats:
    return first + (last - first) / (1 + np.exp(-np.linspace(-6, 6, steps)))


def _squared_cosine(_first: float, _last: float, steps: int) -> Floats:
    """Nichol and Dhariwal 2021 (arXiv 2102.09672), eq. 17, betas at most 0.999."""
    t = np.arange(steps + 1) / steps
    bar = np.square(np.cos((t + 0.008) / 1.008 * math.pi / 2))
    return np.minimum(1 - bar[1:] / bar[:-1], 0.999)


BETAS: dict[str, Callable[[float, float, int], Floats]] = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "sigmoid": _sigmoid,
    "squaredcos_cap_v2": _squared_cosine,
}


def _edm(config: Mapping[str, Any]) -> EDM:
    return EDM(float(config.get("sigma_min", 0.002)), float(config.get("sigma_max", 80.0)))


def _refuse(config: Mapping[str, Any], where: str) -> None:
    """Rules of sampling that change what x0 means, and so cannot be left out silently."""
    refusals = [
        (
            not {"beta_schedule", "trained_betas", "sigma_data", "shift"} & config.keys(),
            f"no known noise process in the keys {sorted(k for k in config if k[0] != '_')}",
        ),
        (bool(config.get("thresholding")), "dynamic thresholding of x0 is not supported"),
        (bool(config.get("invert_sigmas")), "inverted noise levels are not supported"),
        (
            config.get("timestep_type") == "continuous",
            "a net told the logarithm of sigma under a table of betas is not supported",
        ),
        (
            "original_inference_steps" in config,
            "consistency-distilled nets are not supported: their x0 has boundary terms of its own",
        ),
        (
            "sigma_data" in config and config.get("prediction_type") != "epsilon",
            "of nets preconditioned as in EDM only those with prediction_type epsilon are known",
        ),
    ]
    for applies, what in refusals:
        if applies:
            raise ModelError(
                what, where=where, hint="build the model by hand: file.py:function (hasten.Model)"
            )
