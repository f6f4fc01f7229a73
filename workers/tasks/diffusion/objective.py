"""The loss of an image with a caption: the mean over fixed timesteps of the squared error of what the UNet predicts.

K timesteps lie in the middle of K equal parts of all that the model was trained on, and the noise of each is drawn
from (seed, k) alone: every row, of training and of test alike, meets the same noise. Noise of its own for each row
would add a difference between gradients that says nothing of the rows.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from influence.contracts.index import DiffusionSettings
from workers.rows import Batch
from workers.tasks.diffusion.parts import PipelineParts

#: The input that says which of the K timesteps each copy of a row is of.
STEPS = "steps"
LATENTS, STATES = "latents", "states"
#: Of SDXL: the pooled vector of its second text encoder, and the sizes of the image.
POOLED, SIZES = "pooled", "sizes"


class Objective:
    """Losses of batches of latents (B, C, h, w), text states (B, T, D) and steps (B, K) that count timesteps."""

    def __init__(self, parts: PipelineParts, settings: DiffusionSettings) -> None:
        self._scheduler = parts.scheduler
        self._settings = settings
        self.timesteps = mid_interval_timesteps(int(parts.scheduler.config.num_train_timesteps), settings.timesteps)
        self._noise: dict[tuple[int, ...], Tensor] = {}

    def row_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """Loss of each row (B,), float32 or the model's float64, differentiable."""
        steps, latents = batch.inputs[STEPS], batch.inputs[LATENTS]
        copies, flat = steps.shape[1], steps.flatten()
        clean = latents.repeat_interleave(copies, dim=0)
        noise = self.noise(tuple(latents.shape[1:])).to(clean.device)[flat]
        timesteps = self.timesteps.to(clean.device)[flat]
        read = _read_beside(batch, copies)
        return self._losses(model, clean, noise, timesteps, read).view(-1, copies).mean(dim=1)

    def training_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """Loss of each row (B,) at one timestep with noise of its own, both drawn from torch's generator: as models
        are trained, whatever is measured."""
        clean = batch.inputs[LATENTS]
        timesteps = torch.randint(0, int(self._scheduler.config.num_train_timesteps), (len(batch),))
        noise = torch.randn(clean.shape)
        if self._settings.noise_offset:
            noise += self._settings.noise_offset * torch.randn(*clean.shape[:2], 1, 1)
        return self._losses(model, clean, noise.to(clean.device), timesteps, _read_beside(batch, 1), trains=True)

    def _losses(
        self,
        model: torch.nn.Module,
        clean: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        read: Mapping[str, Tensor],
        *,
        trains: bool = False,
    ) -> Tensor:
        """Losses (N,) of latents, noise (N, C, h, w), timesteps (N,) and what the UNet reads beside them."""
        dtype = next(model.parameters()).dtype
        # Sixteen bits would round the noise that the loss is measured against.
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        clean, noise, times = clean.to(wide), noise.to(wide), timesteps.to(clean.device)
        noisy = self._scheduler.add_noise(clean, noise, times)
        found = model(noisy.to(dtype), times, **as_arguments(read, dtype), return_dict=False)[0]
        errors = found.to(wide)
        if trains or self._settings.measurement == "loss":
            errors = errors - self._target(clean, noise, times)
        weights = self._loss_weights(times).to(errors.dtype)
        of_images: Tensor = errors.square().flatten(1).mean(dim=1) * weights
        return of_images

    def noise(self, shape: tuple[int, ...]) -> Tensor:
        """The noise (K, *shape) float32 of every timestep, of unit variance but for `noise_offset`."""
        if shape not in self._noise:
            self._noise[shape] = torch.stack(
                [_draw(self._settings.seed, step, shape, self._settings.noise_offset) for step in self._steps()]
            )
        return self._noise[shape]

    def _target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        if self._scheduler.config.prediction_type == "epsilon":
            return noise
        velocity: Tensor = self._scheduler.get_velocity(clean, noise, timesteps)
        return velocity

    def _loss_weights(self, timesteps: Tensor) -> Tensor:
        """Min-SNR weights (N,) float64 of timesteps (Hang et al. 2023, arXiv:2303.09556): min(SNR, gamma) / SNR,
        for velocities / (SNR + 1); 1 where there is no gamma."""
        gamma = self._settings.snr_gamma
        if gamma is None:
            return torch.ones(len(timesteps), dtype=torch.float64, device=timesteps.device)
        kept: Tensor = self._scheduler.alphas_cumprod.to(timesteps.device).double()[timesteps]
        ratio = kept / (1.0 - kept)
        if self._scheduler.config.prediction_type == "epsilon":
            # Where nothing is left of the image the ratio is 0, and the weight its limit.
            return (gamma / ratio).clamp(max=1.0)
        return ratio.clamp(max=gamma) / (ratio + 1.0)

    def _steps(self) -> range:
        return range(len(self.timesteps))


def as_arguments(read: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Any]:
    """What a UNet is given beside latents and timesteps, by the names of its arguments."""
    found: dict[str, Any] = {"encoder_hidden_states": read[STATES].to(dtype)}
    if POOLED in read:
        # Sizes are numbers above a thousand: sixteen bits would round them.
        found["added_cond_kwargs"] = {"text_embeds": read[POOLED].to(dtype), "time_ids": read[SIZES]}
    return found


def _read_beside(batch: Batch, copies: int) -> dict[str, Tensor]:
    inputs = batch.inputs
    return {name: inputs[name].repeat_interleave(copies, dim=0) for name in (STATES, POOLED, SIZES) if name in inputs}


def mid_interval_timesteps(trained: int, count: int) -> Tensor:
    """The middles (count,) of `count` equal parts of the timesteps 0 to `trained` - 1."""
    return torch.tensor([(2 * step + 1) * trained // (2 * count) for step in range(count)])


def _draw(seed: int, step: int, shape: tuple[int, ...], offset: float) -> Tensor:
    source: Any = np.random.default_rng([seed, step])
    noise = source.standard_normal(shape, dtype=np.float32)
    if offset:
        noise += np.float32(offset) * source.standard_normal((shape[0], 1, 1), dtype=np.float32)
    return torch.from_numpy(noise)
