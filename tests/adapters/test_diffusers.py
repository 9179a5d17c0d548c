"""diffusers folders against diffusers' own schedulers: the same x0 from the same noisy data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file

from hasten.adapters.diffusers.load import Latent, build_net, load_folder
from hasten.core.model import Model
from hasten.core.process import SIGMA_CAP
from hasten.errors import ModelError, PlanError, WeightsError

UNET = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": (8, 8),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "attention_head_dim": 4,
}
DIT = {
    "num_attention_heads": 2,
    "attention_head_dim": 4,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 2,
    "sample_size": 8,
    "num_embeds_ada_norm": 10,
    "norm_num_groups": 4,
}


def unet_folder(path: Path, scheduler: object, **config: object) -> Path:
    torch.manual_seed(0)
    net = diffusers.UNet2DModel(**{**UNET, **config})
    net.save_pretrained(path / "unet")
    scheduler.save_pretrained(path / "scheduler")
    index = {
        "_class_name": "DDPMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", type(scheduler).__name__],
    }
    (path / "model_index.json").write_text(json.dumps(index))
    return path


def dit_folder(path: Path, scheduler: object, *, vae: bool) -> Path:
    torch.manual_seed(0)
    net = diffusers.DiTTransformer2DModel(**DIT)
    with torch.no_grad():  # adaLN-zero layers start as the identity; a test must see the condition
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    net.save_pretrained(path / "transformer")
    scheduler.save_pretrained(path / "scheduler")
    index = {
        "_class_name": "DiTPipeline",
        "transformer": ["diffusers", "DiTTransformer2DModel"],
        "scheduler": ["diffusers", type(scheduler).__name__],
        "id2label": {str(i): f"thing {i}" for i in range(10)},
    }
    if vae:
        index["vae"] = ["diffusers", "AutoencoderKL"]
        decoder = diffusers.AutoencoderKL(block_out_channels=(4,), norm_num_groups=2)
        decoder.save_pretrained(path / "vae")
    (path / "model_index.json").write_text(json.dumps(index))
    return path


def diffusers_x0(model: Model, scheduler: object, t: int, sample: torch.Tensor) -> torch.Tensor:
    """What DDIM's step reports as the predicted original, from the raw net."""
    with torch.no_grad():
        raw = model.net(sample, torch.full((len(sample),), t), return_dict=False)[0]
    return scheduler.step(raw, t, sample).pred_original_sample


SCHEDULES = [
    {"beta_schedule": "linear"},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"trained_betas": np.linspace(1e-3, 0.05, 200).tolist(), "num_train_timesteps": 200},
    {"beta_schedule": "linear", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
]


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("facts", SCHEDULES, ids=lambda f: f.get("beta_schedule", "table"))
def test_x0_is_the_schedulers_own(tmp_path: Path, facts: dict, prediction: str) -> None:
    facts = {"prediction_type": prediction, **facts}
    scheduler = diffusers.DDIMScheduler(**facts, clip_sample=True, clip_sample_range=1.5)
    model = load_folder(unet_folder(tmp_path / "net", scheduler))
    scheduler.set_timesteps(scheduler.config.num_train_timesteps)
    assert model.clip == 1.5
    torch.manual_seed(1)
    for t in (0, 10, 100, 180):
        sample = torch.randn(2, 1, 8, 8)
        sigma = model.process.table[t]
        assert model.process.time(np.asarray(sigma)) == t
        got = model.denoise(sample / float(model.process.alpha(sigma)), float(sigma))
        torch.testing.assert_close(
            got, diffusers_x0(model, scheduler, t, sample), atol=2e-4, rtol=2e-4
        )


def test_the_sampler_of_diffusers_agrees_step_by_step(tmp_path: Path) -> None:
    """DDIM in VE coordinates is Euler: x' = x0 + sigma' / sigma (x - x0)."""
    scheduler = diffusers.DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
    model = load_folder(unet_folder(tmp_path / "net", scheduler))
    scheduler.set_timesteps(10)
    sample = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    levels = [*(float(model.process.table[t]) for t in scheduler.timesteps), 0.0]
    x = sample * float(np.sqrt(1 + levels[0] ** 2))
    for i, t in enumerate(scheduler.timesteps):
        with torch.no_grad():
            raw = model.net(sample, t.expand(2), return_dict=False)[0]
        sample = scheduler.step(raw, t, sample).prev_sample
        x0 = model.denoise(x, levels[i])
        x = x0 + levels[i + 1] / levels[i] * (x - x0)
    torch.testing.assert_close(x, sample, atol=1e-4, rtol=1e-3)


def test_zero_terminal_snr_reaches_the_cap_and_denoises_there(tmp_path: Path) -> None:
    scheduler = diffusers.DDIMScheduler(
        rescale_betas_zero_snr=True, prediction_type="v_prediction", clip_sample=False
    )
    model = load_folder(unet_folder(tmp_path / "net", scheduler))
    assert model.process.sigma_max == SIGMA_CAP
    # where there is no signal, x_net is the noise and x0 = -v
    noise = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        v = model.net(noise, torch.full((2,), 999), return_dict=False)[0]
    torch.testing.assert_close(model.denoise(noise * SIGMA_CAP, SIGMA_CAP), -v, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "facts",
    [{"beta_schedule": "squaredcos_cap_v2"}, {"rescale_betas_zero_snr": True}],
    ids=["cosine", "zero terminal SNR"],
)
def test_a_noise_predicting_net_starts_below_pure_noise(tmp_path: Path, facts: dict) -> None:
    model = load_folder(unet_folder(tmp_path / "net", diffusers.DDIMScheduler(**facts)))
    assert model.process.sigma_max < SIGMA_CAP
    start = float(model.process.sigma_of_t(np.asarray(1.0)))
    assert torch.isfinite(model.denoise(torch.randn(1, 1, 8, 8) * start, start)).all()
    # indices keep their meaning: at most the two noisiest levels are left out
    assert len(model.process.abar) in (998, 999)
    assert model.process.time(np.asarray(start)) == len(model.process.abar) - 1
    with pytest.raises(PlanError, match="signal"):
        model.denoise(torch.randn(1, 1, 8, 8), SIGMA_CAP)


def test_schedulers_of_every_family_state_the_same_facts(tmp_path: Path) -> None:
    names = ["DDPM", "DDIM", "PNDM", "DPMSolverMultistep", "EulerDiscrete", "HeunDiscrete"]
    names += ["UniPCMultistep", "LMSDiscrete", "DPMSolverSinglestep", "KDPM2Discrete"]
    unet_folder(tmp_path / "net", diffusers.DDPMScheduler())
    want = load_folder(tmp_path / "net")
    for name in names:
        facts = {"_class_name": f"{name}Scheduler", "beta_start": 1e-4, "beta_end": 0.02}
        path = tmp_path / "net" / "scheduler" / "scheduler_config.json"
        path.write_text(json.dumps({**facts, "beta_schedule": "linear"}))
        model = load_folder(tmp_path / "net")
        assert (model.process, model.prediction) == (want.process, want.prediction), name
        assert model.clip == (1.0 if name in ("DDPM", "DDIM") else None), name


def test_flow_matching(tmp_path: Path) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    model = load_folder(unet_folder(tmp_path / "net", scheduler))
    scheduler.set_timesteps(4)
    sample = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    t = [float(s) for s in scheduler.sigmas]  # the last is 0
    sigma = [u / (1 - u) if u < 1 else SIGMA_CAP for u in t]
    x = sample * (1 + sigma[0])
    for i, told in enumerate(scheduler.timesteps):
        assert float(model.process.time(np.asarray(sigma[i]))) == pytest.approx(float(told))
        with torch.no_grad():
            raw = model.net(sample, told.expand(2), return_dict=False)[0]
        sample = scheduler.step(raw, told, sample).prev_sample
        x0 = model.denoise(x, sigma[i])
        x = x0 + sigma[i + 1] / sigma[i] * (x - x0)
    torch.testing.assert_close(x, sample, atol=2e-3, rtol=1e-3)


def test_edm_preconditioning(tmp_path: Path) -> None:
    scheduler = diffusers.EDMEulerScheduler(sigma_data=0.7)
    model = load_folder(unet_folder(tmp_path / "net", scheduler))
    scheduler.set_timesteps(5)
    sample = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 80
    for t in scheduler.timesteps:
        sigma = float(np.exp(4 * float(t)))
        want = model.denoise(sample, sigma)
        scaled = scheduler.scale_model_input(sample, t)
        with torch.no_grad():
            raw = model.net(scaled, t.expand(2), return_dict=False)[0]
        out = scheduler.step(raw, t, sample)
        torch.testing.assert_close(want, out.pred_original_sample, atol=1e-3, rtol=1e-3)
        sample = out.prev_sample


def test_learned_variance_and_null_class(tmp_path: Path) -> None:
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    model = load_folder(dit_folder(tmp_path / "dit", scheduler, vae=False))
    assert model.classes is not None
    assert (model.classes.count, model.classes.null) == (10, 10)
    assert model.classes.names[3] == "thing 3"
    assert model.call.channels == 4
    sample = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    t, labels = 400, torch.tensor([3, 7])
    sigma = float(model.process.table[t])
    x = sample / float(model.process.alpha(np.asarray(sigma)))

    def eps(labels: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            out = model.net(sample, torch.full((2,), t), labels, return_dict=False)[0]
        assert out.shape == (2, 8, 8, 8)
        return out[:, :4]

    torch.testing.assert_close(
        model.denoise(x, sigma, labels), x - sigma * eps(labels), atol=1e-4, rtol=1e-4
    )
    free, guided = eps(torch.tensor([10, 10])), eps(labels)
    want = x - sigma * (free + 4 * (guided - free))
    torch.testing.assert_close(model.denoise(x, sigma, labels, 4.0), want, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(free, guided, atol=1e-3)


def test_latents_are_decoded_by_the_pipelines_autoencoder(tmp_path: Path) -> None:
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    model = load_folder(dit_folder(tmp_path / "dit", scheduler, vae=True))
    assert isinstance(model.codec, Latent)
    assert model.codec.scale == pytest.approx(0.18215)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        got = model.codec.decode(latents, None)
        want = model.codec.decoder.decode(latents / 0.18215).sample
    torch.testing.assert_close(got, (want / 2 + 0.5).clamp(0, 1))
    assert got.shape == (2, 3, 8, 8)


def test_class_labels_without_a_null_class(tmp_path: Path) -> None:
    folder = unet_folder(tmp_path / "net", diffusers.DDPMScheduler(), num_class_embeds=5)
    model = load_folder(folder)
    assert model.classes is not None
    assert (model.classes.count, model.classes.null) == (5, None)
    x = torch.randn(2, 1, 8, 8)
    assert model.denoise(x, 1.0, torch.tensor([0, 4])).shape == x.shape
    with pytest.raises(ModelError, match="null class"):
        model.denoise(x, 1.0, torch.tensor([0, 4]), 2.0)


def test_early_pipelines_and_bare_folders_keep_everything_at_the_root(tmp_path: Path) -> None:
    folder = unet_folder(tmp_path / "net", diffusers.DDPMScheduler(beta_end=0.01))
    want = load_folder(folder)
    flat = tmp_path / "flat"
    shutil.copytree(folder / "unet", flat)
    shutil.copy(folder / "scheduler" / "scheduler_config.json", flat)
    bare = load_folder(flat)  # a net with its scheduler's configuration
    shutil.copy(folder / "model_index.json", flat)
    early = load_folder(flat)
    inner = load_folder(folder / "unet")  # finds the scheduler beside it
    x = torch.randn(1, 1, 8, 8)
    for model in (bare, early, inner):
        assert model.process == want.process
        assert torch.equal(model.denoise(x, 2.0), want.denoise(x, 2.0))
    shutil.rmtree(folder / "scheduler")
    with pytest.raises(ModelError, match="noised in training"):
        load_folder(folder / "unet")


def test_old_configurations_get_the_defaults_of_diffusers(tmp_path: Path) -> None:
    folder = unet_folder(tmp_path / "net", diffusers.DDPMScheduler())
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text('{"_class_name": "DDPMScheduler", "beta_schedule": "linear"}')
    model = load_folder(folder)
    assert model.clip == 1.0
    assert len(model.process.abar) == 1000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beta_schedule": "laplacian"}, "beta_schedule"),
        ({"prediction_type": "score"}, "prediction_type"),
        ({"thresholding": True}, "thresholding"),
        ({"timestep_type": "continuous"}, "logarithm"),
        ({"trained_betas": [0.5, 1.5]}, "between 0 and 1"),
        ({"original_inference_steps": 50}, "consistency"),
    ],
)
def test_rules_of_other_kinds_are_refused_in_words(
    tmp_path: Path, change: dict, words: str
) -> None:
    folder = unet_folder(tmp_path / "net", diffusers.DDPMScheduler())
    path = folder / "scheduler" / "scheduler_config.json"
    config = {**json.loads(path.read_text()), **change, "_class_name": "Unheard"}
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match=words):
        load_folder(folder)


def test_a_scheduler_without_a_process_is_refused(tmp_path: Path) -> None:
    folder = unet_folder(tmp_path / "net", diffusers.ScoreSdeVeScheduler())
    with pytest.raises(ModelError, match="no known noise process"):
        load_folder(folder)


@pytest.mark.parametrize("config", [{"time_embedding_type": "fourier"}, {"sample_size": None}])
def test_nets_of_other_kinds_are_refused_in_words(tmp_path: Path, config: dict) -> None:
    folder = unet_folder(tmp_path / "net", diffusers.DDPMScheduler(), **config)
    with pytest.raises(ModelError, match=r"time_embedding_type|sample_size"):
        load_folder(folder)


def test_text_to_image_comes_later(tmp_path: Path) -> None:
    folder = unet_folder(tmp_path / "net", diffusers.DDPMScheduler())
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "text_encoder": ["transformers", "CLIPTextModel"]}))
    with pytest.raises(ModelError, match="text come later"):
        load_folder(folder)
    path.write_text(json.dumps({**index, "movq_unknown": ["diffusers", "VQModel"]}))
    with pytest.raises(ModelError, match="movq_unknown"):
        load_folder(folder)


def test_a_text_net_alone_is_refused_too(tmp_path: Path) -> None:
    net = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8,),
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
    )
    net.save_pretrained(tmp_path)
    diffusers.DDPMScheduler().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="text come later"):
        load_folder(tmp_path)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    folder = unet_folder(tmp_path / "net", diffusers.DDPMScheduler())
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = path.read_bytes()
    tensors = load(whole)  # not mapped: the file is written over below

    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_folder(folder)

    save_file({k: v for k, v in tensors.items() if k != "conv_in.weight"}, path)
    with pytest.raises(WeightsError, match=r"missing.*conv_in\.weight"):
        load_folder(folder)

    save_file({**tensors, "extra.weight": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match=r"extra\.weight"):
        load_folder(folder)

    save_file({**tensors, "conv_in.weight": torch.ones(3, 3)}, path)
    with pytest.raises(WeightsError, match=r"conv_in\.weight"):
        load_folder(folder)

    path.unlink()
    with pytest.raises(WeightsError, match="no weights"):
        load_folder(folder)
    torch.save(tensors, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(WeightsError, match="pickled"):
        load_folder(folder)


def test_unknown_nets_and_broken_configurations(tmp_path: Path) -> None:
    folder = unet_folder(tmp_path / "net", diffusers.DDPMScheduler())
    path = folder / "unet" / "config.json"
    config = json.loads(path.read_text())
    for name in ("NotANet", "DDPMScheduler", "__version__"):
        path.write_text(json.dumps({**config, "_class_name": name}))
        with pytest.raises(ModelError, match="no net called"):
            load_folder(folder)
    path.write_text(json.dumps({**config, "down_block_types": ["DownBlock2D"]}))
    with pytest.raises(ModelError, match="cannot be made"):
        build_net(folder / "unet")
    path.write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        load_folder(folder)
