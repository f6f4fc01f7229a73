"""How large an image may be, known from its header before anything is decoded."""

from dataclasses import dataclass

#: Bytes that a pixel takes while an image is decoded and made RGB. Pillow spends four on a pixel of several channels,
#: and what is converted or turned is there twice. A progressive JPEG holds all its coefficients, and the decoder of
#: WebP several canvases.
RGB_BYTES, ONE_CHANNEL_BYTES, CONVERTED_BYTES, PROGRESSIVE_BYTES, WEBP_BYTES = 4, 5, 8, 12, 16
_BUDGET_BYTES = 7


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits of one image: pixels a side and in all, and bytes of its file."""

    max_side: int = 8192
    max_pixels: int = 24_000_000
    max_bytes: int = 32 << 20

    @property
    def memory_bytes(self) -> int:
        """What decoding may take, of all images at once."""
        return self.max_pixels * _BUDGET_BYTES
