from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hasten.errors import ModelError
from hasten.loading import load
from hasten.train.config import read_config
from hasten.train.run import train_config

CONFIG = """
name = "tiny"
kind = "image"
shape = [1, 8, 8]
codec = "pixels"
process = {name = "vp"}
prediction = {name = "v"}
call = {cond = "label"}
classes = {count = 3, null = 3}
[net]
factory = "uvit"
size = 8
channels = 1
patch = 4
width = 16
depth = 2
heads = 2
classes = 4
[train]
samples = 64
batch = 16
every = 2
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=rng.integers(0, 3, 40))
    return tmp_path / "data.npz"


def test_a_trained_configuration_loads_as_a_model(data: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(CONFIG)
    state = train_config(tmp_path / "tiny.toml", data, tmp_path / "run")
    model = load(tmp_path / "run" / "model")
    assert model.name == "tiny"
    assert model.card["training"]["seen"] == 64
    x = torch.randn(2, 1, 8, 8)
    label = torch.tensor([0, 2])
    expected = state.model.denoise(x, 1.0, label)
    # 16-bit weights on disk
    torch.testing.assert_close(model.denoise(x, 1.0, label), expected, atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("batch = 16", "bach = 16", "did you mean batch"),
        ("samples = 64", "", "samples"),
        ('name = "vp"', 'name = "vq"', "unknown process"),
        ("[train]", "colour = 1\n[train]", "colour"),
    ],
)
def test_a_wrong_configuration_is_refused_in_words(
    old: str, new: str, says: str, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text(CONFIG.replace(old, new))
    with pytest.raises(ModelError, match=says):
        train_config(tmp_path / "bad.toml", data, tmp_path / "run")
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("configs/*.toml")), ids=str)
def test_every_shipped_configuration_describes_a_net_within_its_bounds(path: Path) -> None:
    from hasten.adapters.card import build

    config = read_config(path)
    with torch.device("meta"):
        model = build(config.card, config.folder)
    assert sum(p.numel() for p in model.net.parameters()) <= 8e6
