"""Plans as schedulers: the loop of a pipeline gives the samples of our own loop."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from hasten.adapters.diffusers.scheduler import as_scheduler
from hasten.adapters.diffusers.scheduler_facts import facts
from hasten.core.model import Call, Model
from hasten.core.plan import HOLD
from hasten.errors import OutputError, PlanError
from hasten.recipe import PlanSpec, Recipe
from hasten.solvers import run
from hasten.tuning.learn import Numbers

SHAPE = (2, 8, 8)


def net() -> Any:
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=8,
        in_channels=2,
        out_channels=2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    ).eval()


def model(like: Any, unet: Any) -> Model:
    found = facts(dict(like.config), "test")
    return Model(
        unet,
        found.process,
        found.prediction,
        SHAPE,
        Call(extra={"return_dict": False}),
        clip=found.clip,
    )


@torch.no_grad()
def played(scheduler: Any, unet: Any, noise: Tensor, **more: Any) -> Tensor:
    """The loop of every pipeline."""
    scheduler.set_timesteps(50)
    x = noise * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        out = unet(scheduler.scale_model_input(x, t), t, return_dict=False)[0]
        x = scheduler.step(out, t, x, **more).prev_sample
    return x


KINDS = {
    "eps": lambda: diffusers.DDIMScheduler(clip_sample=False),
    "clipped": lambda: diffusers.DDPMScheduler(clip_sample=True),
    "v": lambda: diffusers.DDIMScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, clip_sample=False
    ),
    "edm": lambda: diffusers.EDMEulerScheduler(),
    "flow": lambda: diffusers.FlowMatchEulerDiscreteScheduler(),
}


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(
    "spec",
    [
        PlanSpec("ddim", "trailing", 5),
        PlanSpec("heun", "karras", 4),
        PlanSpec("unipc3", "logsnr", 7),
        PlanSpec("dpm_3", "trailing", 3),
    ],
    ids=lambda spec: spec.label,
)
def test_the_loop_of_a_pipeline_gives_our_samples(kind: str, spec: PlanSpec) -> None:
    like, unet = KINDS[kind](), net().double()
    ours = model(like, unet)
    plan = spec.resolve(ours.process)
    noise = torch.randn(3, *SHAPE, dtype=torch.float64)
    expected = run(ours, plan, range(3), start=noise * plan.rows[0].sigma)
    scheduler = as_scheduler(spec, like)
    found = played(scheduler, unet, noise)
    assert (found - expected).abs().max().item() < 1e-4
    assert len(scheduler.timesteps) == plan.nfe
    again = played(scheduler, unet, noise)
    assert torch.equal(found, again)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_learned_plan_in_a_pipeline_gives_our_samples(kind: str) -> None:
    like, unet = KINDS[kind](), net().double()
    ours = model(like, unet)
    numbers = Numbers(PlanSpec("ipndm3", "karras", 6).resolve(ours.process), ours.process)
    wish = numbers.start + 0.1 * np.random.default_rng(0).standard_normal(len(numbers.start))
    plan = numbers.plan(numbers.legal(wish))
    assert plan.rows[3].input.start != pytest.approx(plan.rows[3].sigma / plan.rows[0].sigma)
    noise = torch.randn(3, *SHAPE, dtype=torch.float64)
    expected = run(ours, plan, range(3), start=noise * plan.rows[0].sigma)
    found = played(as_scheduler(plan, like), unet, noise)
    assert (found - expected).abs().max().item() < 1e-4


def test_a_pipeline_that_never_rescales_samples_as_well() -> None:
    unet, like = net(), diffusers.DDPMScheduler(clip_sample=True)
    pipe = diffusers.DDPMPipeline(unet, like)
    pipe.set_progress_bar_config(disable=True)
    recipe = Recipe(PlanSpec("dpmpp_2m", "trailing", 8))
    pipe.scheduler = as_scheduler(recipe, like)
    generator = torch.Generator().manual_seed(3)
    images = pipe(batch_size=2, generator=generator, output_type="np").images
    noise = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(3))
    ours = model(like, unet)
    plan = recipe.resolve(ours.process)
    first = plan.rows[0].sigma
    start = noise / float(ours.process.alpha(np.array([first]))[0])
    expected = (run(ours, plan, range(2), start=start) / 2 + 0.5).clamp(0, 1)
    assert np.abs(images - expected.permute(0, 2, 3, 1).numpy()).max() < 1e-4


def test_the_pipeline_of_ddim_samples_by_a_plan() -> None:
    """It tells `step` of eta and of clipping whatever the scheduler."""
    unet, like = net(), diffusers.DDIMScheduler(clip_sample=True)
    pipe = diffusers.DDIMPipeline(unet, like)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = as_scheduler(PlanSpec("dpmpp_2m", "trailing", 6), pipe.scheduler)

    def images(**more: Any) -> np.ndarray:
        generator = torch.Generator().manual_seed(3)
        return pipe(batch_size=2, generator=generator, output_type="np", **more).images

    noise = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(3))
    ours = model(like, unet)
    plan = pipe.scheduler.plan
    start = noise * np.sqrt(1 + plan.rows[0].sigma ** 2)  # it never asks for init_noise_sigma
    expected = (run(ours, plan, range(2), start=start) / 2 + 0.5).clamp(0, 1)
    assert np.abs(images() - expected.permute(0, 2, 3, 1).numpy()).max() < 1e-4
    assert np.array_equal(images(use_clipped_model_output=True), images())
    with pytest.raises(PlanError, match=r"eta = 0\.5: the noise is the plan's") as caught:
        images(eta=0.5)
    assert "eta" in caught.value.hint


@pytest.mark.parametrize("kind", list(KINDS))
def test_noise_levels_are_told_as_pipelines_read_them(kind: str) -> None:
    """A flow's are its times; the last is 0, as in the schedulers they know."""
    like = KINDS[kind]()
    scheduler = as_scheduler(PlanSpec("ddim", "trailing", 4), like)
    assert len(scheduler.sigmas) == len(scheduler.timesteps) + 1
    if kind == "flow":
        like.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25])
        # the grid's equal steps begin at the cap, at t = 0.9999
        assert torch.allclose(scheduler.sigmas, like.sigmas, atol=1e-4, rtol=0)
        assert torch.allclose(scheduler.sigmas[:-1], scheduler.timesteps / 1000)
    else:
        assert scheduler.sigmas[:-1].tolist() == pytest.approx(scheduler.plan.sigmas)
        assert scheduler.sigmas[-1] == 0


def test_a_plan_begins_with_noise_alone() -> None:
    scheduler = as_scheduler(PlanSpec("ddim", "trailing", 4), KINDS["eps"]())
    scheduler.set_begin_index()
    scheduler.set_begin_index(0)
    image = torch.zeros(1, *SHAPE)
    for ask in (
        lambda: scheduler.set_begin_index(2),
        lambda: scheduler.add_noise(image, image, torch.tensor([500])),
        lambda: scheduler.scale_noise(sample=image, timestep=torch.tensor([500]), noise=image),
    ):
        with pytest.raises(PlanError) as caught:
            ask()
        assert "begins with noise alone" in caught.value.hint


def test_churn_in_a_pipeline_needs_a_first_level_without() -> None:
    like, unet = KINDS["edm"](), net()
    with pytest.raises(PlanError, match="the start itself") as caught:
        as_scheduler(PlanSpec("edm", "karras", 5), like)
    assert "high" in caught.value.hint
    scheduler = as_scheduler(PlanSpec("edm", "karras", 5, options={"high": 50.0}), like)
    assert scheduler.plan.stochastic
    generator = torch.Generator().manual_seed(1)
    found = played(scheduler, unet, torch.randn(2, *SHAPE), generator=generator)
    assert torch.isfinite(found).all()


def test_noise_comes_from_the_pipelines_generator() -> None:
    like, unet = KINDS["eps"](), net()
    scheduler = as_scheduler(PlanSpec("ancestral", "trailing", 6), like)
    noise = torch.randn(2, *SHAPE)
    first, second, other = (
        played(scheduler, unet, noise, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_what_a_scheduler_cannot_do_is_refused() -> None:
    like = KINDS["eps"]()
    plan = PlanSpec("ddim", "trailing", 4).resolve(facts(dict(like.config), "test").process)
    held = plan.with_reuse([plan.reuse[0], HOLD, plan.reuse[2], plan.reuse[3]])
    with pytest.raises(PlanError, match="hold"):
        as_scheduler(held, like)
    with pytest.raises(PlanError, match="guidance"):
        as_scheduler(PlanSpec("ddim", "trailing", 4, guidance=2.0), like)
    with pytest.raises(PlanError, match="guidance") as caught:
        as_scheduler(PlanSpec("ddim", "trailing", 4, guidance_interval=(0.1, 1.0)), like)
    assert "interval" in caught.value.hint
    scheduler = as_scheduler(plan, like)
    with pytest.raises(PlanError, match="the plan's"):
        scheduler.set_timesteps(timesteps=[999, 500])
    sample = torch.zeros(1, *SHAPE)
    for t in scheduler.timesteps:
        sample = scheduler.step(sample, t, sample, return_dict=False)[0]
    with pytest.raises(OutputError, match="4 evaluations"):
        scheduler.step(sample, 0, sample)
