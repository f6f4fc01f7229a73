"""The frozen base model under the head that the task needs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig
from transformers.utils import logging as transformers_logging

from influence.checkpoint_files.bases.packing import refuse_packed
from influence.checkpoint_files.finiteness import refuse_infinite
from influence.checkpoint_files.multimodal import refuse_inexact
from influence.checkpoint_files.task.head import names_head
from influence.contracts.checkpoint import Checkpoint
from influence.errors import BaseModelNotFound, TaskMismatch
from workers.batching.turning import turn_row_by_row
from workers.loading.head import is_below_head, refuse_other_head
from workers.loading.model_class import find_class
from workers.loading.options import LoadOptions
from workers.loading.placement import describe_placement, refuse_offloaded
from workers.loading.quantised import describe_bits, fields_of, is_packed, keep_differentiable, keep_whole

#: transformers puts an adapter that lies in a model's folder on the model, one that was merged into it, too. It is
#: looked for in a sub-folder instead that no model has.
_NO_ADAPTER = {"subfolder": "no-adapter-of-the-base"}

#: What to do where a part of a base model's own is missing.
LACKING_HINT = "Its files lack a part of it: download the base model again, or save it with save_pretrained."
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class BaseModel:
    """`random` names the tensors that the base model's files do not hold: the adapter has to bring them."""

    model: Any
    random: frozenset[str]


def load_base_model(
    checkpoint: Checkpoint, folder: Path, dtype: torch.dtype, options: LoadOptions, modules: Collection[str] = ()
) -> BaseModel:
    """Load safetensors from a local folder. `modules` are names that an adapter knows of the model.

    Raises BaseModelNotFound, BaseNotFinite, TaskMismatch, and UnsupportedModule where it does not fit the devices.
    Attention is torch's own scaled dot product: masked places get weight 0 exactly, so padding cannot leak.
    """
    if not (folder / "config.json").is_file():
        raise BaseModelNotFound(f"The folder of base model {checkpoint.base_model.name!r} has no config.json.")
    # What it would print, a random head above all, is looked at here and refused where it matters.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        if checkpoint.num_labels is not None:
            config.num_labels = checkpoint.num_labels
        refuse_inexact(config.to_dict(), checkpoint.task)
        refuse_other_head(checkpoint, config)
        model_class = find_class(checkpoint.task, config, modules)
        model, report = model_class.from_pretrained(
            str(folder),
            config=config,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            adapter_kwargs=_NO_ADAPTER,
            **describe_placement(options, is_packed=is_packed(config)),
            **_quantisation(checkpoint, config, model_class, dtype, options.load_in_bits),
        )
    except (OSError, ImportError, KeyError, RuntimeError) as error:
        raise BaseModelNotFound(
            f"The base model {checkpoint.base_model.name!r} cannot be loaded: {_first_line(error)}",
            hint="The folder needs config.json and the weights as safetensors, of an architecture known here.",
        ) from error
    except ValueError as error:
        raise TaskMismatch(
            f"The base model {checkpoint.base_model.name!r} cannot be used for {checkpoint.task}: {_first_line(error)}",
            hint="Check that the adapter was trained on this base model and for this task.",
        ) from error
    turn_row_by_row(model)
    refuse_offloaded(model, options.device)
    keep_differentiable(model)
    _refuse_infinite(model, checkpoint, report["missing_keys"])
    mismatched = {entry[0] if isinstance(entry, tuple) else entry for entry in report["mismatched_keys"]}
    return BaseModel(model, frozenset(report["missing_keys"]) | frozenset(mismatched))


def refuse_random(who_lacks: str, names: Sequence[str], hint: str) -> TaskMismatch:
    """What to raise for tensors that no file holds: made up on loading, they would make every answer nonsense."""
    rest = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return TaskMismatch(
        f"{who_lacks} {', '.join(names[:_NAMES_SHOWN])}{rest}: these weights would be random.",
        hint=hint,
        extra={"tensors": names[:100]},
    )


def refuse_incomplete(base: BaseModel) -> None:
    """Raise TaskMismatch where files lack a part below the head: what is trained on top of it would learn noise."""
    inner = getattr(base.model, "base_model_prefix", "")
    if lacking := sorted(name for name in base.random if is_below_head(name, inner) and not names_head(name)):
        raise refuse_random("The base model's files do not hold", lacking, LACKING_HINT)


def _refuse_infinite(model: Any, checkpoint: Checkpoint, missing: Collection[str]) -> None:
    """Raise BaseNotFinite for what was loaded, in place; weights that no file held are not the base's."""
    floats = ((name, one) for name, one in model.named_parameters() if one.is_floating_point() and one.numel())
    broken = [
        name
        for name, one in floats
        if name not in missing and not all(bool(torch.isfinite(end)) for end in torch.aminmax(one.detach()))
    ]
    refuse_infinite(repr(checkpoint.base_model.name), broken)


def _quantisation(
    checkpoint: Checkpoint, config: Any, model_class: Any, dtype: torch.dtype, load_in_bits: int | None
) -> dict[str, Any]:
    if is_packed(config):
        refuse_packed({"quantization_config": fields_of(config.quantization_config)})
        keep_whole(checkpoint, model_class, config)
        return {}
    if load_in_bits is None:
        return {}
    return {"quantization_config": describe_bits(checkpoint, model_class, config, bits=load_in_bits, dtype=dtype)}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
