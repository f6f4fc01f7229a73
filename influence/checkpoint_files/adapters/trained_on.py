"""What an adapter's own files say of the base it was trained on, held against the base that is named.

A base of the same shapes loads without an error whatever it is, and scores on it look like right ones.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from influence.checkpoint_files.adapters.notes.plain_notes import short_number
from influence.checkpoint_files.base_models import UPSTREAM_NAMES
from influence.checkpoint_files.config import AdapterConfig
from influence.contracts.checkpoint import BaseModelRef
from influence.errors import AdapterMismatch

#: Fields of a model's configuration that change what the same weights compute.
_COMPUTES = (
    "activation",
    "activation_function",
    "alibi",
    "attention_chunk_size",
    "attention_multiplier",
    "attn_temperature_tuning",
    "clip_qkv",
    "d_model",
    "embedding_multiplier",
    "head_dim",
    "hidden_act",
    "hidden_activation",
    "hidden_size",
    "intermediate_size",
    "is_causal",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "layer_types",
    "logit_scale",
    "logits_scaling",
    "n_embd",
    "n_head",
    "n_layer",
    "no_rope_layers",
    "norm_eps",
    "norm_topk_prob",
    "num_attention_heads",
    "num_experts_per_tok",
    "num_hidden_layers",
    "num_key_value_heads",
    "parallel_attn",
    "partial_rotary_factor",
    "position_embedding_type",
    "query_pre_attn_scalar",
    "residual_multiplier",
    "rms_norm_eps",
    "rotary_pct",
    "routed_scaling_factor",
    "scale_attn_by_inverse_layer_idx",
    "scale_attn_weights",
    "scale_embedding",
    "use_bidirectional_attention",
    "use_parallel_residual",
    "use_sliding_window",
)
#: Values that are one thing under two names, by the kind of model that reads them so.
_SAME = {"gemma": ({"gelu", "gelu_pytorch_tanh"},)}
#: Kinds of models that transformers ties or not by itself, whatever their configuration says.
_TIED_BY_ITSELF = ("t5", "mt5", "umt5")
#: Settings of trainers by which a model computed otherwise in training than its files say.
_CHANGES = ("rope_scaling", "shift_attn", "s2_attention", "mixture_of_depths")
#: The same in the settings that Axolotl quotes, on lines of their own.
CHANGED_BELOW = ("overrides_of_model_config", "rope_scaling", "model_config")
#: The same where null says that the model goes without, so that null and a number are two models.
_SWITCHED = ("attn_logit_softcapping", "final_logit_softcapping", "sliding_window")
#: Ways of stretching positions that look at how long a sequence is.
_TURNING = ("longrope", "dynamic", "su")
_BITS = re.compile(r"(?:^|[-_.])(?:bnb[-_])?([48])[-_]?bit(?:$|[-_.])", re.IGNORECASE)
_PACKED = re.compile(r"[-_](?:unsloth[-_])?(?:bnb[-_])?[48][-_]?bit$", re.IGNORECASE)
_SETTINGS = {"load_in_4bit": 4, "load_in_8bit": 8}


def find_changes(fields: Mapping[str, Any]) -> Iterator[str]:
    """Changes of the model itself among a trainer's settings, in words."""
    for name in _CHANGES:
        if (value := fields.get(name)) not in (None, False, "", "none", {}):
            yield f"{name} {_shown(value)}, which the base model does not have here"


def find_bits(fields: Mapping[str, Any]) -> int | None:
    """In how many bits a trainer read the base model, by its settings: LLaMA-Factory, ms-swift, Axolotl, AutoTrain."""
    said = [fields.get(name) for name in ("quantization_bit", "quant_bits")]
    said += [bits for name, bits in _SETTINGS.items() if fields.get(name) is True]
    said += [4] if fields.get("adapter") == "qlora" or fields.get("quantization") == "int4" else []
    said += [8] if fields.get("quantization") == "int8" else []
    known = [int(bits) for bits in said if isinstance(bits, int | float) and bits in (2, 3, 4, 8)]
    return known[0] if known else None


def refuse_other_model(beside: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    """Raise AdapterMismatch where config.json beside an adapter is another model's than the base's own."""
    is_whole = not any(isinstance(config.get("text_config"), Mapping) for config in (beside, base))
    for field, trained, named in _differences(_text_part(beside), _text_part(base), is_whole=is_whole):
        raise AdapterMismatch(
            f"config.json beside the adapter says that it was trained on a model with {field} {_shown(trained)}; the "
            f"base model has {_shown(named)}.",
            hint="Name the base model that the adapter was trained on. If training changed its configuration, save "
            "the base with that config.json and send the folder as 'base_model'.",
            extra={"field": field},
        )


def find_doubts(
    config: AdapterConfig,
    beside: Mapping[str, Any],
    named: BaseModelRef,
    base: Mapping[str, Any],
    read_in_bits: int | None = None,
) -> Iterator[str]:
    """What may be wrong with the base that was named, in sentences: it cannot be told from shapes.

    `beside` is config.json beside the adapter, `base` the named base's configuration; empty where there is none.
    `read_in_bits` is what the trainer's own files say.
    """
    trained_on, revision = config.base_model_name_or_path, config.revision
    bits = read_in_bits or _bits_of(trained_on, beside)
    yield from find_router_doubts({**base, **beside})
    yield from find_position_doubts(base or beside)
    if bits is not None and base and not base.get("quantization_config"):
        yield (
            f"Training read the base model in {bits} bits, and it is scored on one in full precision: losses and "
            "scores differ from those of training. The packed base itself can be named as base_model."
        )
    if trained_on and not _may_be(trained_on, named):
        yield (
            f"The adapter says that it was trained on {trained_on[:120]!r}, and the request names {named.name[:120]!r}:"
            " scores are right only if these are the same weights."
        )
    elif revision not in (None, "", "main") and named.kind == "hub" and named.revision != revision:
        yield (
            f"The adapter says that it was trained on revision {str(revision)[:64]!r} of the base model; it is scored "
            f"on {str(named.revision)[:64]!r}."
        )
    elif revision not in (None, "", "main") and named.kind == "path" and revision not in PurePath(named.location).parts:
        yield (
            f"The adapter says that it was trained on revision {str(revision)[:64]!r} of the base model; scores are "
            "right only if the folder that the request names holds that one."
        )


def find_router_doubts(config: Mapping[str, Any]) -> Iterator[str]:
    """Of a mixture of experts whose configuration adds the loss of its router to that of the rows."""
    share = config.get("router_aux_loss_coef")
    if config.get("output_router_logits") is True and isinstance(share, int | float) and share:
        yield (
            f"The model's configuration adds the loss of its router (output_router_logits, {short_number(share)}): "
            "scores are of the loss of the rows without it."
        )


def find_position_doubts(config: Mapping[str, Any]) -> Iterator[str]:
    """Of a model whose positions turn otherwise in sequences longer than it was first trained on."""
    text = _text_part(config)
    said = [found for name in ("rope_parameters", "rope_scaling") if isinstance(found := text.get(name), Mapping)]
    kinds = [one for found in said for one in (found, *found.values()) if isinstance(one, Mapping)]
    named = next((kind for one in kinds for key in ("rope_type", "type") if (kind := one.get(key)) in _TURNING), None)
    if named is not None:
        yield (
            f"The model's positions turn by how long a sequence is ({named}): here each row by its own length, in "
            "training all rows of a batch by the longest of them."
        )


def _bits_of(trained_on: str | None, beside: Mapping[str, Any]) -> int | None:
    found = _BITS.search(trained_on or "")
    packing = beside.get("quantization_config")
    said = [bits for name, bits in _SETTINGS.items() if isinstance(packing, Mapping) and packing.get(name)]
    return said[0] if said else int(found[1]) if found else None


def _may_be(trained_on: str, named: BaseModelRef) -> bool:
    """Whether a name that trainers wrote may mean the base: its last part is a part of the base's name or path."""
    parts = {part for path in (named.name, named.location) for one in PurePath(path).parts for part in one.split("--")}
    parts |= {UPSTREAM_NAMES[part] for part in parts & UPSTREAM_NAMES.keys()}
    return _plain_name(_own_name(trained_on)) in set(map(_plain_name, parts))


def _own_name(path: str) -> str:
    """The name in a path that a trainer wrote: `models--owner--name/snapshots/<commit>` is a cache of the hub's."""
    parts = PurePath(path).parts
    if len(parts) > 2 and parts[-2] == "snapshots":
        return parts[-3].rpartition("--")[2]
    return PurePath(path).name


def _plain_name(name: str) -> str:
    """A model's name without what copies of it are called: its packing, ModelScope's dots, the maker before Llama."""
    return _PACKED.sub("", name).casefold().replace("___", ".").removeprefix("meta-")


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found = config.get("text_config")
    return found if isinstance(found, Mapping) else config


def _are_in(values: Collection[Any], names: Collection[str]) -> bool:
    return all(isinstance(value, str) and value in names for value in values)


def _switched(field: str, config: Mapping[str, Any]) -> Any:
    """What a field says; a window is none where another field leaves it unused."""
    return None if field == "sliding_window" and config.get("use_sliding_window") is False else config[field]


def _differences(
    beside: Mapping[str, Any], base: Mapping[str, Any], *, is_whole: bool
) -> Iterator[tuple[str, Any, Any]]:
    trained, named = (str(config.get("model_type") or "").removesuffix("_text") for config in (beside, base))
    if trained and named and trained != named:
        yield ("model_type", trained, named)
    same = _SAME.get(named, ())
    for field in _COMPUTES:
        both = (beside.get(field), base.get(field))
        if None not in both and both[0] != both[1] and not any(_are_in(both, names) for names in same):
            yield (field, *both)
    for field in _SWITCHED:
        if field in beside and field in base and (found := _switched(field, beside)) != (had := _switched(field, base)):
            yield (field, found, had)
    ties = (beside.get("tie_word_embeddings"), base.get("tie_word_embeddings"))
    # Of a multimodal model the whole says it, and its text part something of its own.
    if (
        all(isinstance(tied, bool) for tied in ties)
        and ties[0] != ties[1]
        and is_whole
        and named not in _TIED_BY_ITSELF
    ):
        yield ("tie_word_embeddings", *ties)
    turned, turns = _positions(beside), _positions(base)
    for field in _POSITIONS:
        if field in turned.keys() & turns.keys() and turned[field] != turns[field]:
            yield (f"rope {field}", turned[field], turns[field])


def _positions(config: Mapping[str, Any]) -> dict[str, Any]:
    """How positions turn, in whichever of the ways that versions of transformers write it; empty for other ways."""
    newer, older = config.get("rope_parameters"), config.get("rope_scaling")
    said = newer if isinstance(newer, Mapping) else older if isinstance(older, Mapping) else {}
    if any(isinstance(value, Mapping) for value in said.values()):
        return {}
    found = {"rope_theta": config.get("rope_theta"), **said}
    if not config.keys() & {"rope_parameters", "rope_scaling", "rope_theta"}:
        return {}  # as the class has it, which may be stretched (GPT-OSS)
    # With an angle, and no word of stretching, positions are not stretched.
    found = {"rope_type": found.pop("type", "default"), "factor": 1.0, **found}
    # Sections of one position for pictures: rows of text have the same number in all of them.
    found["rope_type"] = "default" if found["rope_type"] == "mrope" else found["rope_type"]
    return {name: value for name, value in found.items() if value is not None and name in _POSITIONS}


_POSITIONS = (
    "rope_theta",
    "rope_type",
    "factor",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "high_freq_factor",
    "low_freq_factor",
    "mscale",
    "original_max_position_embeddings",
)


def _shown(value: Any) -> str:
    return repr(value)[:80]
