"""A small image model from nothing, and a LoRA of it, as a user would train them before ever hearing of the service."""

import json
import os
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from demo.images.glyphs import SIDE, Glyph, words

_TOKENS, _WIDTH = 8, 48
_BATCH = 32
#: Captions left out of training, so that generation can be guided away from none.
_DROPPED = 0.1
LORA = LoraConfig(r=4, lora_alpha=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
#: Hears of steps done, of all steps and of the recent loss.
Report = Callable[[int, int, float], None]


class Model:
    """The parts of a pipeline that works on pixels: it has no VAE."""

    def __init__(self, unet: Any, text_encoder: Any, tokenizer: Any, scheduler: Any) -> None:
        self.unet = unet
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.scheduler = scheduler

    def loss(self, pixels: Tensor, captions: Sequence[str]) -> Tensor:
        """The mean squared error of the noise found in a batch (B, 3, s, s), as everybody trains it."""
        ids = self.tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt").input_ids
        states = self.text_encoder(ids)[0]
        noise, times = torch.randn_like(pixels), torch.randint(0, 1000, (len(pixels),))
        found = self.unet(self.scheduler.add_noise(pixels, noise, times), times, encoder_hidden_states=states).sample
        error: Tensor = found - noise
        return error.square().mean()

    def save(self, folder: Path) -> None:
        """As diffusers saves a pipeline; model_index.json names no VAE."""
        parts = {"unet": self.unet, "text_encoder": self.text_encoder, "tokenizer": self.tokenizer}
        parts["scheduler"] = self.scheduler
        for name, part in parts.items():
            part.save_pretrained(folder / name)
        named = {name: [type(part).__module__.split(".")[0], type(part).__name__] for name, part in parts.items()}
        (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline", **named}))


def make_model(seed: int) -> Model:
    """A UNet of about a million parameters and a text encoder of one layer, random."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=SIDE,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(16, 32, 64),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=_WIDTH,
        attention_head_dim=4,
    )
    tokenizer = _make_tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=_WIDTH,
        intermediate_size=2 * _WIDTH,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=_TOKENS,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return Model(unet, CLIPTextModel(text), tokenizer, DDPMScheduler(clip_sample=False))


def train_base(model: Model, glyphs: Sequence[Glyph], *, steps: int, seed: int, report: Report) -> None:
    """Train everything."""
    weights = [*model.unet.parameters(), *model.text_encoder.parameters()]
    _train(model, weights, glyphs, steps=steps, rate=2e-3, seed=seed, report=report)


def train_lora(model: Model, glyphs: Sequence[Glyph], folder: Path, *, steps: int, seed: int, report: Report) -> None:
    """Train a LoRA of the UNet's attention and save it as PEFT does. The model is not the base any more afterwards."""
    model.text_encoder.requires_grad_(False)
    adapted: Any = get_peft_model(model.unet, LORA)
    model.unet = adapted
    weights = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    _train(model, weights, glyphs, steps=steps, rate=3e-3, seed=seed, report=report)
    adapted.save_pretrained(folder)


def _train(
    model: Model, weights: Iterable[Any], glyphs: Sequence[Glyph], *, steps: int, rate: float, seed: int, report: Report
) -> None:
    torch.manual_seed(seed)
    rng = random.Random(seed)
    kept = list(weights)
    optimiser = torch.optim.AdamW(kept, lr=rate, weight_decay=1e-4)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=steps, pct_start=0.1)
    recent = 1.0
    for step in range(1, steps + 1):
        batch = rng.choices(glyphs, k=_BATCH)
        pixels = torch.stack([_pixels(glyph) for glyph in batch])
        captions = ["" if rng.random() < _DROPPED else glyph.caption for glyph in batch]
        loss = model.loss(pixels, captions)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(kept, 1.0)
        optimiser.step()
        decay.step()
        recent = 0.98 * recent + 0.02 * float(loss.detach())
        report(step, steps, recent)


def _pixels(glyph: Glyph) -> Tensor:
    return torch.from_numpy(np.asarray(glyph.image, dtype=np.float32) / 127.5 - 1.0).permute(2, 0, 1)


def _make_tokenizer() -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    vocabulary = {word: number for number, word in enumerate([*special, *words()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=_TOKENS,
    )
