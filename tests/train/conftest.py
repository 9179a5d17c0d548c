"""A place with a few showers and the configurations of a tiny shower model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hasten.data.geometry import SIW
from hasten.data.showers import Showers as Data
from hasten.data.showers import save_showers

CELLS = """
name = "tiny"
kind = "shower"
shape = [45, 16, 9]
process = {name = "edm"}
prediction = {name = "raw", sigma_data = 1.0}
call = {cond = "cond"}
energies = {low = 1000.0, high = 10000.0}
codec = {name = "showers", layers = "layers.toml", soft = 1.0, gap = 1.0}
reference = {speed = {solver = "euler", grid = "karras", steps = 4}}
[net]
factory = "calodit"
shape = [45, 16, 9]
patch = [9, 16, 3]
width = 8
depth = 1
heads = 1
[train]
samples = 32
batch = 8
every = 1
noise = [-0.6, 1.2]
"""
LAYERS = """
name = "layers"
kind = "layers"
shape = [46]
process = {name = "edm"}
prediction = {name = "raw", sigma_data = 1.0}
call = {cond = "cond"}
energies = {low = 1000.0, high = 10000.0}
reference = {speed = {solver = "dpmpp_2m", grid = "karras", steps = 4}}
net = {factory = "layers", numbers = 46, width = 8, depth = 1}
[train]
samples = 32
batch = 8
every = 2
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    incident = np.exp(rng.uniform(np.log(1e3), np.log(1e4), 60)).astype(np.float32)
    cells = rng.dirichlet(np.full(SIW.cells, 0.02), 60) * incident[:, None]
    cells[cells < SIW.threshold] = 0
    data = Data(incident, cells.astype(np.float32), SIW, "made up")
    save_showers(tmp_path / "data.h5", data)
    (tmp_path / "cells.toml").write_text(CELLS)
    (tmp_path / "layers.toml").write_text(LAYERS)
    return tmp_path
