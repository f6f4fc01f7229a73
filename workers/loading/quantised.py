"""Base models in 4 or 8 bits, for adapters that were trained on such a base."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from influence.checkpoint_files.tensors import HEADS
from influence.contracts.checkpoint import Checkpoint
from influence.errors import BaseModelNotFound


def describe_bits(
    checkpoint: Checkpoint, model_class: Any, config: Any, *, bits: int, dtype: torch.dtype
) -> BitsAndBytesConfig:
    """What is quantised: every linear layer but those that give the answer or were trained whole.

    Left to itself the library also quantises a classifier's head, which then cannot be trained or replaced. Raises
    BaseModelNotFound where the library is not installed.
    """
    _require_library(checkpoint, f"in {bits} bits", "or run workers without DATAINF_LOAD_IN_BITS")
    return BitsAndBytesConfig(
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=sorted(_never_packed(checkpoint, model_class, config)),
    )


def is_packed(config: Any) -> bool:
    """Whether a base model was saved in 4 or 8 bits."""
    return getattr(config, "quantization_config", None) is not None


def keep_whole(checkpoint: Checkpoint, model_class: Any, config: Any) -> None:
    """Let a base that was saved in 4 or 8 bits be loaded so, but for what was trained whole or gives the answer.

    Raises BaseModelNotFound where the library is not installed.
    """
    _require_library(checkpoint, "in the bits that it was saved in", "or name the base model in full precision")
    fields = fields_of(config.quantization_config)
    whole = {*(fields.get("llm_int8_skip_modules") or ()), *_never_packed(checkpoint, model_class, config)}
    config.quantization_config = {**fields, "llm_int8_skip_modules": sorted(whole)}


def fields_of(quantisation: Any) -> dict[str, Any]:
    """A model's quantisation as its configuration's JSON says it."""
    return dict(quantisation) if isinstance(quantisation, dict) else dict(quantisation.to_dict())


def _require_library(checkpoint: Checkpoint, how: str, instead: str) -> None:
    if find_spec("bitsandbytes") is None:
        raise BaseModelNotFound(
            f"The base model {checkpoint.base_model.name!r} cannot be loaded {how}: bitsandbytes is missing.",
            hint=f"Install it beside the worker (extra 'quantised'), {instead}.",
        )
    # It says with every product of matrices that 8 bits round what goes in.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)


def _never_packed(checkpoint: Checkpoint, model_class: Any, config: Any) -> set[str]:
    saved: Sequence[str] = (checkpoint.adapter or {}).get("modules_to_save") or ()
    return {*saved, *HEADS, *_output_names(model_class, config)}


def _output_names(model_class: Any, config: Any) -> list[str]:
    """Names of the layer that gives a language model's logits."""
    with torch.device("meta"):
        model = model_class.from_config(config)
    output = model.get_output_embeddings()
    return [name for name, module in model.named_modules() if output is not None and module is output]


def keep_differentiable(model: torch.nn.Module) -> None:
    """Let no 4-bit layer on a CPU pack its weights anew for inference: what is packed has no gradient.

    Outputs of packed layers end the graph, so that gradients below them would silently lack a part.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            layer: Any = module
            layer.support_avx512bf16_for_cpu = False
