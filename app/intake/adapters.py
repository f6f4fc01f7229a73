"""An adapter folder of a stranger -> an accepted checkpoint. Nothing is loaded; bytes are looked at."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from influence.checkpoint_files.adapters.experts import refuse_single_experts
from influence.checkpoint_files.adapters.folders import CONFIG_FILE, MODEL_CONFIG_FILE, WEIGHTS_FILE
from influence.checkpoint_files.adapters.former_names import FORMER, LayerNames
from influence.checkpoint_files.adapters.names import name_tensors
from influence.checkpoint_files.adapters.trained_on import find_doubts, refuse_other_model
from influence.checkpoint_files.base_files import BaseFiles
from influence.checkpoint_files.base_fit import check_base_fit
from influence.checkpoint_files.config import MAX_CONFIG_BYTES, AdapterConfig, canonical_fields, parse_adapter_config
from influence.checkpoint_files.finiteness import check_finite, find_idle, refuse_empty
from influence.checkpoint_files.multimodal import refuse_inexact_text
from influence.checkpoint_files.safetensors_header import TensorInfo, read_header
from influence.checkpoint_files.task.find import HeadFacts, find_problem_type, find_task
from influence.checkpoint_files.task.head import choose_label_names, count_labels, find_outputs
from influence.checkpoint_files.task.processor import check_processor
from influence.checkpoint_files.task.trained_as import read_recipe
from influence.checkpoint_files.tensors import AdapterTensors, check_structure
from influence.checkpoint_files.tokenizers.record import date_doubts, describe_tokenizer, keep_files
from influence.checkpoint_files.tokenizers.settings import PIPELINE, TokenizerSettings, read_settings
from influence.checkpoint_files.vocabulary import base_entries, find_vocabulary, refuse_unknown_tokens
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import now
from influence.contracts.tasks import TASKS, TaskName
from influence.digests import digest_file, digest_json
from influence.errors import (
    AdapterConfigRefused,
    AdapterMismatch,
)

#: Modules that a sentence names.
_SHOWN = 3


def accept_adapter(
    folder: Path, base: BaseModelRef, *, task: TaskName | None = None, label_names: Sequence[str] | None = None
) -> Checkpoint:
    """Check the adapter in `folder` from end to end and say what it is; its id follows from contents alone.

    Raises AdapterConfigRefused, AdapterMismatch, AdapterNotFinite, TaskMismatch, UnreadableFile.
    """
    config = parse_adapter_config(_read_config(folder))
    tensors = _read_weights(folder / WEIGHTS_FILE, config)
    base_files = BaseFiles(Path(base.location)) if base.kind == "path" else None
    settings = read_settings(folder)
    base_tensors = base_files.tensors() if base_files else {}
    base_shapes = {name: info.shape for name, info in base_tensors.items()}
    model_config, base_config = _read_model_config(folder / MODEL_CONFIG_FILE), base_files.config if base_files else {}
    head = HeadFacts(find_outputs(tensors, base_shapes), find_problem_type(model_config, base_config))
    recipe = read_recipe(folder)
    found_task = find_task(config, recipe.settle_task(task), head, base_config)
    refuse_inexact_text(base_config, found_task)
    if base_files and TASKS[found_task].reads == "image":
        check_processor(base_files.folder, folder)
    num_labels = count_labels(found_task, tensors, base_shapes)
    refuse_single_experts(tensors.modules, base_config)
    refuse_other_model(model_config, base_config)
    if base_files:
        _check_fit(config, tensors, base_tensors, base_config)
    pad_token_id = _padding_beside(model_config) if TASKS[found_task].head is not None else None
    named = model_config or ({} if tensors.saved else base_config)
    names = choose_label_names(found_task, num_labels, label_names, named)
    vocabulary = find_vocabulary(tensors, base_tensors, base_config, has_logits=TASKS[found_task].head is None)
    if settings is not None:
        refuse_unknown_tokens(settings.vocabulary, vocabulary or base_entries(base_tensors))
    base_folder = None if base_files is None else base_files.folder
    doubts = (*_doubt_files(config, model_config, base, base_files, folder), *recipe.find_doubts(found_task))
    adapter_digest = _digest(folder, config, settings)
    keep_files(folder, settings)
    identity: dict[str, Any] = {
        "adapter": adapter_digest,
        "base": base.digest or [base.location, base.revision],
        "task": found_task,
        "label_names": names,
    }
    identity |= {**recipe.identity(), **({} if pad_token_id is None else {"pad_token_id": pad_token_id})}
    return Checkpoint(
        id=f"ckpt_{digest_json(identity)}",
        base_model=base,
        task=found_task,
        adapter=config.model_dump(mode="json"),
        adapter_digest=adapter_digest,
        label_names=names,
        layer_names=FORMER if LayerNames.of(base_config).are_former(tensors.modules) else None,
        num_labels=num_labels,
        vocabulary=vocabulary,
        tokenizer=describe_tokenizer(settings, base_folder, pad_token_id),
        parameters=sum(map(math.prod, tensors.trained)),
        lora_parameters=sum(map(math.prod, tensors.factors)),
        tensors=len(tensors.trained),
        training=recipe.describe(),
        warnings=(*doubts, *date_doubts(settings, base_folder)),
        created_at=now(),
    )


def _doubt_files(
    config: AdapterConfig, beside: Mapping[str, Any], base: BaseModelRef, files: BaseFiles | None, folder: Path
) -> Iterator[str]:
    """What may be wrong with the base model, and with the adapter's weights, in sentences."""
    yield from find_doubts(config, beside, base, files.config if files else {})
    if files:
        yield from files.find_doubts(folder)
    yield from _doubt_training(folder / WEIGHTS_FILE)


def _read_weights(file: Path, config: AdapterConfig) -> AdapterTensors:
    """The tensors that the configuration speaks of, all finite. Raises AdapterMismatch and AdapterNotFinite."""
    if not file.is_file():
        raise AdapterMismatch(f"The adapter has no {WEIGHTS_FILE}.", hint="Send all files that save_pretrained wrote.")
    header = read_header(file)
    refuse_empty(header)
    tensors = check_structure(config, name_tensors(file, header))
    check_finite(file, header)
    return tensors


def _doubt_training(file: Path) -> Iterator[str]:
    """Parts of an adapter that its training never reached, in sentences."""
    idle, count = find_idle(file, name_tensors(file, read_header(file)))
    if idle:
        shown = ", ".join(idle[:_SHOWN]) + (", ..." if len(idle) > _SHOWN else "")
        yield (
            f"{len(idle)} of {count} adapted modules change nothing, for one of their LoRA factors is all zeros, as "
            f"before training ({shown}): the other factor's gradients are zeros, too. Where all are so, no training "
            "is in these files."
        )


def _check_fit(
    config: AdapterConfig, tensors: AdapterTensors, base: Mapping[str, TensorInfo], base_config: Mapping[str, Any]
) -> None:
    """As `check_base_fit`, with the base's layers called as the adapter calls them: formerly or by now."""
    names = LayerNames.of(base_config)
    spell = names.former if names.are_former(tensors.modules) else names.current
    check_base_fit(config, tensors, {spell(name): info for name, info in base.items()}, base_config)


def _digest(folder: Path, config: AdapterConfig, settings: TokenizerSettings | None) -> str:
    """The address of an adapter's contents: what it computes with, and what it reads."""
    contents: dict[str, Any] = {"config": canonical_fields(config), "weights": digest_file(folder / WEIGHTS_FILE)}
    if settings is not None:
        contents["tokenizer"] = settings.model_dump(mode="json", exclude={"files", *_at_default(settings)})
        contents["pipeline"] = digest_file(folder / PIPELINE) if settings.has_pipeline else None
    return digest_json(contents)


def _at_default(settings: TokenizerSettings) -> set[str]:
    """Settings that came later: at their defaults they leave addresses as they were."""
    return {"truncation_side"} if settings.truncation_side == "right" else set()


def _padding_beside(model_config: Mapping[str, Any]) -> int | None:
    found = model_config.get("pad_token_id")
    return found if type(found) is int and found >= 0 else None


def _read_config(folder: Path) -> bytes:
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise AdapterConfigRefused(
            f"There is no {CONFIG_FILE}.",
            hint="Send the folder that PEFT's save_pretrained wrote, not the base model's.",
        )
    with file.open("rb") as stream:
        return stream.read(MAX_CONFIG_BYTES + 1)


def _read_model_config(file: Path) -> Mapping[str, Any]:
    """The model configuration beside an adapter. Only names and the loss are taken from it: a broken one is none."""
    if not file.is_file() or file.stat().st_size > MAX_CONFIG_BYTES:
        return {}
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
