"""Trajectories of the analytic mixture, for all tests of this folder that fit to them."""

from __future__ import annotations

import pytest
import torch

from hasten.core.model import Model
from hasten.models.mixture import mixture_model
from hasten.tuning.seeds import stream
from hasten.tuning.teacher import Teacher, converged_plan, teach


@pytest.fixture(scope="package")
def model() -> Model:
    """In double precision."""
    return mixture_model(dtype=torch.float64)


@pytest.fixture(scope="package")
def train(model: Model) -> Teacher:
    """To fit to."""
    return teach(model, converged_plan(model.process), stream(0, "train", 96), None)


@pytest.fixture(scope="package")
def valid(model: Model) -> Teacher:
    """To check on."""
    return teach(model, converged_plan(model.process), stream(0, "valid", 96), None)
