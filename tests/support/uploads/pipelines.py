"""Tiny diffusion pipelines: random weights from a seed, in latents or in pixels, and LoRA on their UNets."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, PreTrainedTokenizerFast

from support.tiny import WORDS

#: Tokens that every caption is padded to.
TOKENS = 8
#: Pixels a side.
SIDE = 16
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
#: Six sizes of four numbers each beside a pooled vector of twelve.
_XL_UNET: dict[str, Any] = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 12 + 6 * 4,
}
CONVOLUTIONS = ("conv1", "conv2", "proj_in", "proj_out", "time_emb_proj", "ff.net.2")


def make_pipeline(
    folder: Path, *, pixels: bool = False, prediction: str = "epsilon", seed: int = 0, xl: bool = False
) -> Path:
    """A Stable Diffusion pipeline of a few ten kB; with `pixels` without a VAE, with `xl` as SDXL has it."""
    torch.manual_seed(seed)
    channels, places = (3, SIDE) if pixels else (4, SIDE // 2)
    unet = UNet2DConditionModel(
        sample_size=places,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=40 if xl else 16,
        attention_head_dim=4,
        **(_XL_UNET if xl else {}),
    )
    text_encoder = CLIPTextModel(_text_config(layers=2 if xl else 1))
    parts: dict[str, Any] = {"unet": unet, "text_encoder": text_encoder, "tokenizer": _tokenizer()}
    if xl:
        parts["text_encoder_2"] = CLIPTextModelWithProjection(_text_config(layers=3, width=24))
        parts["tokenizer_2"] = _tokenizer(pad="[MASK]")
    parts["scheduler"] = DDPMScheduler(prediction_type=prediction, beta_schedule="scaled_linear", clip_sample=False)
    if not pixels:
        parts["vae"] = AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            latent_channels=4,
            sample_size=SIDE,
        )
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    write_index(folder, parts, kind="StableDiffusionXLPipeline" if xl else "StableDiffusionPipeline")
    return folder


def _text_config(*, layers: int, width: int = 16) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(WORDS) + 5,
        hidden_size=width,
        intermediate_size=24,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        projection_dim=12,
        eos_token_id=2,
        bos_token_id=1,
        pad_token_id=0,
    )


def write_index(folder: Path, parts: dict[str, Any], *, kind: str = "StableDiffusionPipeline", **more: Any) -> None:
    """model_index.json, as save_pretrained writes it."""
    import json

    named = {name: [type(part).__module__.split(".")[0], type(part).__name__] for name, part in parts.items()}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": kind, **named, **more}))


def adapt_unet(pipeline: Path, *, targets: tuple[str, ...] = ATTENTION, seed: int = 1, **settings: Any) -> Any:
    """The pipeline's UNet under a fresh LoRA whose factors are all shaken, as after training."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_pretrained(pipeline / "unet")
    config = LoraConfig(**{"r": 2, "lora_alpha": 3, "target_modules": list(targets), **settings})
    model = get_peft_model(unet, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


def _tokenizer(*, pad: str = "[PAD]") -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=TOKENS,
    )
