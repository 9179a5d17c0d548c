from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hasten.errors import ModelError, WeightsError
from hasten.measure.features import JudgeFeatures
from hasten.measure.quality import Reference
from hasten.models import judge as room
from hasten.models.judge import Judge, judge_images, load_judge, make_judge, read_card

BUNDLED = Path(room.__file__).parents[1] / "bundled" / "fashion-judge"


def test_shapes_and_cost() -> None:
    for shape, widths in (((1, 28, 28), (32, 64, 64)), ((3, 32, 32), (24, 64, 64))):
        judge = Judge(shape, 10, widths).eval()
        with FlopCounterMode(display=False) as count:
            features, logits = judge(torch.rand(1, *shape))
        assert features.shape == (1, 64)
        assert logits.shape == (1, 10)
        assert count.get_total_flops() / 2 < 6e6


def test_features_follow_the_pixels_smoothly() -> None:
    """The gradient exists everywhere and predicts small changes: no dead units, no kinks."""
    judge = Judge((1, 12, 12), 3, (8, 8, 8), features=5).double().eval()
    image = torch.rand(1, 1, 12, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: judge(x)[0], image)


def test_a_card_makes_the_same_net() -> None:
    judge = Judge((3, 16, 16), 4, (8, 12, 16), features=10, dropout=0.1)
    again = make_judge(judge.config)
    again.load_state_dict(judge.state_dict())
    images = torch.rand(5, 3, 16, 16)
    assert torch.equal(judge.eval()(images)[1], again.eval()(images)[1])


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"width": 3}, "unknown settings of a judge: width"),
        ({"shape": [1, 4, 4]}, "at least 8 x 8"),
        ({"widths": [8, 8]}, "three widths"),
        ({"classes": "ten"}, "unsuitable settings"),
        ({"shape": 5}, "unsuitable settings"),
    ],
)
def test_cards_that_make_no_net(config: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        make_judge(config)


def test_wrong_images_are_refused() -> None:
    with pytest.raises(ModelError, match="looks at images"):
        Judge()(torch.rand(2, 3, 28, 28))


def test_batches_and_bytes_do_not_matter() -> None:
    judge = Judge((1, 8, 8), 3, (8, 8, 8), features=6).eval()
    pixels = torch.randint(0, 256, (10, 1, 8, 8), dtype=torch.uint8)
    whole = judge_images(judge, pixels)
    for part, full in zip(judge_images(judge, pixels.float() / 255, batch=3), whole, strict=True):
        torch.testing.assert_close(part, full, atol=1e-6, rtol=1e-5)


class TestBundled:
    def test_loads_and_fits_its_statistics(self) -> None:
        judge, card = load_judge(BUNDLED), read_card(BUNDLED)
        reference = Reference.load(BUNDLED / "stats.safetensors")
        assert card["judge"]["name"] == reference.metric
        assert card["measured"]["test_accuracy"] > 0.915
        assert len(card["judge"]["classes"]) == 10
        assert not judge.training
        assert JudgeFeatures(judge, reference.metric).dims == reference.dims
        # what stands for the size of a visible difference must itself be well above the floor
        assert reference.just_visible == pytest.approx(card["measured"]["just_visible"])
        assert all(row.high < reference.just_visible / 5 for row in reference.floor.values())
        # two ways of measuring it, one of them sharing no image between its sides
        other = card["measured"]["just_visible_halves"]
        assert reference.just_visible == pytest.approx(other, rel=0.1)

    def test_kept_features_are_such_as_this_net_makes(self) -> None:
        """SiLU never goes below -.279; the head tells ten classes of about equal number apart."""
        judge = load_judge(BUNDLED)
        reference = Reference.load(BUNDLED / "stats.safetensors")
        kept = torch.from_numpy(reference.features)
        assert float(kept.min()) > -0.279
        guessed = judge.head(kept).argmax(1).bincount(minlength=10).double() / len(kept)
        assert float((guessed - 0.1).abs().max()) < 0.03
        assert float(judge.head(kept).softmax(1).amax(1).mean()) > 0.85

    def test_small_enough(self) -> None:
        assert sum(file.stat().st_size for file in BUNDLED.iterdir()) < 2e6

    def test_other_or_damaged_files_are_refused(self, tmp_path: Path) -> None:
        folder = shutil.copytree(BUNDLED, tmp_path / "judge")
        weights = folder / "weights.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(bytes(data))
        with pytest.raises(WeightsError, match="not those its card describes"):
            load_judge(folder)
        weights.write_bytes(bytes(data[:1000]))
        with pytest.raises(WeightsError, match="cannot be read"):
            load_judge(folder)
        (folder / "card.toml").write_text("[net")
        with pytest.raises(ModelError, match="not TOML"):
            load_judge(folder)
        with pytest.raises(ModelError, match="no card"):
            load_judge(tmp_path)
