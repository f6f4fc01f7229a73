"""How large an image may be, known from its header before anything is decoded."""

from dataclasses import dataclass

#: Bytes that a pixel takes while an image is decoded and made RGB, by how the file is compressed. A progressive JPEG
#: holds all its coefficients, and the decoder of WebP several canvases.
PLAIN_PIXEL_BYTES, PROGRESSIVE_PIXEL_BYTES, WEBP_PIXEL_BYTES = 7, 13, 16


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits of one image: pixels a side and in all, and bytes of its file."""

    max_side: int = 8192
    max_pixels: int = 24_000_000
    max_bytes: int = 32 << 20

    @property
    def memory_bytes(self) -> int:
        """What decoding may take at once: that of the largest plain image."""
        return self.max_pixels * PLAIN_PIXEL_BYTES
