from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import diffusers
import pytest
import torch

from hasten import loading
from hasten.adapters.card import save_bundle
from hasten.core.model import Call, Model
from hasten.core.process import VP, V
from hasten.errors import MissingExtra, ModelError
from hasten.loading import bundled, load
from hasten.models.uvit import UViT
from hasten.recipe import Recipe
from hasten.tuning.seeds import drawn_conditions

EXAMPLE = Path(__file__).parents[1] / "examples" / "own_model.py"


def test_the_mixture_is_always_there() -> None:
    assert "mixture" in [entry.name for entry in bundled()]
    model = load("mixture")
    assert model.denoise(torch.zeros(2, *model.shape), 1.0).shape == (2, *model.shape)


def test_every_bundled_model_loads_and_denoises() -> None:
    for entry in bundled():
        model = load(entry.name)
        cond = model.encode(drawn_conditions(model)(range(2)), range(2))
        out = model.denoise(torch.zeros(2, *model.shape), 1.0, cond)
        assert torch.isfinite(out).all()
        assert model.kind == entry.kind


def test_every_bundled_recipe_suits_its_model() -> None:
    found = 0
    for entry in bundled():
        for path in sorted((entry.folder or Path("none")).glob("recipes/*.toml")):
            model, recipe = load(entry.name), Recipe.loads(path.read_text())
            assert not recipe.obstacles(model)
            assert recipe.resolve(model.process).nfe < 10
            found += 1
    assert found >= 4


def test_a_bundle_is_found_by_name_and_by_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"size": 8, "channels": 1, "patch": 4, "width": 16, "depth": 2, "heads": 2}
    model = Model(UViT(**config), VP(), V(), (1, 8, 8), Call(), name="tiny")
    save_bundle(tmp_path / "tiny", model, {"factory": "uvit", **config}, {"about": "a test"})
    monkeypatch.setattr(loading, "BUNDLED", tmp_path)
    (tmp_path / "critic").mkdir()
    (tmp_path / "critic" / "card.toml").write_text('[judge]\nname = "critic"\n')
    entries = {entry.name: entry for entry in bundled()}
    assert set(entries) == {"mixture", "tiny"}
    assert entries["tiny"].card["about"] == "a test"
    assert entries["tiny"].folder == tmp_path / "tiny"
    x = torch.randn(1, 1, 8, 8)
    assert torch.equal(load("tiny").denoise(x, 1.0), load(tmp_path / "tiny").denoise(x, 1.0))
    with pytest.raises(ModelError, match="judge"):
        load("critic")
    with pytest.raises(ModelError, match="did you mean tiny"):
        load("tinny")


def test_a_diffusers_folder(tmp_path: Path) -> None:
    net = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8,),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
        attention_head_dim=4,
    )
    folder = tmp_path / "cats"
    diffusers.DDPMPipeline(unet=net, scheduler=diffusers.DDPMScheduler()).save_pretrained(folder)
    model = load(folder)
    assert (model.name, model.shape) == ("cats", (3, 8, 8))
    assert model.card["pipeline"]["_class_name"] == "DDPMPipeline"


def test_your_own_file() -> None:
    model = load(f"{EXAMPLE}:ring")
    assert model.name == "ring"
    assert model.card["source"] == f"{EXAMPLE}:ring"
    assert model.denoise(torch.zeros(3, *model.shape), 1.0).shape == (3, 32, 2)


def test_a_file_may_import_its_neighbours_and_be_edited(tmp_path: Path) -> None:
    (tmp_path / "facts_beside.py").write_text("NAME = 'first'\n")
    shutil.copy(EXAMPLE, tmp_path / "own_model.py")
    main = tmp_path / "main.py"
    main.write_text(
        "from own_model import ring\nfrom facts_beside import NAME\n"
        "def make():\n    return ring().replace(name=NAME)\n"
    )
    path = list(sys.path)
    assert load(f"{main}:make").name == "first"
    main.write_text(main.read_text().replace("name=NAME", "name='second'"))
    assert load(f"{main}:make").name == "second"
    assert sys.path == path


@pytest.mark.parametrize(
    ("text", "reference", "words"),
    [
        ("def f(): return 1", "f", "returned int, not a hasten.Model"),
        ("def f(): return 1", "g", r"(?s)no function 'g'.*it defines: f"),
        ("f = 3", "f", "not a function"),
        ("def f(x): return x", "f", "(?s)argument.*called without"),
        ("def f(): raise ValueError('no weights')", "f", "ValueError: no weights"),
        ("def f(:", "f", "does not run: SyntaxError"),
        ("import not_a_library_at_all", "f", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "f", "SystemExit"),
    ],
)
def test_mistakes_in_a_file_are_worded(
    tmp_path: Path, text: str, reference: str, words: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(ModelError, match=words):
        load(f"{path}:{reference}")


def test_what_is_no_model_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="no such model"):
        load("nothing")
    with pytest.raises(ModelError, match="no such file"):
        load(f"{tmp_path}/nothing.py:f")
    with pytest.raises(ModelError, match="holds no model"):
        load(tmp_path)
    (tmp_path / "x.safetensors").write_text("")
    with pytest.raises(ModelError, match="a file alone"):
        load(tmp_path / "x.safetensors")


def test_an_id_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refuse(name: str, **_: object) -> str:
        raise FileNotFoundError(f"{name} is not in the cache\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ModelError, match=r"(?s)hub: someone/thing is not in the cache\n.*network"):
        load("someone/thing")


def test_an_id_that_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    net = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8,),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
        attention_head_dim=4,
    )
    net.save_pretrained(tmp_path / "abc")
    diffusers.DDPMScheduler().save_pretrained(tmp_path / "abc")
    asked = []

    def fetch(name: str, *, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(tmp_path / "abc")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert load("someone/thing").name == "thing"
    assert asked == [("someone/thing", ["*.json", "*.safetensors"])]


def test_without_diffusers_only_diffusers_folders_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtra, match=r"hasten\[diffusers\]"):
        load(tmp_path)
    assert load("mixture").kind == "toy"


def test_loading_a_model_of_our_own_imports_no_foreign_library() -> None:
    code = (
        "import sys; from hasten.loading import load; load('mixture'); "
        "sys.exit(any(m in sys.modules for m in ('diffusers', 'transformers', 'huggingface_hub')))"
    )
    path = str(Path(__file__).parents[1] / "src")
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == 0
