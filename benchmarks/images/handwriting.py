"""Omniglot's small background set: a convolutional base that knows characters, and rows of their alphabets.

The base is trained on the drawings of twelve people, to tell 136 characters apart; rows to train and to ask about are
those of the other eight, labelled by the alphabet that a character is of.
"""

import base64
import io
import random
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers as hf
from PIL import Image
from torch import Tensor

_SIDE, _DRAWERS_OF_BASE, _DRAWERS_OF_ROWS = 28, 12, 16
_ROWS, _TESTS = 600, 200
_EPOCHS, _BATCH, _RATE = 18, 32, 3e-3
_NAME = re.compile(r"[^/]+/(?P<alphabet>[^/]+)/(?P<character>[^/]+)/\d+_(?P<drawer>\d+)\.png")


@dataclass(frozen=True)
class Drawing:
    """One character as one of twenty people drew it."""

    name: str
    alphabet: str
    character: str
    drawer: int
    content: bytes

    def to_row(self) -> dict[str, str]:
        """As a data set takes it."""
        return {"id": self.name, "image": base64.b64encode(self.content).decode(), "label": self.alphabet}


def read_drawings(path: Path) -> list[Drawing]:
    """All drawings of the archive, by name."""
    with zipfile.ZipFile(path) as archive:
        found = ((_NAME.fullmatch(name), name) for name in sorted(archive.namelist()))
        return [
            Drawing(name, one["alphabet"], one["character"], int(one["drawer"]), archive.read(name))
            for one, name in found
            if one is not None
        ]


def draw_rows(drawings: list[Drawing], seed: int) -> tuple[Iterator[Mapping[str, str]], Iterator[Mapping[str, str]]]:
    """Rows to train on and rows to ask about, of people whom the base has not seen."""
    rng = random.Random(f"handwriting {seed}")
    train = [one for one in drawings if _DRAWERS_OF_BASE < one.drawer <= _DRAWERS_OF_ROWS]
    test = [one for one in drawings if one.drawer > _DRAWERS_OF_ROWS]
    chosen, asked = rng.sample(train, min(_ROWS, len(train))), rng.sample(test, min(_TESTS, len(test)))
    return (one.to_row() for one in chosen), (one.to_row() for one in asked)


def train_base(folder: Path, drawings: list[Drawing], seed: int) -> None:
    """A ConvNeXt of 136 thousand parameters that knows characters, saved without its head, and its processor."""
    torch.manual_seed(seed)
    seen = [one for one in drawings if one.drawer <= _DRAWERS_OF_BASE]
    names = sorted({(one.alphabet, one.character) for one in seen})
    labels = torch.tensor([names.index((one.alphabet, one.character)) for one in seen])
    shape = {"num_stages": 3, "hidden_sizes": [24, 48, 96], "depths": [1, 1, 1], "layer_scale_init_value": 1.0}
    config = hf.ConvNextConfig(image_size=_SIDE, patch_size=2, num_labels=len(names), **shape)
    model, processor = hf.ConvNextForImageClassification(config), make_processor()
    pixels = pixels_of(seen, processor)
    optimizer = torch.optim.AdamW(model.parameters(), _RATE)
    steps = _EPOCHS * -(-len(seen) // _BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(_EPOCHS):
        for batch in torch.split(torch.randperm(len(seen)), _BATCH):
            loss = model(pixel_values=pixels[batch], labels=labels[batch]).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.convnext.save_pretrained(folder)
    processor.save_pretrained(folder)


def make_processor() -> hf.ViTImageProcessorPil:
    """28 pixels a side, from -1 to 1."""
    return hf.ViTImageProcessorPil(size={"height": _SIDE, "width": _SIDE})


def pixels_of(drawings: list[Drawing], processor: hf.ViTImageProcessorPil) -> Tensor:
    """What the model sees, (N, 3, 28, 28) in float32."""
    pictures = [Image.open(io.BytesIO(one.content)).convert("RGB") for one in drawings]
    found: Tensor = processor(pictures, return_tensors="pt")["pixel_values"]
    return found
