"""What a UNet reads of a row: the latents of its image and the states of its text, each made once and kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from workers.gradients.passes import failing_by_name
from workers.tasks.diffusion.kept import KeptTensors
from workers.tasks.diffusion.parts import PipelineParts

#: Latents of 512 x 512 take 64 KiB, states of a text of CLIP's 230 KiB.
_KEPT_BYTES = 256 << 20
#: Pixels -1 to 1.
_HALF_RANGE = 127.5
_TEXTS = "The pipeline's text encoder cannot read captions"


@dataclass(frozen=True, slots=True)
class Text:
    """What a UNet reads of a text: states (T, D) and, of SDXL, the pooled vector (P,) of its second encoder."""

    states: Tensor
    pooled: Tensor | None = None

    def zeros(self) -> "Text":
        """Nothing at all, in the same shapes."""
        return Text(torch.zeros_like(self.states), None if self.pooled is None else torch.zeros_like(self.pooled))


class Conditions:
    """Latents and text states of rows, float32 on the CPU.

    An image or a text is encoded by itself, so that no value depends on the rows beside it.
    """

    def __init__(self, parts: PipelineParts, resolution: int) -> None:
        self._parts = parts
        self._resolution = resolution
        self._kept = KeptTensors(_KEPT_BYTES)

    @property
    def resolution(self) -> int:
        """Pixels a side."""
        return self._resolution

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of what the noise falls on."""
        side = self._resolution // self._parts.pixels_per_place
        return self._parts.channels, side, side

    def latents(self, key: str, open_image: Callable[[], Image.Image]) -> Tensor:
        """Latents (C, h, w) of an image: the mode of the VAE's distribution, scaled; its pixels where there is none."""
        return self._kept.get(("image", key), lambda: self._encode(open_image()))

    def states(self, ids: Sequence[int]) -> Tensor:
        """Hidden states (T, D) of a text's ids."""
        return self._kept.get(("text", tuple(ids)), lambda: self._read(ids))

    def text(self, ids: Sequence[int], second: Sequence[int] | None) -> Text:
        """A text by the ids of all tokenizers. Of SDXL the states are those before the last layer of both encoders,
        side by side (Podell et al. 2023, arXiv:2307.01952)."""
        if self._parts.second is None or second is None:
            return Text(self.states(ids))
        key = (tuple(ids), tuple(second))
        states = self._kept.get(("states", *key), lambda: self._read_both(ids, second)[0])
        return Text(states, self._kept.get(("pooled", *key), lambda: self._read_both(ids, second)[1]))

    def sizes(self, image: Mapping[str, Any]) -> Tensor:
        """(6,) what SDXL reads of an image's size: its height and width, where the square was cut out of it once it was
        scaled, top and left, and the square's height and width."""
        side, height, width = self._resolution, int(image["height"]), int(image["width"])
        scale = side / min(height, width)
        top, left = (max(0, round((length * scale - side) / 2)) for length in (height, width))
        return torch.tensor([height, width, top, left, side, side], dtype=torch.float32)

    def pixels(self, image: Image.Image) -> Tensor:
        """Pixels (C, r, r) from -1 to 1: the middle square, brought to r pixels a side with bilinear interpolation."""
        size = (self._resolution, self._resolution)
        square = ImageOps.fit(image, size, method=Image.Resampling.BILINEAR)
        values = torch.from_numpy(np.asarray(square, dtype=np.float32).copy())
        return values.permute(2, 0, 1) / _HALF_RANGE - 1.0

    @torch.no_grad()
    def _encode(self, image: Image.Image) -> Tensor:
        pixels, vae = self.pixels(image), self._parts.vae
        if vae is None:
            return pixels
        with failing_by_name("The pipeline's VAE cannot read images"):
            found: Tensor = vae.encode(pixels[None].to(self._parts.device)).latent_dist.mode()[0]
        shift, factor = _shift_and_factor(vae.config)
        return ((found - shift) * factor).cpu()

    @torch.no_grad()
    def _read(self, ids: Sequence[int]) -> Tensor:
        with failing_by_name(_TEXTS):
            found: Tensor = self._parts.text_encoder(self._pad(ids, self._parts.pad_id))[0][0]
        return found.cpu()

    @torch.no_grad()
    def _read_both(self, ids: Sequence[int], second: Sequence[int]) -> tuple[Tensor, Tensor]:
        assert self._parts.second is not None
        with failing_by_name(_TEXTS):
            first = self._parts.text_encoder(self._pad(ids, self._parts.pad_id), output_hidden_states=True)
            other = self._parts.second.model(self._pad(second, self._parts.second.pad_id), output_hidden_states=True)
        states = torch.cat([first.hidden_states[-2][0], other.hidden_states[-2][0]], dim=-1)
        return states.cpu(), other.text_embeds[0].cpu()

    def _pad(self, ids: Sequence[int], pad_id: int) -> Tensor:
        missing = self._parts.tokens - len(ids)
        return torch.tensor([[*ids, *[pad_id] * missing]], device=self._parts.device)

    @torch.no_grad()
    def show(self, latents: Tensor) -> Image.Image:
        """The RGB image of latents (C, h, w)."""
        vae, values = self._parts.vae, latents.float()
        if vae is not None:
            shift, factor = _shift_and_factor(vae.config)
            with failing_by_name("The pipeline's VAE cannot make images"):
                values = vae.decode(values[None].to(self._parts.device) / factor + shift).sample[0]
        whole = ((values.clamp(-1, 1) + 1.0) * _HALF_RANGE).round().byte().permute(1, 2, 0).cpu().numpy()
        return Image.fromarray(whole)


def _shift_and_factor(config: Mapping[str, Any]) -> tuple[float, float]:
    shift = config.get("shift_factor")
    return (0.0 if shift is None else float(shift)), float(config["scaling_factor"])
