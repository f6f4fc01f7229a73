"""Letters and digits drawn in styles, with captions: subjects and styles that everybody can tell apart.

Colours, places and sizes are drawn anew for each picture and say nothing of its style.
"""

import base64
import io
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

#: Pixels a side, and of the canvas that is scaled down to it.
SIDE = 16
_CANVAS = 64
SUBJECTS = tuple("ABCDEFGHKLMNPRSTUVWXYZ24567893")
#: Style -> font. The base model sees `plain` alone, the others are what the LoRA is trained on.
_FONTS = {
    "plain": "DejaVuSans.ttf",
    "bold": "DejaVuSans-Bold.ttf",
    "outline": "DejaVuSans-Bold.ttf",
    "blocks": "DejaVuSerif.ttf",
}
PLAIN = "plain"
STYLES = ("bold", "outline", "blocks")
_BLOCKS = 8
_GROUNDS = ((235, 235, 235), (245, 225, 190), (205, 230, 245), (215, 240, 205))
_INKS = ((20, 20, 20), (150, 30, 40), (25, 60, 150), (20, 100, 60))


@dataclass(frozen=True, slots=True)
class Glyph:
    """A picture of a subject in a style."""

    id: str
    subject: str
    style: str
    image: Image.Image

    @property
    def caption(self) -> str:
        return caption_of(self.subject, self.style)

    def to_row(self) -> dict[str, str]:
        """As a data set takes it; subject and style stay beside the row as metadata."""
        content = io.BytesIO()
        self.image.save(content, "PNG")
        picture = base64.b64encode(content.getvalue()).decode()
        return {
            "id": self.id,
            "image": picture,
            "text": self.caption,
            "subject": self.subject,
            "style": self.style,
        }


def caption_of(subject: str, style: str) -> str:
    """What the model reads."""
    return f"{subject} in {style}"


def words() -> list[str]:
    """All words of captions."""
    return [*SUBJECTS, "in", PLAIN, *STYLES]


def draw_all(styles: tuple[str, ...], *, each: int, seed: int, name: str) -> list[Glyph]:
    """So many pictures of every subject in every style, another drawing each."""
    rng = random.Random(f"{name} {seed}")
    return [
        Glyph(f"{name}-{style}-{subject}-{number}", subject, style, draw(subject, style, rng))
        for style in styles
        for subject in SUBJECTS
        for number in range(each)
    ]


def draw(subject: str, style: str, rng: random.Random) -> Image.Image:
    """One picture."""
    ground, ink = rng.choice(_GROUNDS), rng.choice(_INKS)
    canvas = Image.new("RGB", (_CANVAS, _CANVAS), ground)
    middle = (_CANVAS / 2 + rng.uniform(-4, 4), _CANVAS / 2 + rng.uniform(-4, 4))
    font = _font(_FONTS[style], rng.randint(46, 56))
    pen = ImageDraw.Draw(canvas)
    if style == "outline":
        pen.text(middle, subject, fill=ground, font=font, anchor="mm", stroke_width=4, stroke_fill=ink)
    else:
        pen.text(middle, subject, fill=ink, font=font, anchor="mm")
    if style == "blocks":
        canvas = canvas.resize((_BLOCKS, _BLOCKS), Image.Resampling.BOX)
        return canvas.resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return canvas.resize((SIDE, SIDE), Image.Resampling.BOX)


@cache
def _font(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf" / file), size)
