"""Tiny image classifiers with a LoRA adapter, and the processor that makes their pixels."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from support.tiny import TinyCheckpoint
from support.uploads.image_kinds import MORE_ARCHITECTURES, OTHER_HEADS, SIDES
from support.uploads.images import COLOURS

LABELS = tuple(COLOURS)
SIDE = 16
_VIT: dict[str, Any] = {
    "image_size": SIDE,
    "patch_size": 4,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
_DINOV2 = {name: value for name, value in _VIT.items() if name != "intermediate_size"} | {"mlp_ratio": 2}
_SEGFORMER: dict[str, Any] = {
    "num_encoder_blocks": 2,
    "depths": [1, 2],
    "sr_ratios": [2, 1],
    "hidden_sizes": [8, 16],
    "patch_sizes": [7, 3],
    "strides": [4, 2],
    "num_attention_heads": [1, 2],
    "mlp_ratios": [2, 2],
}
#: Configuration, model, processor, what it is set to beside the size, and layers that take LoRA.
ARCHITECTURES: dict[str, tuple[Any, ...]] = {
    **MORE_ARCHITECTURES,
    "vit": (hf.ViTConfig, hf.ViTForImageClassification, hf.ViTImageProcessorPil, _VIT, ["q_proj", "v_proj"]),
    "deit": (hf.DeiTConfig, hf.DeiTForImageClassification, hf.DeiTImageProcessorPil, _VIT, ["q_proj", "fc1"]),
    "beit": (
        hf.BeitConfig,
        hf.BeitForImageClassification,
        hf.BeitImageProcessorPil,
        {**_VIT, "use_relative_position_bias": True, "use_mean_pooling": True},
        ["q_proj", "v_proj", "o_proj"],
    ),
    "dinov2": (
        hf.Dinov2Config,
        hf.Dinov2ForImageClassification,
        hf.BitImageProcessorPil,
        _DINOV2,
        ["q_proj", "v_proj", "fc2"],
    ),
    "dinov2_with_registers": (
        hf.Dinov2WithRegistersConfig,
        hf.Dinov2WithRegistersForImageClassification,
        hf.BitImageProcessorPil,
        {**_DINOV2, "num_register_tokens": 2},
        ["q_proj", "v_proj", "fc2"],
    ),
    "ijepa": (hf.IJepaConfig, hf.IJepaForImageClassification, hf.ViTImageProcessorPil, _VIT, ["q_proj", "fc1"]),
    "segformer": (
        hf.SegformerConfig,
        hf.SegformerForImageClassification,
        hf.ViTImageProcessorPil,
        _SEGFORMER,
        ["q_proj", "v_proj", "fc1"],
    ),
    "resnet": (
        hf.ResNetConfig,
        hf.ResNetForImageClassification,
        hf.ViTImageProcessorPil,
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
        ["convolution"],
    ),
    "regnet": (
        hf.RegNetConfig,
        hf.RegNetForImageClassification,
        hf.ViTImageProcessorPil,
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "groups_width": 8},
        ["convolution"],
    ),
    "siglip": (
        hf.SiglipConfig,
        hf.SiglipForImageClassification,
        hf.SiglipImageProcessorPil,
        {"vision_config": _VIT},
        ["q_proj", "v_proj"],
    ),
    "clip": (
        hf.CLIPConfig,
        hf.CLIPForImageClassification,
        hf.ViTImageProcessorPil,
        {"vision_config": _VIT},
        ["q_proj", "v_proj"],
    ),
    "swin": (
        hf.SwinConfig,
        hf.SwinForImageClassification,
        hf.ViTImageProcessorPil,
        {"image_size": SIDE, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4},
        ["q_proj", "v_proj", "reduction"],
    ),
    "convnext": (
        hf.ConvNextConfig,
        hf.ConvNextForImageClassification,
        hf.ConvNextImageProcessorPil,
        {"image_size": SIDE, "patch_size": 2, "num_stages": 2, "hidden_sizes": [8, 16], "depths": [1, 1]},
        ["pwconv1", "pwconv2"],
    ),
}


def build_model(kind: str, seed: int = 0) -> Any:
    """A random classifier of the colours, in evaluation mode."""
    torch.manual_seed(seed)
    config, model, _, settings, _ = ARCHITECTURES[kind]
    names = dict(enumerate(LABELS))
    made = model(config(**settings, id2label=names, label2id={name: place for place, name in names.items()}))
    _settle(made, SIDES.get(kind, SIDE))
    return made.eval()


@torch.no_grad()
def _settle(model: Any, side: int) -> None:
    """Let normalisations by batches have the statistics of noise, as after training: without them signals die away."""
    normalising = [one for one in model.modules() if isinstance(one, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d)]
    if not normalising:
        return
    for module in normalising:
        module.momentum = None
    model.train()(pixel_values=torch.randn(4, 3, side, side))


def make_image_classifier(folder: Path, kind: str = "vit", *, processor: bool = True) -> TinyCheckpoint:
    """A base without its own head to speak of, and an adapter that holds factors and a head."""
    model = build_model(kind)
    heads = OTHER_HEADS.get(kind, ["classifier"])
    adapted = get_peft_model(
        model, LoraConfig(r=2, lora_alpha=4, target_modules=ARCHITECTURES[kind][4], modules_to_save=heads)
    )
    shake(adapted)
    adapted.save_pretrained(folder / "adapter")
    model.config.save_pretrained(folder / "adapter")
    adapted.unload().save_pretrained(folder / "base")
    if processor:
        make_processor(kind).save_pretrained(folder / "base")
    return TinyCheckpoint(folder / "base", folder / "adapter")


def make_processor(kind: str) -> Any:
    """What makes pixels of 16 x 16 of an image."""
    made = ARCHITECTURES[kind][2]
    side = SIDES.get(kind, SIDE)
    square = {"height": side, "width": side}
    if kind == "convnext":
        return made(size={"shortest_edge": SIDE}, crop_pct=0.875)
    if kind.startswith("dinov2"):
        return made(size={"shortest_edge": 20}, crop_size=square)
    return made(size=square, **({} if kind == "siglip" else {"crop_size": square}))


def shake(model: torch.nn.Module) -> None:
    """Let the adapter say something: an untrained one has B = 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * (0.3 if "lora" in name else 0.5))


def write_former(folder: Path, names: Any, config: dict[str, Any]) -> None:
    """Rewrite an adapter folder as transformers 4 wrote it: former names of tensors, fields of its configuration."""
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({names.former(name): tensor for name, tensor in weights.items()}, folder / "adapter_model.safetensors")
    written = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**written, **config}))
