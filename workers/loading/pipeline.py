"""A diffusion pipeline from local files: its UNet, and the frozen parts around it."""

from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from influence.contracts.checkpoint import PipelineRecord
from influence.errors import BaseModelNotFound, UnsupportedModule
from workers.loading.options import LoadOptions
from workers.loading.tokenizer import load_tokenizer
from workers.tasks.diffusion.parts import PipelineParts, SecondText
from workers.tasks.encoding import TextEncoder


def load_unet(folder: Path, dtype: torch.dtype) -> Any:
    """The UNet, in evaluation mode, nothing of it requiring a gradient. Raises BaseModelNotFound, UnsupportedModule."""
    diffusers = _import_diffusers()
    return _load(diffusers.UNet2DConditionModel, folder / "unet", dtype)


def load_parts(folder: Path, options: LoadOptions, pipeline: PipelineRecord) -> tuple[Any, PipelineParts]:
    """The tokenizer; text encoder, VAE and scheduler, in float32 on the device.

    Raises BaseModelNotFound, UnsupportedModule.
    """
    diffusers = _import_diffusers()
    tokenizer = load_tokenizer(folder / "tokenizer")
    text_encoder = _load(CLIPTextModel, folder / "text_encoder", torch.float32).to(options.device)
    vae = (
        _load(diffusers.AutoencoderKL, folder / "vae", torch.float32).to(options.device)
        if pipeline.works_on == "latents"
        else None
    )
    configured = diffusers.DDPMScheduler.load_config(str(folder / "scheduler"), local_files_only=True)
    second = _load_second(folder, options) if pipeline.text_encoders > 1 else None
    positions = int(text_encoder.config.max_position_embeddings)
    # Tokenizers without a limit of their own state an absurd one: then the text encoder's positions are the limit.
    return tokenizer, PipelineParts(
        text_encoder=text_encoder,
        vae=vae,
        scheduler=diffusers.DDPMScheduler.from_config(configured),
        tokens=min(int(tokenizer.model_max_length or positions), positions),
        pad_id=_pad_id(tokenizer),
        channels=3 if vae is None else int(vae.config.latent_channels),
        device=options.device,
        second=second,
        zeros_for_empty=pipeline.zeros_for_empty,
    )


def _load_second(folder: Path, options: LoadOptions) -> SecondText:
    tokenizer = load_tokenizer(folder / "tokenizer_2")
    model = _load(CLIPTextModelWithProjection, folder / "text_encoder_2", torch.float32).to(options.device)
    limit = min(int(tokenizer.model_max_length), int(model.config.max_position_embeddings))
    reader = TextEncoder(tokenizer, limit=limit, on_too_long="truncate", templates=None)
    return SecondText(model, reader, _pad_id(tokenizer))


def _pad_id(tokenizer: Any) -> int:
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return int(pad_id or 0)


def _import_diffusers() -> Any:
    try:
        import diffusers
    except ImportError as error:
        raise UnsupportedModule(
            "This worker cannot load diffusion pipelines: diffusers is not installed.",
            hint="Install the extra on the workers: pip install 'datainf-service[diffusion]'.",
        ) from error
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    return diffusers


def _load(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """Weights as safetensors, every one of them from the files: a missing one would be random."""
    try:
        model, report = kind.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True, **_typed(kind, dtype)
        )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise BaseModelNotFound(f"The pipeline's {folder.name} cannot be loaded: {line}") from error
    missing = sorted(report["missing_keys"])
    if missing or report["mismatched_keys"]:
        raise BaseModelNotFound(
            f"The files of the pipeline's {folder.name} lack {', '.join(missing[:5]) or 'tensors of the right shape'}.",
            hint="Save the pipeline again with diffusers: pipeline.save_pretrained(folder).",
        )
    return model.eval().requires_grad_(False)


def _typed(kind: Any, dtype: torch.dtype) -> dict[str, Any]:
    return {"dtype": dtype} if kind in (CLIPTextModel, CLIPTextModelWithProjection) else {"torch_dtype": dtype}
