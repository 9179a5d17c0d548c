from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hasten.data.convert import convert
from hasten.data.images import load_images
from hasten.errors import DataError, RunError

RNG = np.random.default_rng(1)
PIXELS = RNG.integers(0, 256, (50, 3, 8, 8), dtype=np.uint8)
LABELS = np.arange(50) % 5


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "things.npz"
    np.savez(path, x_train=PIXELS[:40], y_train=LABELS[:40], x_test=PIXELS[40:], y_test=LABELS[40:])
    return path


def test_round_trip_in_small_shards(source: Path, tmp_path: Path) -> None:
    limit, seen = 4096 + 3000, []
    written = convert(
        source, tmp_path / "out", limit=limit, progress=lambda *news: seen.append(news)
    )
    assert len(written) == 3 + 1
    assert all(path.stat().st_size <= limit for path in written)
    assert written[0].name.startswith("things-train-00000-of-000")
    assert [name for name, _, _ in seen] == [path.name for path in written]
    for split, part in (("train", slice(0, 40)), ("test", slice(40, 50))):
        images = load_images(tmp_path / "out", split)  # type: ignore[arg-type]
        assert np.array_equal(images.pixels.numpy(), PIXELS[part])
        assert np.array_equal(images.labels, LABELS[part])


def test_same_bytes_twice(source: Path, tmp_path: Path) -> None:
    first = {p.name: p.read_bytes() for p in convert(source, tmp_path / "out")}
    assert first == {p.name: p.read_bytes() for p in convert(source, tmp_path / "out")}
    assert first == {p.name: p.read_bytes() for p in convert(source, tmp_path / "other")}


def test_class_names_survive(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("cat", "ant"):
        (tmp_path / "in" / name).mkdir(parents=True)
        Image.fromarray(PIXELS[0, 0]).save(tmp_path / "in" / name / "a.png")
    convert(tmp_path / "in", tmp_path / "out", name="animals")
    images = load_images(tmp_path / "out")
    assert images.classes == ("ant", "cat")
    assert images.labels is not None
    assert torch.equal(images.labels, torch.tensor([0, 1]))


def test_missing_shard_is_noticed(source: Path, tmp_path: Path) -> None:
    written = convert(source, tmp_path / "out", limit=7096)
    assert len(load_images(written[1])) < 40  # one shard may be named
    written[1].unlink()
    with pytest.raises(DataError, match=r"shards \[1\] of"):
        load_images(tmp_path / "out", "train")


def test_other_archives_in_the_target(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "out", limit=7096)
    before = sorted((tmp_path / "out").iterdir())
    with pytest.raises(DataError, match="holds other archives"):
        convert(source, tmp_path / "out")
    assert sorted((tmp_path / "out").iterdir()) == before


def test_target_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        convert(source, tmp_path / "file" / "out")


def test_image_larger_than_a_shard(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not fit"):
        convert(source, tmp_path / "out", limit=4200)
