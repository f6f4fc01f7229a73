"""Small pictures and the files that they come in."""

import base64
import io
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 210)}


def draw_image(seed: int, size: tuple[int, int] = (16, 16), colour: str = "red") -> Image.Image:
    """A filled shape of a colour on a grey ground; another one for each seed."""
    rng = random.Random(seed)
    image = Image.new("RGB", size, (rng.randint(90, 160),) * 3)
    left, top = rng.randint(0, size[0] // 3), rng.randint(0, size[1] // 3)
    box = (left, top, left + size[0] // 2, top + size[1] // 2)
    ImageDraw.Draw(image).rectangle(box, fill=COLOURS[colour])
    return image


def file_bytes(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """An image as a file."""
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def png_bytes(image: Image.Image) -> bytes:
    """An image as a PNG file."""
    return file_bytes(image)


def as_base64(image: Image.Image) -> str:
    """An image as rows of JSON hold it."""
    return base64.b64encode(png_bytes(image)).decode()


def make_image_rows(count: int, *, seed: int = 0, size: tuple[int, int] = (16, 16)) -> list[dict[str, Any]]:
    """Rows of JSON: an image and the name of its colour."""
    rng = random.Random(seed)
    labels = [rng.choice(list(COLOURS)) for _ in range(count)]
    return [
        {"id": f"i{number}", "image": as_base64(draw_image(seed * 1000 + number, size, label)), "label": label}
        for number, label in enumerate(labels)
    ]


def make_image_zip(path: Path, members: Mapping[str, bytes]) -> Path:
    """A zip of files by their names."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path
