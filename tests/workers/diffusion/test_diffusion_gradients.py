"""Gradients of an image with a caption: those of a loop over rows and timesteps, by other code, in float64."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image
from support.uploads.pipelines import ATTENTION, CONVOLUTIONS, SIDE, adapt_unet
from torch import Tensor
from torch.nn import functional

from influence.checkpoint_files.bases.pipelines import PipelineFiles
from influence.contracts.index import DiffusionSettings
from influence.contracts.points import GenerationSettings
from influence.errors import UnsupportedModule
from workers.gradients.collector import GradientCollector
from workers.loading.options import LoadOptions
from workers.loading.pipeline import load_parts
from workers.rows import Batch
from workers.tasks.diffusion.conditions import Conditions
from workers.tasks.diffusion.objective import Objective, mid_interval_timesteps
from workers.tasks.diffusion.parts import PipelineParts
from workers.tasks.diffusion.sampling import sample_latents

ROWS, STEPS = 3, 4


def open_parts(pipeline: Path) -> PipelineParts:
    return load_parts(pipeline, LoadOptions(cache_dir=pipeline), PipelineFiles(pipeline).record)[1]


def draw(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (SIDE + 4, SIDE, 3), dtype=np.uint8))


def make_batch(parts: PipelineParts) -> Batch:
    conditions = Conditions(parts, SIDE)
    latents = torch.stack([conditions.latents(str(row), lambda row=row: draw(row)) for row in range(ROWS)])  # type: ignore[misc]
    states = torch.stack([conditions.states([1, 5 + row, 9, 2]) for row in range(ROWS)])
    inputs = {"latents": latents, "states": states, "steps": torch.arange(STEPS).expand(ROWS, STEPS).contiguous()}
    return Batch(inputs, torch.zeros(ROWS), copies=STEPS, by_copy=("steps",))


def gradients_of(model: Any, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad])
    return torch.cat([values.flatten() for values in found])


def loop(pipeline: Path, model: Any, parts: PipelineParts, settings: DiffusionSettings, row: int) -> list[Tensor]:
    """The gradient at each timestep of one row, one image at a time, by diffusers' scheduler and plain autograd."""
    scheduler = DDPMScheduler.from_pretrained(pipeline, subfolder="scheduler")
    batch, objective = make_batch(parts), Objective(parts, settings)
    clean, states = batch.inputs["latents"][row : row + 1].double(), batch.inputs["states"][row : row + 1].double()
    found = []
    for step in range(STEPS):
        time = torch.tensor([int((step + 0.5) * 1000 / STEPS)])
        noise = objective.noise(tuple(clean.shape[1:]))[step : step + 1].double()
        answer = model(scheduler.add_noise(clean, noise, time), time, encoder_hidden_states=states).sample
        is_noise = scheduler.config.prediction_type == "epsilon"
        target = noise if is_noise else scheduler.get_velocity(clean, noise, time)
        kept = scheduler.alphas_cumprod[time].double()
        ratio = kept / (1 - kept)
        weight = 1.0 if settings.snr_gamma is None else ratio.clamp(max=settings.snr_gamma) / (ratio + (not is_noise))
        target = torch.zeros_like(target) if settings.measurement == "square" else target
        found.append(gradients_of(model, weight * functional.mse_loss(answer, target)))
    return found


@pytest.mark.parametrize("targets", [ATTENTION, ATTENTION + CONVOLUTIONS], ids=["attention", "convolutions"])
@pytest.mark.parametrize("kind", ["latent_pipeline", "velocity_pipeline", "pixel_pipeline"])
def test_gradients_of_a_batch_are_those_of_rows_and_timesteps_one_by_one(
    kind: str, targets: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    pipeline: Path = request.getfixturevalue(kind)
    parts, settings = open_parts(pipeline), DiffusionSettings(timesteps=STEPS)
    model = adapt_unet(pipeline, targets=targets).double().eval()
    collector = GradientCollector(model, Objective(parts, settings).row_losses)
    collector.collect(make_batch(parts))
    found = torch.cat([*collector.collect(make_batch(parts)).blocks.values()], dim=1)
    assert {block.path for block in collector.blocks} == {"fast"}
    for row in range(ROWS):
        truth = torch.stack(loop(pipeline, model, parts, settings, row)).mean(dim=0)
        assert (found[row] - truth).norm() < 1e-10 * truth.norm()


@pytest.mark.parametrize(
    "options",
    [{"snr_gamma": 5.0}, {"noise_offset": 0.1}, {"measurement": "square"}, {"seed": 7}],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("kind", ["latent_pipeline", "velocity_pipeline"])
def test_options_change_the_gradient_as_they_say(
    kind: str, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    pipeline: Path = request.getfixturevalue(kind)
    parts = open_parts(pipeline)
    settings, plain = DiffusionSettings(timesteps=STEPS, **options), DiffusionSettings(timesteps=STEPS)
    model = adapt_unet(pipeline).double().eval()
    found, usual = (
        torch.cat(
            [*GradientCollector(model, Objective(parts, chosen).row_losses).collect(make_batch(parts)).blocks.values()],
            dim=1,
        )
        for chosen in (settings, plain)
    )
    truth = torch.stack(loop(pipeline, model, parts, settings, 1)).mean(dim=0)
    assert (found[1] - truth).norm() < 1e-10 * truth.norm()
    assert (found[1] - usual[1]).norm() > 1e-3 * truth.norm()


def test_unit_norm_takes_the_mean_of_directions_at_the_timesteps(latent_pipeline: Path) -> None:
    parts, settings = open_parts(latent_pipeline), DiffusionSettings(timesteps=STEPS, timestep_weighting="unit_norm")
    model = adapt_unet(latent_pipeline).double().eval()
    collector = GradientCollector(model, Objective(parts, settings).row_losses, unit_copies=True)
    found = torch.cat([*collector.collect(make_batch(parts)).blocks.values()], dim=1)
    truth = torch.stack([g / g.norm() for g in loop(latent_pipeline, model, parts, settings, 2)]).mean(dim=0)
    assert (found[2] - truth).norm() < 1e-10 * truth.norm()


def test_training_draws_a_timestep_and_noise_for_every_image_whatever_is_measured(latent_pipeline: Path) -> None:
    parts, model = open_parts(latent_pipeline), adapt_unet(latent_pipeline).eval()
    batch = make_batch(parts)
    objective = Objective(parts, DiffusionSettings(timesteps=STEPS, measurement="square"))
    torch.manual_seed(5)
    drawn = objective.training_losses(model, batch)
    torch.manual_seed(5)
    clean = batch.inputs["latents"]
    times, noise = torch.randint(0, 1000, (ROWS,)), torch.randn(clean.shape)
    scheduler = DDPMScheduler.from_pretrained(latent_pipeline, subfolder="scheduler")
    answer = model(scheduler.add_noise(clean, noise, times), times, encoder_hidden_states=batch.inputs["states"]).sample
    torch.testing.assert_close(drawn, (answer - noise).square().flatten(1).mean(dim=1))


def test_noise_depends_on_seed_and_timestep_alone(latent_pipeline: Path) -> None:
    parts = open_parts(latent_pipeline)
    few, many, other = (
        Objective(parts, DiffusionSettings(timesteps=count, seed=seed)).noise((4, 8, 8))
        for count, seed in ((3, 0), (10, 0), (3, 1))
    )
    assert torch.equal(few, many[:3])
    assert not torch.equal(few, other)
    assert not torch.equal(few[0], few[1])


def test_timesteps_lie_in_the_middle_of_equal_parts() -> None:
    assert mid_interval_timesteps(1000, 10).tolist() == [50, 150, 250, 350, 450, 550, 650, 750, 850, 950]
    assert mid_interval_timesteps(1000, 1).tolist() == [500]
    assert mid_interval_timesteps(5, 5).tolist() == [0, 1, 2, 3, 4]


def test_latents_are_the_mode_of_the_vae_scaled_and_kept(latent_pipeline: Path) -> None:
    parts = open_parts(latent_pipeline)
    conditions = Conditions(parts, SIDE)
    first = conditions.latents("a", lambda: draw(0))
    assert parts.vae is not None
    mode = parts.vae.encode(conditions.pixels(draw(0))[None]).latent_dist.mode()[0] * parts.vae.config.scaling_factor
    torch.testing.assert_close(first, mode)
    assert conditions.latents("a", lambda: pytest.fail("it is kept")) is first


def test_weights_where_nothing_is_left_of_the_image_are_numbers(latent_pipeline: Path, tmp_path: Path) -> None:
    """A schedule that ends in pure noise has a ratio of 0 at its last timestep: min(0, gamma) / 0."""
    parts = open_parts(ending_in_noise(latent_pipeline, tmp_path))
    assert float(parts.scheduler.alphas_cumprod[-1]) == 0.0
    weights = Objective(parts, DiffusionSettings(snr_gamma=5.0))._loss_weights(torch.tensor([0, 998, 999]))
    kept = float(parts.scheduler.alphas_cumprod[0].double())
    assert weights.tolist() == pytest.approx([5.0 * (1.0 - kept) / kept, 1.0, 1.0])


def test_no_image_is_made_where_the_first_step_would_be_of_pure_noise(latent_pipeline: Path, tmp_path: Path) -> None:
    parts = open_parts(ending_in_noise(latent_pipeline, tmp_path))
    texts = [{"states": torch.zeros(8, 16)}] * 2
    with pytest.raises(UnsupportedModule, match="pure noise"):
        sample_latents(adapt_unet(latent_pipeline), parts, texts, (4, 8, 8), GenerationSettings(steps=2), nullcontext())


def ending_in_noise(pipeline: Path, folder: Path) -> Path:
    """A copy whose betas are rescaled so that the last timestep is pure noise."""
    shutil.copytree(pipeline, folder / "rescaled")
    config = folder / "rescaled" / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "rescale_betas_zero_snr": True}))
    return folder / "rescaled"
