"""The frozen parts of a diffusion pipeline around its UNet."""

from dataclasses import dataclass
from typing import Any

import torch

from workers.tasks.encoding import TextEncoder


@dataclass(frozen=True, slots=True)
class SecondText:
    """The second text encoder of an SDXL pipeline, in evaluation mode and float32, with what reads texts for it."""

    model: Any
    reader: TextEncoder
    pad_id: int


@dataclass(frozen=True, slots=True)
class PipelineParts:
    """Text encoder and, where noise falls on latents, VAE, in evaluation mode and float32 on `device`.

    `scheduler` is diffusers' DDPMScheduler with the pipeline's own settings, `tokens` the number of tokens that every
    text is padded to with `pad_id`, `channels` those of what the UNet takes. Of SDXL there is a `second` text encoder,
    and `zeros_for_empty` says that guidance goes away from zeros and not from the states of the empty text.
    """

    text_encoder: Any
    vae: Any | None
    scheduler: Any
    tokens: int
    pad_id: int
    channels: int
    device: torch.device
    second: SecondText | None = None
    zeros_for_empty: bool = False

    @property
    def pixels_per_place(self) -> int:
        """Pixels a side that make one place of what the UNet takes."""
        return 1 if self.vae is None else 1 << (len(self.vae.config.block_out_channels) - 1)
