"""A checkpoint, ready to score: base model, adapter or trained weights of its own, tokenizer and task."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from influence.checkpoint_files.config import AdapterConfig
from influence.checkpoint_files.tokenizers.record import load_settings
from influence.contracts.checkpoint import BaseModelRef, Checkpoint, PipelineRecord
from influence.contracts.index import GradientSettings
from influence.contracts.tasks import TASKS
from influence.errors import BaseModelNotFound
from workers.batching.padding import configured_padding
from workers.loading.adapter import Attached, adapted_modules, attach_adapter, wrap_base
from workers.loading.alone import made_alone
from workers.loading.base_model import BaseModel, load_base_model, refuse_incomplete
from workers.loading.hub import fetch_base_model
from workers.loading.options import LoadOptions
from workers.loading.pipeline import load_parts, load_unet
from workers.loading.pixels import load_pixel_reader
from workers.loading.placement import is_placed
from workers.loading.plain import open_base, open_plain
from workers.loading.tokenizer import load_own_tokenizer, load_template, load_tokenizer, pad_id_of, token_limit
from workers.loading.unet_adapter import attach_lora
from workers.loading.vocabulary import resize_vocabulary
from workers.tasks.base import Materials, Task
from workers.tasks.chat.trained_template import follow_training
from workers.tasks.encoding import TextEncoder
from workers.tasks.foreign.templates import TemplateProcess
from workers.tasks.registry import MAKERS

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class LoadedCheckpoint:
    """`model` is in evaluation mode on its device, and only what was trained requires a gradient.

    `keeps_base`: an adapter can be switched off, and what is left is its base model.
    """

    model: torch.nn.Module
    tokenizer: Any
    task: Task
    keeps_base: bool = False


def load_checkpoint(
    checkpoint: Checkpoint,
    adapter_folder: Path | None,
    settings: GradientSettings,
    options: LoadOptions,
) -> LoadedCheckpoint:
    """Load from local files, or a pinned revision of the hub. Raises CheckpointRefused and UnreadableFile.

    `adapter_folder` is None for a plain model, which has no adapter and is never quantised: it was trained as it is.
    """

    def prepare(base: BaseModel) -> Attached:
        if adapter_folder is None:
            return Attached(open_plain(base, checkpoint.trainable or ()), keeps_base=False)
        return attach_adapter(base, AdapterConfig.model_validate(checkpoint.adapter), adapter_folder, checkpoint.task)

    def adapt(unet: BaseModel) -> Attached:
        assert adapter_folder is not None
        return attach_lora(unet, AdapterConfig.model_validate(checkpoint.adapter), adapter_folder, checkpoint.task)

    with made_alone():
        if checkpoint.pipeline is not None:
            return _assemble_pipeline(checkpoint, checkpoint.pipeline, adapt, settings, options.unquantised())
        options = options.unquantised() if adapter_folder is None else options
        return _assemble(checkpoint, prepare, adapter_folder, settings, options)


def make_untrained(
    checkpoint: Checkpoint,
    adapter_folder: Path | None,
    settings: GradientSettings,
    options: LoadOptions,
    *,
    seed: int,
    dropout: float,
) -> LoadedCheckpoint:
    """The checkpoint as before its training: a fresh adapter, and a fresh head where the base model has none; without
    an adapter the base model itself, of which what the checkpoint names requires a gradient.

    `adapter_folder` is where its tokenizer lies, if it has one of its own.

    The weights depend on the seed alone. Raises CheckpointRefused and NothingTrainable.
    """

    def prepare(base: BaseModel) -> Attached:
        refuse_incomplete(base)
        if checkpoint.adapter is None:
            return Attached(open_base(base, checkpoint.trainable or ()), keeps_base=False)
        config = AdapterConfig.model_validate(checkpoint.adapter)
        return Attached(wrap_base(base, config, checkpoint.task, dropout=dropout), keeps_base=False)

    with made_alone(seed):
        if checkpoint.pipeline is not None:
            return _assemble_pipeline(checkpoint, checkpoint.pipeline, prepare, settings, options.unquantised())
        return _assemble(checkpoint, prepare, adapter_folder, settings, options.unquantised())


def _assemble(
    checkpoint: Checkpoint,
    prepare: Callable[[BaseModel], Attached],
    adapter_folder: Path | None,
    settings: GradientSettings,
    options: LoadOptions,
) -> LoadedCheckpoint:
    folder = locate_base_model(checkpoint.base_model, options)
    modules = [] if adapter_folder is None else adapted_modules(adapter_folder)
    base = load_base_model(checkpoint, folder, _DTYPES[settings.precision], options, modules)
    if TASKS[checkpoint.task].reads == "image":
        return _assemble_of_images(checkpoint, base, prepare, settings, options, (folder, adapter_folder))
    base = resize_vocabulary(base, checkpoint.vocabulary)
    tokenizer, is_template_own = _choose_tokenizer(folder, adapter_folder, base.model.config)
    follow_training(tokenizer, checkpoint.training)
    own_padding = None if checkpoint.tokenizer is None else checkpoint.tokenizer.pad_token_id
    if own_padding is not None:
        base.model.config.get_text_config().pad_token_id = own_padding
    entries = len(base.model.get_input_embeddings().weight)
    attached = prepare(base)
    encoder = TextEncoder(
        tokenizer,
        limit=token_limit(tokenizer, base.model.config, settings.max_length),
        on_too_long=settings.on_too_long,
        templates=TemplateProcess() if is_template_own else None,
    )
    materials = Materials(
        checkpoint,
        base.model,
        encoder,
        settings,
        pad_id=pad_id_of(tokenizer, entries),
        head_pad_id=configured_padding(base.model.config, entries),
        images=options.images,
    )
    task = MAKERS[checkpoint.task](materials)
    return LoadedCheckpoint(_place(base, attached, options), tokenizer, task, attached.keeps_base)


def _assemble_of_images(
    checkpoint: Checkpoint,
    base: BaseModel,
    prepare: Callable[[BaseModel], Attached],
    settings: GradientSettings,
    options: LoadOptions,
    folders: tuple[Path, Path | None],
) -> LoadedCheckpoint:
    """As `_assemble`, for a task that reads images: with an image processor in the tokenizer's place."""
    reader = load_pixel_reader(*folders, base.model.config, options.images)
    attached = prepare(base)
    task = MAKERS[checkpoint.task](Materials(checkpoint, base.model, reader, settings))
    return LoadedCheckpoint(_place(base, attached, options), None, task, attached.keeps_base)


def _place(base: BaseModel, attached: Attached, options: LoadOptions) -> torch.nn.Module:
    model: torch.nn.Module = attached.model if is_placed(base.model) else attached.model.to(options.device)
    return model


def _assemble_pipeline(
    checkpoint: Checkpoint,
    pipeline: PipelineRecord,
    prepare: Callable[[BaseModel], Attached],
    settings: GradientSettings,
    options: LoadOptions,
) -> LoadedCheckpoint:
    """A UNet under its adapter, with the frozen parts around it in the task."""
    folder = locate_base_model(checkpoint.base_model, options)
    unet = load_unet(folder, _DTYPES[settings.precision])
    attached = prepare(BaseModel(unet, frozenset()))
    tokenizer, parts = load_parts(folder, options, pipeline)
    encoder = TextEncoder(
        tokenizer, limit=min(parts.tokens, settings.max_length), on_too_long=settings.on_too_long, templates=None
    )
    materials = Materials(checkpoint, unet, encoder, settings, pad_id=parts.pad_id, images=options.images, parts=parts)
    task = MAKERS[checkpoint.task](materials)
    return LoadedCheckpoint(attached.model.to(options.device), tokenizer, task, attached.keeps_base)


def _choose_tokenizer(base: Path, adapter: Path | None, config: Any) -> tuple[Any, bool]:
    """The tokenizer that training read with, and whether its chat template came with the adapter."""
    settings = None if adapter is None else load_settings(adapter)
    if adapter is None or settings is None:
        return load_tokenizer(base), False
    is_own = settings.chat_template is not None
    if settings.has_pipeline:
        tokenizer = load_own_tokenizer(adapter, settings, config)
        tokenizer.chat_template = settings.chat_template if is_own else load_template(base)
    else:
        tokenizer = load_tokenizer(base)
        tokenizer.chat_template = settings.chat_template if is_own else tokenizer.chat_template
    return tokenizer, is_own


def locate_base_model(base: BaseModelRef, options: LoadOptions) -> Path:
    """Folder of a base model's files. Raises BaseModelNotFound."""
    if base.kind == "hub":
        return fetch_base_model(base, cache_dir=options.cache_dir, offline=options.offline)
    folder = Path(base.location)
    if not folder.is_dir():
        raise BaseModelNotFound(f"The folder of base model {base.name!r} is gone.")
    return folder
