"""How many tokens the embeddings of an adapter and of its base model have, and whether the base can be resized.

Trainers add tokens, resize the base model and save its embeddings with the adapter. Loading does the same: the base is
resized to the adapter's number. Entries that are then in neither file would be random, and so would every score.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from influence.checkpoint_files.adapters.names import EMBEDDINGS
from influence.checkpoint_files.safetensors_header import TensorInfo
from influence.checkpoint_files.tensors import AdapterTensors
from influence.errors import AdapterMismatch, TokenizerRefused

#: Last parts of the names of embeddings that give a language model's logits.
OUTPUTS = frozenset({"lm_head", "embed_out"})


def find_vocabulary(
    tensors: AdapterTensors, base: Mapping[str, TensorInfo], base_config: Mapping[str, Any], *, has_logits: bool
) -> int | None:
    """The number of entries that the base has to be resized to; None where it already has it.

    Raises AdapterMismatch where the adapter does not bring all that is new. An adapter that does not speak of its
    embeddings leaves them as they are. With no `base` (on the hub) the worker that loads it decides.
    """
    sizes = _sizes_of_adapter(tensors)
    if len(set(sizes.values())) > 1:
        raise AdapterMismatch(
            f"The adapter's embeddings have different numbers of entries: {_listed(sizes)}.",
            hint="Save the adapter again from the training run: model.save_pretrained(folder).",
        )
    wanted = next(iter(sizes.values()), None)
    if wanted is None or not base:
        return wanted
    own = base_entries(base)
    if own is None or wanted == own:
        return None
    if wanted > own:
        named = {_last(name) for name in _embeddings(base)}
        tied = base_config.get("tie_word_embeddings") is True or not named & OUTPUTS
        outwards = (named & OUTPUTS or {"lm_head"}) if has_logits else set()
        needed = sorted(named - OUTPUTS | outwards)
        refuse_random_entries(tensors, needed, wanted, own, tied=tied)
    return wanted


def refuse_random_entries(tensors: AdapterTensors, needed: Iterable[str], wanted: int, own: int, *, tied: bool) -> None:
    """Raise AdapterMismatch for embeddings of which the adapter does not hold all `wanted` entries.

    `needed` are last parts of names. Of tied embeddings one that takes the place of the base's stands for both.
    """
    saved = {_last(name.removesuffix(".weight")) for name in tensors.saved}
    replaced = {_last(name) for name in tensors.replaced}
    lacking = [name for name in needed if name not in saved | replaced and not (tied and replaced)]
    if lacking:
        raise AdapterMismatch(
            f"The adapter's vocabulary has {wanted:,} entries and the base model's {own:,}; the adapter does not hold "
            f"{' and '.join(lacking)}, so that the new entries would be random.",
            hint="Save the resized embeddings with the adapter, model.save_pretrained(folder, save_embedding_layers="
            "True); or save the resized base, base.save_pretrained(folder), and send that folder as 'base_model'.",
            extra={"vocabulary": wanted, "base_vocabulary": own, "lacking": lacking},
        )


def refuse_unknown_tokens(tokens: int | None, entries: int | None) -> None:
    """Raise TokenizerRefused where an adapter's own tokenizer has more ids than the model has embeddings."""
    if tokens is not None and entries is not None and tokens > entries:
        raise TokenizerRefused(
            f"The tokenizer beside the adapter has {tokens:,} ids, the model's embeddings have {entries:,} entries: "
            "the tokens that were added are in neither the adapter nor the base model.",
            hint="Save the resized embeddings with the adapter, model.save_pretrained(folder, save_embedding_layers="
            "True); or send the resized base model as 'base_model'; or, if these tokens were never trained, leave the "
            "tokenizer's files out.",
            extra={"tokens": tokens, "entries": entries},
        )


def base_entries(base: Mapping[str, TensorInfo]) -> int | None:
    """Entries of a base model's input embeddings, as its files have them; None where no name tells."""
    sizes = {name: info.shape[0] for name, info in _embeddings(base).items() if len(info.shape) == 2}
    inwards = [size for name, size in sizes.items() if _last(name) not in OUTPUTS]
    return max(inwards or sizes.values(), default=None)


def _sizes_of_adapter(tensors: AdapterTensors) -> dict[str, int]:
    sizes = {name: shape[0] for name, shape in tensors.replaced.items()}
    sizes |= {
        module: shape[0]
        for name, shape in tensors.saved.items()
        if _last(module := name.removesuffix(".weight")) in EMBEDDINGS and name != module
    }
    for name, parts in tensors.modules.items():
        if "embedding_A" in parts:
            sizes[name] = parts["embedding_A"][1]
        elif _last(name) in OUTPUTS and "B" in parts:
            sizes[name] = parts["B"][0]
    return sizes


def _embeddings(base: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    weights = {name.removesuffix(".weight"): info for name, info in base.items() if name.endswith(".weight")}
    return {name: info for name, info in weights.items() if _last(name) in EMBEDDINGS}


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {size:,}" for name, size in sorted(sizes.items())[:4])
