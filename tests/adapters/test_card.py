from __future__ import annotations

import tomllib
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hasten.adapters.card import load_bundle, read_card, save_bundle, update_card
from hasten.core.model import Call, Classes, Codec, Identity, Model, Pixels
from hasten.core.process import (
    EDM,
    VP,
    X0,
    DiscreteVP,
    Eps,
    Flow,
    Law,
    Prediction,
    Process,
    Raw,
    V,
    Velocity,
)
from hasten.errors import ModelError, RunError, WeightsError
from hasten.models.uvit import UViT

CONFIG = {"size": 8, "channels": 1, "patch": 4, "width": 16, "depth": 2, "heads": 2, "classes": 4}
TABLE = {"factory": "uvit", **CONFIG}


def small(**facts: object) -> Model:
    torch.manual_seed(0)
    return Model(
        **{
            "net": UViT(**CONFIG).eval(),
            "process": VP(),
            "prediction": V(),
            "shape": (1, 8, 8),
            "call": Call(cond="label"),
            "codec": Pixels(),
            "clip": 1.0,
            "classes": Classes(3, null=3, names=("a", "b", "c")),
            "name": "small",
            **facts,
        }
    )


PAIRS = [
    (VP(Law.LINEAR, 1000.0, 0.02, 60.0), V()),
    (EDM(0.01, 50.0), Raw(0.7)),
    (Flow(1000.0), Velocity()),
    (DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 100)), Eps()),
    (VP(), X0()),
]


@pytest.mark.parametrize(("process", "prediction"), PAIRS, ids=lambda p: type(p).__name__)
def test_a_saved_model_comes_back_with_all_its_facts(
    tmp_path: Path, process: Process, prediction: Prediction
) -> None:
    model = small(process=process, prediction=prediction)
    facts = {"reference": {"speed": {"solver": "ddim", "grid": "uniform", "steps": 50}}}
    save_bundle(tmp_path, model, TABLE, {**facts, "about": "tiny", "training": {"images": 7}})
    back = load_bundle(tmp_path)
    for fact in ("process", "prediction", "shape", "call", "codec", "clip", "classes", "name"):
        assert getattr(back, fact) == getattr(model, fact), fact
    assert back.card["reference"] == facts["reference"]
    assert back.card["training"]["images"] == 7
    assert back.card["folder"] == str(tmp_path)
    assert back.card["net"] == TABLE
    for name, tensor in model.net.state_dict().items():
        assert torch.equal(back.net.state_dict()[name], tensor.half().float()), name
    stored = load_file(tmp_path / "weights.safetensors")
    assert {t.dtype for t in stored.values()} == {torch.float16}
    x, labels = torch.randn(2, 1, 8, 8), torch.tensor([0, 2])
    torch.testing.assert_close(
        back.denoise(x, 1.0, labels), model.denoise(x, 1.0, labels), atol=5e-3, rtol=0
    )


def test_no_optional_fact_is_invented(tmp_path: Path) -> None:
    config = {**CONFIG, "classes": None}
    del config["classes"]
    model = small(net=UViT(**config), classes=None, clip=None, codec=Identity(), call=Call())
    save_bundle(tmp_path, model, {"factory": "uvit", **config}, {})
    back = load_bundle(tmp_path)
    assert (back.classes, back.clip, back.codec, back.call) == (None, None, Identity(), Call())


def test_a_number_beyond_float16_survives(tmp_path: Path) -> None:
    model = small()
    with torch.no_grad():
        model.net.norm.weight[0] = 1e5
    save_bundle(tmp_path, model, TABLE, {})
    assert load_bundle(tmp_path).net.norm.weight[0] == torch.tensor(1e5).bfloat16().float()


def test_a_net_of_diffusers_keeps_its_configuration_beside_the_card(tmp_path: Path) -> None:
    net = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8,),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
        attention_head_dim=4,
    ).eval()
    call = Call(extra={"return_dict": False})
    model = small(net=net, call=call, classes=None)
    save_bundle(tmp_path, model, {"factory": "diffusers", "folder": "net"}, {})
    back = load_bundle(tmp_path)
    assert back.call == call
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(back.denoise(x, 1.0), model.denoise(x, 1.0), atol=2e-2, rtol=0)


def test_a_card_can_be_completed_later(tmp_path: Path) -> None:
    save_bundle(tmp_path, small(), TABLE, {"about": "tiny"})
    update_card(tmp_path, {"quality": {"frechet": 1.5}})
    card = read_card(tmp_path)
    assert (card["about"], card["quality"]) == ("tiny", {"frechet": 1.5})
    assert load_bundle(tmp_path).card["quality"]["frechet"] == 1.5


def test_a_guide_lies_in_a_folder_of_its_own(tmp_path: Path) -> None:
    weak = small(name="weak")
    with torch.no_grad():
        weak.net.norm.weight.mul_(0.5)
    strong = small(guide=weak)
    with pytest.raises(ModelError, match="would be lost") as caught:
        save_bundle(tmp_path / "strong", strong, TABLE, {})
    assert '{"guide": "guide", ...}' in caught.value.hint
    save_bundle(tmp_path / "weak", weak, TABLE, {})
    save_bundle(tmp_path / "strong", strong, TABLE, {"guide": "../weak"})
    back, alone = load_bundle(tmp_path / "strong"), load_bundle(tmp_path / "weak")
    assert back.guide is not None
    assert (back.guide.name, alone.guide) == ("weak", None)
    x, labels = torch.randn(2, 1, 8, 8), torch.tensor([0, 2])
    own, other = back.denoise(x, 1.0, labels), alone.denoise(x, 1.0, labels)
    assert torch.equal(back.denoise(x, 1.0, labels, 2.0), other + 2 * (own - other))
    edit(tmp_path / "strong", '"../weak"', '"."')
    with pytest.raises(ModelError, match="a guide is not guided itself"):
        load_bundle(tmp_path / "strong")
    edit(tmp_path / "strong", '"."', '"../none"')
    with pytest.raises(ModelError, match=r"there is no model in .*none"):
        load_bundle(tmp_path / "strong")


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "card.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "image"', 'kind = "image"\ncolour = "red"', "colour"),
        ('kind = "image"\n', "", "missing keys.*kind"),
        ('kind = "image"', 'kind = "image', "cannot be read"),
        ('factory = "uvit"', 'factory = "vit"', "unknown factory 'vit'"),
        ("patch = 4", "pach = 4", "pach"),
        ('law = "cosine"', 'law = "cubic"', "cubic"),
        ("sigma_min = 0.01", "sigma_mini = 0.01", "sigma_mini"),
        ("sigma_min = 0.01", "sigma_min = 100.0", "noise levels"),
        ('codec = "pixels"', 'codec = "jpeg"', "unknown codec"),
        ("count = 3", "counts = 3", "counts"),
        ("null = 3", "null = 7", "null class"),
        ("shape = [\n    1,\n    8,\n    8,\n]", "shape = [1, 9, 9]", "net"),
    ],
)
def test_mistakes_on_a_card_are_found_and_worded(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    save_bundle(tmp_path, small(), TABLE, {})
    edit(tmp_path, old, new)
    with pytest.raises(ModelError, match=words):
        load_bundle(tmp_path)


def test_wrong_weights_are_named(tmp_path: Path) -> None:
    save_bundle(tmp_path, small(), TABLE, {})
    path = tmp_path / "weights.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_bundle(tmp_path)
    path.unlink()
    with pytest.raises(WeightsError, match="no such file"):
        load_bundle(tmp_path)

    other = small()
    with torch.no_grad():
        other.net.norm.weight[0] = 2.0
    save_bundle(tmp_path / "other", other, TABLE, {})
    path.write_bytes((tmp_path / "other" / "weights.safetensors").read_bytes())
    with pytest.raises(WeightsError, match="do not belong together"):
        load_bundle(tmp_path)

    # a card written by hand need not say which weights are its own
    lines = (tmp_path / "card.toml").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("weights")]
    (tmp_path / "card.toml").write_text("\n".join(kept))
    tensors = {name: t.clone() for name, t in load_file(path).items()}
    gone = tensors.pop("norm.weight")
    save_file({**tensors, "norm.wait": gone, "norm.bias": torch.ones(3)}, path)
    with pytest.raises(WeightsError) as caught:
        load_bundle(tmp_path)
    assert "missing: norm.weight" in caught.value.what
    assert "unknown to the net: norm.wait" in caught.value.what
    assert "norm.bias (file [3], net [16])" in caught.value.what
    save_file({**tensors, "norm.weight": gone * torch.nan}, path)
    with pytest.raises(WeightsError, match=r"not finite: norm\.weight"):
        load_bundle(tmp_path)


def test_what_cannot_be_read_back_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="of another shape"):
        save_bundle(tmp_path, small(), {**TABLE, "width": 32}, {})
    with pytest.raises(ModelError, match="colour"):
        save_bundle(tmp_path, small(), TABLE, {"colour": "red"})
    with pytest.raises(ModelError, match="not a net of diffusers"):
        save_bundle(tmp_path, small(), {"factory": "diffusers", "folder": "net"}, {})

    class Strange(Codec):
        def decode(self, x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
            return x

    with pytest.raises(ModelError, match="Strange"):
        save_bundle(tmp_path, small(codec=Strange()), TABLE, {})
    assert not list(tmp_path.rglob("*"))
    with pytest.raises(ModelError, match="cannot be written on a card"):
        save_bundle(tmp_path, small(), TABLE, {"quality": {"x": None}})
    assert not (tmp_path / "card.toml").exists()


def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError):
        save_bundle(tmp_path / "file", small(), TABLE, {})


def test_the_card_is_readable_toml(tmp_path: Path) -> None:
    save_bundle(tmp_path, small(), TABLE, {"about": "tiny"})
    card = tomllib.loads((tmp_path / "card.toml").read_text())
    assert card["process"]["name"] == "vp"
    assert card["classes"] == {"count": 3, "null": 3, "names": ["a", "b", "c"]}
