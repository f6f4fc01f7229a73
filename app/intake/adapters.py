"""An adapter folder of a stranger -> an accepted checkpoint. Nothing is loaded; bytes are looked at."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from influence.checkpoint_files.multimodal import refuse_inexact
from influence.checkpoint_files.safetensors_header import TensorInfo, read_header
from influence.checkpoint_files.selection import ModuleSelector
from influence.checkpoint_files.task.find import HeadFacts, find_problem_type, find_task
from influence.checkpoint_files.task.head import choose_label_names, count_labels, find_outputs
from influence.checkpoint_files.task.processor import check_processor
from influence.checkpoint_files.task.trained_as import Recipe, read_recipe
from influence.checkpoint_files.tensors import AdapterTensors, Shape, check_structure
from influence.checkpoint_files.tokenizers.record import date_doubts, describe_tokenizer, keep_files
from influence.checkpoint_files.tokenizers.settings import PIPELINE, TokenizerSettings, read_settings
from influence.checkpoint_files.vocabulary import base_entries, find_vocabulary, refuse_unknown_tokens
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import MAX_ROW_TOKENS, now
from influence.contracts.tasks import TASKS, TaskName
from influence.digests import digest_file, digest_json
from influence.errors import (
    AdapterConfigRefused,
    AdapterMismatch,
)

#: Modules that a sentence names.
_SHOWN = 3


def accept_adapter(
    folder: Path,
    base: BaseModelRef,
    *,
    task: TaskName | None = None,
    label_names: Sequence[str] | None = None,
    hub_config: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Check the adapter in `folder` from end to end and say what it is; its id follows from contents alone.

    `hub_config` is the configuration of a base on the hub: what may be another model is held against it. Raises
    AdapterConfigRefused, AdapterMismatch, AdapterNotFinite, TaskMismatch, UnreadableFile.
    """
    config = parse_adapter_config(_read_config(folder))
    tensors = _read_weights(folder / WEIGHTS_FILE, config)
    known = _Base.of(base, hub_config)
    settings = read_settings(folder)
    model_config = _read_model_config(folder / MODEL_CONFIG_FILE)
    recipe = read_recipe(folder)
    found_task = _settle_task(task, config, tensors, recipe, known, model_config)
    if known.files and TASKS[found_task].reads == "image":
        check_processor(known.files.folder, folder)
    num_labels = count_labels(found_task, tensors, known.shapes)
    _check_base(known, config, tensors, model_config)
    pad_token_id = _padding_beside(model_config) if TASKS[found_task].head is not None else None
    names = choose_label_names(
        found_task, num_labels, label_names, model_config or ({} if tensors.saved else known.config)
    )
    vocabulary = find_vocabulary(tensors, known.tensors, known.config, has_logits=TASKS[found_task].head is None)
    if settings is not None:
        refuse_unknown_tokens(settings.vocabulary, vocabulary or base_entries(known.tensors))
    doubts = (
        *find_doubts(config, model_config, base, known.stated, recipe.bits),
        *_doubt_positions(recipe, known.stated),
        *_doubt_files(config, tensors, known.files, folder),
        *recipe.find_doubts(found_task),
        *date_doubts(settings, known.folder),
    )
    adapter_digest = _digest(folder, config, settings)
    keep_files(folder, settings)
    identity = {**identify(base, found_task, names, recipe), "adapter": adapter_digest}
    identity |= {} if pad_token_id is None else {"pad_token_id": pad_token_id}
    return Checkpoint(
        id=f"ckpt_{digest_json(identity)}",
        base_model=base,
        task=found_task,
        adapter=config.model_dump(mode="json"),
        adapter_digest=adapter_digest,
        label_names=names,
        layer_names=FORMER if LayerNames.of(known.config).are_former(tensors.modules) else None,
        num_labels=num_labels,
        vocabulary=vocabulary,
        tokenizer=describe_tokenizer(settings, known.folder, pad_token_id),
        parameters=sum(map(math.prod, tensors.trained)),
        lora_parameters=sum(map(math.prod, tensors.factors)),
        tensors=len(tensors.trained),
        training=recipe.describe(),
        warnings=doubts,
        created_at=now(),
    )


@dataclass(frozen=True, slots=True)
class _Base:
    """What is known of a base model. `config` and `tensors` are those of its files, where they lie on this machine;
    `stated` is its configuration wherever it lies."""

    files: BaseFiles | None
    tensors: Mapping[str, TensorInfo]
    config: Mapping[str, Any]
    stated: Mapping[str, Any]

    @classmethod
    def of(cls, base: BaseModelRef, hub_config: Mapping[str, Any] | None) -> "_Base":
        if base.kind != "path":
            return cls(None, {}, {}, hub_config or {})
        files = BaseFiles(Path(base.location))
        return cls(files, files.tensors(), files.config, files.config)

    @property
    def shapes(self) -> dict[str, Shape]:
        return {name: info.shape for name, info in self.tensors.items()}

    @property
    def folder(self) -> Path | None:
        return None if self.files is None else self.files.folder


def _settle_task(
    asked: TaskName | None,
    config: AdapterConfig,
    tensors: AdapterTensors,
    recipe: Recipe,
    base: _Base,
    model_config: Mapping[str, Any],
) -> TaskName:
    """The task that the adapter was trained for. Raises TaskMismatch."""
    stated = find_problem_type({"problem_type": recipe.problem_type}, model_config, base.config)
    head = HeadFacts(find_outputs(tensors, base.shapes), stated)
    found = find_task(config, recipe.settle_task(asked), head, base.stated)
    refuse_inexact(base.stated, found)
    return found


def identify(base: BaseModelRef, task: TaskName, names: Sequence[str] | None, recipe: Recipe) -> dict[str, Any]:
    """What decides scores of any checkpoint, beside its own weights."""
    return {
        "base": base.digest or [base.location, base.revision],
        "task": task,
        "label_names": names,
        **recipe.identity(),
    }


def _doubt_files(
    config: AdapterConfig, tensors: AdapterTensors, files: BaseFiles | None, folder: Path
) -> Iterator[str]:
    """What may be wrong with the base model's files, and with the adapter's scale and weights, in sentences."""
    if files:
        yield from files.find_doubts(folder)
    torn = ModuleSelector(config).find_torn(tensors.modules)
    if torn is not None:
        yield (
            f"Keys of alpha_pattern with different values fit {torn!r}. Training took the first that was written, and "
            "saving sorts them: the alpha that is taken now, as PEFT takes it, may be another one."
        )
    yield from _doubt_training(folder / WEIGHTS_FILE)


def _doubt_positions(recipe: Recipe, base: Mapping[str, Any]) -> Iterator[str]:
    """Unsloth stretches positions by itself where rows are longer than the base model was made for, in a sentence."""
    training, most = recipe.settings, base.get("max_position_embeddings")
    if training is None or training.trainer != "Unsloth" or training.max_length in (None, MAX_ROW_TOKENS):
        return
    if isinstance(most, int) and training.max_length > most and not base.get("rope_scaling"):
        yield (
            f"{training.file} says that rows had up to {training.max_length:,} tokens, and the base model has "
            f"{most:,} positions: Unsloth stretches them by itself (rope_scaling), and here they are not stretched."
        )


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


def _check_base(base: _Base, config: AdapterConfig, tensors: AdapterTensors, model_config: Mapping[str, Any]) -> None:
    """Raise AdapterMismatch and what `refuse_single_experts` raises where the base is not the adapter's."""
    refuse_single_experts(tensors.modules, base.config)
    refuse_other_model(model_config, base.stated)
    if base.files:
        _check_fit(config, tensors, base.tensors, base.config)


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
