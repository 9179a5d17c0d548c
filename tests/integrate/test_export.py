"""Exported folders give hasten's own samples in a process that cannot import hasten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from calo import shower_model
from hasten.adapters.card import load_bundle, save_bundle
from hasten.adapters.diffusers.save import stock_schedulers
from hasten.adapters.module import from_module
from hasten.core.model import Call, Classes, Codec, Model, Pixels
from hasten.core.plan import FULL, HOLD, from_dict
from hasten.core.process import EDM, VP, Flow, Raw, V, Velocity
from hasten.errors import MethodError, ModelError, OutputError, RunError
from hasten.integrate.export import export
from hasten.integrate.player import Player, main
from hasten.loading import load
from hasten.solvers import SOLVERS, build, ddim, sample, start_noise, stock_plan
from hasten.solvers.grids import GRIDS

CONFIG = {"size": 8, "channels": 1, "patch": 4, "width": 16, "depth": 2, "heads": 2, "classes": 4}
EXAMPLE = Path(__file__).parents[2] / "examples" / "own_model.py"
FLOW = "FlowMatchEulerDiscrete"
PLAIN = diffusers.DDPMScheduler(clip_sample=False)
ALONE = (
    "import sys, runpy; sys.modules['hasten'] = None; sys.argv = sys.argv[1:]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def played(folder: Path, *arguments: str) -> tuple[Tensor, str]:
    """Samples and messages of the folder's script, run where hasten cannot be imported."""
    command = [sys.executable, "-W", "error", "-c", ALONE, str(folder / "sample.py")]
    out = folder / "out.npz"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [*command, *arguments, "-o", str(out)],
        capture_output=True,
        text=True,
        env={**environment, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return torch.from_numpy(np.load(out)["samples"]), done.stderr


@pytest.fixture(scope="module")
def uvit(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    from hasten.models.uvit import UViT

    torch.manual_seed(0)
    net = UViT(**CONFIG)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    classes = Classes(3, null=3)
    facts = {"call": Call(cond="label"), "codec": Pixels(), "clip": 1.0, "classes": classes}
    model = Model(net.eval(), VP(), V(), (1, 8, 8), name="tiny", **facts)
    save_bundle(folder, model, {"factory": "uvit", **CONFIG}, {})
    return load_bundle(folder)


def a_unet(folder: Path, scheduler: object) -> Model:
    torch.manual_seed(0)
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
    )
    diffusers.DDPMPipeline(unet=net, scheduler=scheduler).save_pretrained(folder)
    return load(folder)


def test_our_own_net_with_classes_guidance_and_noise(uvit: Model, tmp_path: Path) -> None:
    plan = build(ddim(0.7), GRIDS["logsnr"](uvit.process, 4))
    done = export(uvit, plan, tmp_path / "out", guidance=1.5)
    labels = torch.tensor([0, 2, 0])
    want = sample(uvit, plan, [7, 8, 9], labels, guidance=1.5)
    got, said = played(done.folder, "-n", "3", "--seed", "7", "--classes", "0,2", "--batch", "2")
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    assert done.notes == ()
    assert "note" not in said
    assert (done.folder / "parts" / "uvit.py").is_file()
    stored = (done.folder / "weights.safetensors").stat().st_size
    count = sum(p.numel() for p in uvit.net.parameters())
    assert stored < 2 * count + 5000  # 16 bits suffice for weights that were stored in 16
    assert from_dict(json.loads((done.folder / "plan.json").read_text())) == plan
    plain = Player(done.folder).sample([8], torch.tensor([2]), guidance=1.0)
    unguided = sample(uvit, plan, [8], torch.tensor([2]))
    torch.testing.assert_close(plain, unguided, atol=1e-5, rtol=0)


def test_an_interval_of_guidance_is_played_by_the_script(uvit: Model, tmp_path: Path) -> None:
    levels = GRIDS["logsnr"](uvit.process, 6)
    plan = build(SOLVERS["dpmpp_2m"], levels, guidance_interval=(0.1, 5.0))
    done = export(uvit, plan, tmp_path / "out")
    labels = torch.tensor([0, 2, 1])
    want = sample(uvit, plan, [7, 8, 9], labels, guidance=2.5)
    got = Player(done.folder).sample([7, 8, 9], labels, guidance=2.5)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    plain = sample(uvit, plan, [7, 8, 9], labels)
    assert (want - plain).abs().max().item() > 1e-3


def test_a_guide_cannot_leave(uvit: Model, tmp_path: Path) -> None:
    plan = stock_plan(uvit.process, "ddim", "uniform", 2)
    with pytest.raises(ModelError, match="together with its guide") as caught:
        export(uvit.replace(guide=uvit), plan, tmp_path / "out", guidance=2.0)
    assert "guide=None" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_reuse_is_played_in_full_and_said_so(uvit: Model, tmp_path: Path) -> None:
    plan = stock_plan(uvit.process, "heun", "karras", 3)
    held = plan.with_reuse([FULL, HOLD, FULL])
    done = export(uvit, held, tmp_path / "out")
    assert "2 of 5 evaluations reuse features" in done.notes[0]
    player = Player(done.folder)
    got = player.sample([0], torch.tensor([1]))
    assert done.notes[0] in player.facts["notes"]
    torch.testing.assert_close(got, sample(uvit, plan, [0], torch.tensor([1])), atol=1e-5, rtol=0)


def test_a_net_of_your_own_leaves_as_a_program(tmp_path: Path) -> None:
    model = load(f"{EXAMPLE}:ring")
    plan = stock_plan(model.process, "unipc2", "karras", 6)
    done = export(model, plan, tmp_path / "ring")
    assert "torch.export" in done.notes[-1]
    got, _ = played(done.folder, "-n", "3", "--batch", "1")
    torch.testing.assert_close(got, sample(model, plan, range(3)), atol=1e-5, rtol=0)


class ByLabel(nn.Module):
    """Uses ``len``, which one way of tracing does not follow; returns twice the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, 4)

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> tuple[Tensor, None]:
        h = x.reshape(len(x), -1) * time.reshape(-1, 1).sin() + self.table(label)
        return torch.cat([h, h + 1], dim=1), None


def test_a_program_takes_labels_and_any_batch(tmp_path: Path) -> None:
    model = from_module(
        ByLabel(),
        Flow(),
        Velocity(),
        (4,),
        call=Call(cond="label", channels=4),
        classes=Classes(2, null=2),
    )
    plan = stock_plan(model.process, "euler", "uniform", 3)
    done = export(model, plan, tmp_path / "out")
    labels = torch.tensor([1, 0, 1, 0, 1])
    got = Player(done.folder).sample(range(5), labels, 2.0)
    want = sample(model, plan, range(5), labels, guidance=2.0)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # diffusers' own
@pytest.mark.parametrize(
    ("scheduler", "plan", "stock"),
    [
        (diffusers.DDPMScheduler(), ("ddim", "trailing", 4), None),
        (PLAIN, ("ddim", "trailing", 5), "DDIM"),
        (PLAIN, ("ddim", "trailing", 6), "DPMSolverMultistep"),
        (PLAIN, ("dpmpp_2m", "trailing", 5), "DPMSolverMultistep"),
        (PLAIN, ("unipc3", "trailing", 5), None),
        (diffusers.FlowMatchEulerDiscreteScheduler(), ("euler", "uniform", 5), FLOW),
        (diffusers.EDMEulerScheduler(), ("ddim", "karras", 5), None),
        (PLAIN, ("unipc2", "logsnr", 5), None),
        (PLAIN, ("ancestral", "trailing", 5), None),
        (PLAIN, ("heun", "trailing", 5), None),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "config") else str(value),
)
def test_a_net_of_diffusers_with_a_stock_scheduler_where_one_plays(
    tmp_path: Path, scheduler: object, plan: tuple[str, str, int], stock: str | None
) -> None:
    model = a_unet(tmp_path / "model", scheduler)
    rows = stock_plan(model.process, *plan)
    done = export(model, rows, tmp_path / "out")
    want = sample(model, rows, [3, 4])
    if stock is None:
        assert not (done.folder / "model_index.json").exists()
        assert "No stock scheduler" in done.notes[-1]
        return
    pipe = diffusers.DDPMPipeline.from_pretrained(done.folder)
    assert type(pipe.scheduler).__name__ == f"{stock}Scheduler"
    assert f"{rows.nfe} steps of its {stock}Scheduler" in done.notes[-1]
    pipe.scheduler.set_timesteps(rows.nfe)
    x = start_noise([3, 4], model.shape)
    for t in pipe.scheduler.timesteps:
        with torch.no_grad():
            x = pipe.scheduler.step(pipe.unet(x, t).sample, t, x).prev_sample
    torch.testing.assert_close((x / 2 + 0.5).clamp(0, 1), want, atol=2e-3, rtol=0)


def test_a_net_of_diffusers_is_played_alone(tmp_path: Path) -> None:
    model = a_unet(tmp_path / "model", diffusers.DDPMScheduler())
    plan = stock_plan(model.process, "unipc2", "logsnr", 4)
    done = export(model, plan, tmp_path / "out")
    got = Player(done.folder).sample(range(2))
    torch.testing.assert_close(got, sample(model, plan, range(2)), atol=1e-5, rtol=0)


def test_a_pipeline_that_replaces_schedulers_is_not_written(tmp_path: Path) -> None:
    model = a_unet(tmp_path / "model", PLAIN)
    index = {**model.card["pipeline"], "_class_name": "DDIMPipeline"}
    model = model.replace(card={**model.card, "pipeline": index})
    done = export(model, stock_plan(model.process, "dpmpp_2m", "trailing", 3), tmp_path / "solver")
    assert not (done.folder / "model_index.json").exists()
    done = export(model, stock_plan(model.process, "ddim", "trailing", 5), tmp_path / "ddim")
    pipe = diffusers.DDIMPipeline.from_pretrained(done.folder)
    assert pipe.scheduler.config.timestep_spacing == "trailing"


@pytest.mark.parametrize("solver", ["unipc2", "unipc3", "dpmpp_2m", "ddim"])
def test_stock_schedulers_are_found_by_what_they_do(tmp_path: Path, solver: str) -> None:
    model = a_unet(tmp_path / "model", PLAIN)
    found = list(stock_schedulers(model, stock_plan(model.process, solver, "trailing", 10)))
    kinds = {"u": "UniPCMultistepScheduler", "d": "DPMSolverMultistepScheduler"}
    assert kinds[solver[0]] in {type(scheduler).__name__ for scheduler in found}
    orders = {scheduler.config.get("solver_order", 1) for scheduler in found}
    assert int(solver[-1]) in orders if solver[0] == "u" else orders <= {1, 2}


def test_an_autoencoder_goes_with_its_net(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        sample_size=8,
        num_embeds_ada_norm=10,
        norm_num_groups=4,
    )
    vae = diffusers.AutoencoderKL(block_out_channels=(4,), norm_num_groups=2)
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    diffusers.DiTPipeline(transformer=net, vae=vae, scheduler=scheduler).save_pretrained(
        tmp_path / "dit"
    )
    model = load(tmp_path / "dit")
    plan = stock_plan(model.process, "ddim", "trailing", 4)
    done = export(model, plan, tmp_path / "out", guidance=3.0)
    pipe = diffusers.DiTPipeline.from_pretrained(done.folder)
    assert pipe.vae.config.scaling_factor == vae.config.scaling_factor
    got, _ = played(done.folder, "-n", "2", "--classes", "1,9")
    want = sample(model, plan, range(2), torch.tensor([1, 9]), guidance=3.0)
    assert got.shape == (2, 3, 8, 8)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


def test_a_folder_in_other_use_is_left_alone_and_an_export_is_replaced(
    uvit: Model, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    plan = stock_plan(uvit.process, "ddim", "uniform", 2)
    with pytest.raises(RunError, match="not an earlier export"):
        export(uvit, plan, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError):
        export(uvit, plan, tmp_path / "file" / "out")
    folder = export(uvit, plan, tmp_path / "a" / "out").folder
    (folder / "stale").write_text("")
    export(uvit, stock_plan(uvit.process, "ddim", "uniform", 3), folder)
    assert not (folder / "stale").exists()
    assert len(json.loads((folder / "sampler.json").read_text())["rows"]) == 3
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


class Elsewhere(Codec):
    def decode(self, x: Tensor, cond: Tensor | None) -> Tensor:
        return x


def test_what_cannot_leave_is_refused_and_nothing_is_left_behind(
    uvit: Model, tmp_path: Path
) -> None:
    plan = stock_plan(uvit.process, "ddim", "uniform", 2)
    with pytest.raises(ModelError, match="Elsewhere"):
        export(uvit.replace(codec=Elsewhere()), plan, tmp_path / "out")
    assert not list(tmp_path.iterdir())


class Moody(nn.Module):
    """Decides by the data, which no trace can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return x * self.factor if float(x.mean()) > 0 else x - 1


def test_a_net_that_cannot_be_traced_is_refused_in_words(tmp_path: Path) -> None:
    model = from_module(Moody(), EDM(), Raw(), (4,))
    with pytest.raises(ModelError, match=r"torch\.export cannot"):
        export(model, stock_plan(model.process, "ddim", "karras", 2), tmp_path / "out")
    free = Model(ByLabel(), EDM(), Raw(), (4,), Call(cond="label"))
    with pytest.raises(ModelError, match="only class labels"):
        export(free, stock_plan(model.process, "ddim", "karras", 2), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_model_of_showers_is_told_the_other_way(tmp_path: Path) -> None:
    model = shower_model()
    plan = stock_plan(model.process, "euler", "karras", 2)
    with pytest.raises(ModelError, match=r"(?s)as one graph.*--onnx FILE\.onnx"):
        export(model, plan, tmp_path / "out")


def test_a_copy_that_answers_otherwise_never_leaves(uvit: Model, tmp_path: Path) -> None:
    plan = stock_plan(uvit.process, "ddim", "uniform", 2)
    handle = uvit.net.register_forward_hook(lambda _net, _inputs, out: out + 0.1)
    try:
        with pytest.raises(OutputError, match="does not answer as the model"):
            export(uvit, plan, tmp_path / "out")
    finally:
        handle.remove()
    assert not list(tmp_path.iterdir())


def test_a_recipe_is_exported_with_its_plan(uvit: Model, tmp_path: Path) -> None:
    from hasten.methods.cache import Cache
    from hasten.recipe import PlanSpec, Recipe

    spec = PlanSpec(solver="ddim", grid="uniform", steps=4, reuse="every:2")
    done = export(uvit, Recipe(spec, (Cache(),)), tmp_path / "out")
    assert "2 of 4 evaluations reuse features" in done.notes[0]
    with pytest.raises(MethodError, match="reuse"):
        export(uvit, Recipe(spec), tmp_path / "other")


def test_the_script_says_what_it_wants(
    uvit: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = stock_plan(uvit.process, "ddim", "uniform", 2)
    folder = export(uvit, plan, tmp_path / "out").folder
    player = Player(folder)
    with pytest.raises(SystemExit, match="class labels"):
        player.sample([0], None, guidance=2.0)
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--guidance" in capsys.readouterr().out
