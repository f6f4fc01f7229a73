"""SDXL: what its UNet reads and what comes of it, held against diffusers' own pipeline."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionXLPipeline
from PIL import Image
from support.uploads.pipelines import ATTENTION, CONVOLUTIONS, SIDE, adapt_unet, make_pipeline
from torch.nn import functional

from influence.checkpoint_files.bases.pipelines import PipelineFiles
from influence.contracts.index import DiffusionSettings
from influence.contracts.points import GenerationSettings
from influence.rows.images.content import inline_image
from influence.rows.images.store import NO_IMAGES
from workers.gradients.collector import GradientCollector
from workers.loading.options import LoadOptions
from workers.loading.pipeline import load_parts
from workers.rows import Batch
from workers.tasks.diffusion.objective import mid_interval_timesteps
from workers.tasks.encoding import TextEncoder
from workers.tasks.kinds.text_to_image import TextToImage

STEPS, CAPTIONS = 3, ("refund the order", "late", "invoice")
#: Width and height of the pictures: one is cut at its sides, one above and below.
SHAPES = ((SIDE, SIDE), (3 * SIDE, 2 * SIDE), (SIDE + 4, 2 * SIDE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("xl"), xl=True)


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    return StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False)


@pytest.fixture(scope="module")
def task(folder: Path) -> TextToImage:
    tokenizer, parts = load_parts(folder, LoadOptions(cache_dir=folder), PipelineFiles(folder).record)
    encoder = TextEncoder(tokenizer, limit=parts.tokens, on_too_long="truncate", templates=None)
    settings = DiffusionSettings(timesteps=STEPS)
    return TextToImage(encoder, parts, settings, resolution=SIDE, images=NO_IMAGES)


def make_batch(task: TextToImage) -> Batch:
    drawn = (np.random.default_rng(n).integers(0, 255, (h, w, 3), dtype=np.uint8) for n, (w, h) in enumerate(SHAPES))
    images = [inline_image(Image.fromarray(values)) for values in drawn]
    rows = [
        {"id": f"r{n}", "text": text, "image": image}
        for n, (text, image) in enumerate(zip(CAPTIONS, images, strict=True))
    ]
    return task.collate(task.tokenise(rows))


def test_texts_and_sizes_are_read_as_diffusers_reads_them(task: TextToImage, pipeline: Any) -> None:
    batch = make_batch(task)
    states, _, pooled, _ = pipeline.encode_prompt(list(CAPTIONS), do_classifier_free_guidance=False)
    torch.testing.assert_close(batch.inputs["states"], states)
    torch.testing.assert_close(batch.inputs["pooled"], pooled)
    assert batch.inputs["sizes"].tolist() == [
        [SIDE, SIDE, 0, 0, SIDE, SIDE],
        [2 * SIDE, 3 * SIDE, 0, SIDE // 4, SIDE, SIDE],
        [2 * SIDE, SIDE + 4, 5, 0, SIDE, SIDE],  # 32 / 20 * 16 = 25.6 pixels high, 4.8 of them cut off above
    ]


@pytest.mark.parametrize("targets", [ATTENTION, ATTENTION + CONVOLUTIONS], ids=["attention", "convolutions"])
def test_gradients_are_those_of_rows_and_timesteps_one_by_one(
    task: TextToImage, folder: Path, targets: tuple[str, ...]
) -> None:
    model, batch = adapt_unet(folder, targets=targets).double().eval(), make_batch(task)
    collector = GradientCollector(model, task.row_losses)
    found = collector.collect(batch)
    assert {block.path for block in collector.blocks} == {"fast"}
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    scheduler = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
    noise = task._objective.noise(tuple(batch.inputs["latents"].shape[1:])).double()
    for row in range(len(batch)):
        clean, states, pooled, sizes = (
            batch.inputs[name][row : row + 1].double() for name in ("latents", "states", "pooled", "sizes")
        )
        loss = torch.zeros((), dtype=torch.float64)
        for step, time in enumerate(mid_interval_timesteps(1000, STEPS)[:, None]):
            noisy = scheduler.add_noise(clean, noise[step : step + 1], time)
            added = {"text_embeds": pooled, "time_ids": sizes}
            answer = model(noisy, time, encoder_hidden_states=states, added_cond_kwargs=added).sample
            loss = loss + functional.mse_loss(answer, noise[step : step + 1]) / STEPS
        truth = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(weights.values()))])
        own = torch.cat([found.blocks[block.name][row] for block in collector.blocks])
        torch.testing.assert_close(own, truth, rtol=1e-10, atol=1e-10 * float(truth.abs().max()))


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_an_image_is_made_as_the_pipeline_makes_it(
    task: TextToImage, pipeline: Any, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    from contextlib import nullcontext

    from diffusers import DDIMScheduler

    unet = pipeline.unet.eval()
    asked = GenerationSettings(seed=3, steps=4, guidance_scale=scale)
    made = task.paint(unet, {"id": "a", "text": CAPTIONS[0]}, asked, nullcontext()).image
    assert made is not None
    config = {"clip_sample": False, "set_alpha_to_one": False, "timestep_spacing": "trailing"}
    monkeypatch.setattr(pipeline, "scheduler", DDIMScheduler.from_config(pipeline.scheduler.config, **config))
    size = (4, SIDE // 2, SIDE // 2)
    latents = torch.from_numpy(np.random.default_rng([3]).standard_normal(size, dtype=np.float32))[None]
    told = pipeline(
        CAPTIONS[0],
        height=SIDE,
        width=SIDE,
        num_inference_steps=4,
        guidance_scale=scale,
        latents=latents,
        output_type="pil",
    ).images[0]
    own = np.asarray(NO_IMAGES.open(made), dtype=np.int64)
    assert np.abs(own - np.asarray(told, dtype=np.int64)).max() <= 1
