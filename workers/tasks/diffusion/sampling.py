"""Images made by a UNet from noise and a text, the same whenever seed and settings are."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from influence.checkpoint_files.bases.noise import noise_of_noise
from influence.contracts.points import GenerationSettings
from workers.gradients.passes import failing_by_name
from workers.tasks.diffusion.objective import as_arguments
from workers.tasks.diffusion.parts import PipelineParts


@torch.no_grad()
def sample_latents(
    model: torch.nn.Module,
    parts: PipelineParts,
    texts: Sequence[Mapping[str, Tensor]],
    size: tuple[int, ...],
    asked: GenerationSettings,
    lock: AbstractContextManager[object],
) -> Tensor:
    """Latents (C, h, w) float32 of what the UNet reads of a text: DDIM (Song et al. 2021) without noise of its own,
    with classifier-free guidance away from what it reads of none, the second of `texts`.

    The lock is held for one pass of the model at a time. Raises UnsupportedModule where the first step would have to
    find an image in what the UNet says of pure noise.
    """
    from diffusers import DDIMScheduler

    if parts.scheduler.config.prediction_type == "epsilon" and float(parts.scheduler.alphas_cumprod[-1]) == 0.0:
        raise noise_of_noise()
    first = next(model.parameters())
    # Pixels are known to lie within -1 and 1; what latents are bounded by is not.
    bounds = {"clip_sample": parts.vae is None, "set_alpha_to_one": False, "timestep_spacing": "trailing"}
    steps: Any = DDIMScheduler.from_config(parts.scheduler.config, **bounds)
    steps.set_timesteps(min(asked.steps, int(parts.scheduler.config.num_train_timesteps)))
    drawn = np.random.default_rng([asked.seed]).standard_normal(size, dtype=np.float32)
    latents = torch.from_numpy(drawn)[None].to(device=first.device, dtype=first.dtype)
    is_guided = asked.guidance_scale != 1.0
    chosen = [texts[1], texts[0]] if is_guided else [texts[0]]
    read_beside = {name: torch.stack([text[name] for text in chosen]).to(first.device) for name in texts[0]}
    arguments = as_arguments(read_beside, first.dtype)
    for timestep in steps.timesteps:
        read = latents.expand(len(chosen), *size)
        with lock, failing_by_name("The UNet cannot make an image"):
            found = model(read, timestep.to(first.device), **arguments, return_dict=False)[0]
        if is_guided:
            found = found[:1] + asked.guidance_scale * (found[1:] - found[:1])
        latents = steps.step(found, timestep, latents).prev_sample
    return latents[0].float().cpu()
