from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hasten.data.images import Images
from hasten.errors import BudgetError, DataError, RunError
from hasten.measure.features import JudgeFeatures
from hasten.measure.quality import Reference, frechet
from hasten.models.judge import load_judge, read_card
from hasten.train.judge import JudgeSettings, accuracy, fit_judge, publish_judge, shifted

NET = {"widths": [8, 8, 8], "features": 6}
QUICK = JudgeSettings(epochs=2, batch=32, rate=5e-3)


def bars(count: int, seed: int, split: str = "train") -> Images:
    """Images 8 x 8 of a bar, upright (label 0) or lying (1), in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    pixels = rng.integers(0, 80, (count, 1, 8, 8))
    for image, label, place in zip(pixels, labels, rng.integers(1, 7, count), strict=True):
        image[0][(slice(None), place) if label == 0 else (place, slice(None))] += 150
    return Images(
        torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(labels), "bars", split
    )


def test_learns_and_repeats_itself() -> None:
    train, test = bars(640, 0), bars(200, 1)
    seen: list[tuple[int, int, float]] = []
    judge = fit_judge(train, QUICK, net=NET, progress=lambda *news: seen.append(news))
    assert accuracy(judge, test) > 0.95
    assert seen[-1][:2] == (1280, 1280)
    assert seen[-1][2] < seen[0][2]
    torch.manual_seed(99)  # the caller's generator has no say, and is left alone
    before = torch.get_rng_state()
    again = fit_judge(train, QUICK, net=NET)
    assert torch.equal(torch.get_rng_state(), before)
    for one, two in zip(judge.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)


def test_resumed_run_gives_the_same_weights(tmp_path: Path) -> None:
    train, path = bars(128, 0), tmp_path / "checkpoint.safetensors"
    whole = fit_judge(train, QUICK, net=NET)

    class StoppedError(Exception):
        pass

    def stop(seen: int, total: int, loss: float) -> None:
        if seen > total * 0.7:
            raise StoppedError

    with pytest.raises(StoppedError):
        fit_judge(train, QUICK, net=NET, checkpoint=path, progress=stop)
    steps: list[int] = []
    resumed = fit_judge(
        train, QUICK, net=NET, checkpoint=path, progress=lambda seen, *_: steps.append(seen)
    )
    assert steps[0] == 128 + 32  # the first epoch was not repeated
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_checkpoints_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    fit_judge(bars(64, 0), QUICK, net=NET, checkpoint=path)
    with pytest.raises(RunError, match="other settings or images"):
        fit_judge(bars(96, 0), QUICK, net=NET, checkpoint=path)
    path.write_bytes(b"nothing")
    with pytest.raises(RunError, match="cannot be read"):
        fit_judge(bars(64, 0), QUICK, net=NET, checkpoint=path)


def test_shifts_move_whole_images() -> None:
    pixels = torch.zeros(400, 2, 7, 6, dtype=torch.uint8)
    pixels[:, 0, 3, 2], pixels[:, 1, 4, 3] = 9, 5
    moved = shifted(pixels, 2)
    first, second = (moved[:, c].flatten(1).argmax(1) for c in (0, 1))
    offsets = torch.stack([first // 6 - 3, first % 6 - 2])
    assert torch.equal(offsets, torch.stack([second // 6 - 4, second % 6 - 3]))
    assert torch.equal(moved.sum(dim=(1, 2, 3)), torch.full((400,), 14))
    assert {tuple(o) for o in offsets.T.tolist()} == {
        (a, b) for a in range(-2, 3) for b in range(-2, 3)
    }
    assert shifted(pixels, 0) is pixels


def test_bundle(tmp_path: Path) -> None:
    train, test = bars(640, 0), bars(400, 1, "test")
    judge = fit_judge(train, QUICK, net=NET)
    written = publish_judge(
        judge, tmp_path / "b", name="Bar judge v1", train=train, test=test, settings=QUICK
    )
    reference, card = Reference.load(tmp_path / "b/stats.safetensors"), read_card(tmp_path / "b")
    assert reference.fingerprint() == written.fingerprint()
    stored = load_judge(tmp_path / "b")
    features = JudgeFeatures(stored, "Bar judge v1")
    # statistics are of the stored (rounded) weights: the test images are at distance "minus bias"
    whole = frechet(features(test.pixels), reference).distance
    assert whole.plain == pytest.approx(-reference.bias, abs=1e-6)
    assert card["measured"]["test_accuracy"] == accuracy(stored, test)
    assert reference.just_visible > 5 * reference.floor["training data, n = 400"].high
    assert card["training"]["data"] == "bars train"
    assert reference.data == "bars test, 400 images"


def test_refusals() -> None:
    images = bars(64, 0)
    with pytest.raises(DataError, match="there are none"):
        fit_judge(Images(images.pixels, None, "bars"), QUICK)
    with pytest.raises(DataError, match="do not fill a batch"):
        fit_judge(images, JudgeSettings(batch=128))
    with pytest.raises(BudgetError, match="0 epochs"):
        JudgeSettings(epochs=0)
