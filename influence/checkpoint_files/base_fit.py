"""An adapter against the files of its base model: layers that are missing or too many, and sizes that do not fit.

Names in a base model's files are not always the loaded model's (a prefix more or less, tensors that are fused on
loading). What cannot be matched by name is left to the worker, which compares tensor by tensor.
"""

import re
from collections.abc import Mapping
from typing import Any

from influence.checkpoint_files.adapters.names import EMBEDDINGS, PREFIX
from influence.checkpoint_files.config import AdapterConfig
from influence.checkpoint_files.safetensors_header import TensorInfo
from influence.checkpoint_files.selection import ModuleSelector
from influence.checkpoint_files.tensors import AdapterTensors, Shape, is_of_head, refuse_tensors

#: Model types whose linear layers keep their weights as (in, out).
_TRANSPOSED = frozenset({"gpt2", "openai-gpt", "imagegpt", "decision_transformer"})
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_MAX_PREFIX_PARTS = 3
#: Parts of an adapter on embeddings, and which of their sides is as wide as the model.
_WIDTHS = {"A": 1, "embedding_B": 0}
_HINT = (
    "Name the base model that the adapter was trained on: number, names or sizes of its layers differ from this one."
)


def check_base_fit(
    config: AdapterConfig, tensors: AdapterTensors, base: Mapping[str, TensorInfo], base_config: Mapping[str, Any]
) -> None:
    """Raise AdapterMismatch where the adapter cannot belong to this base model."""
    weights = {name.removesuffix(".weight"): info for name, info in base.items() if name.endswith(".weight")}
    prefix = _find_prefix(tensors, weights)
    known = {prefix + name: info for name, info in weights.items()}
    known |= _tied(tensors, known)
    kinds = {_kind(name) for name in known}
    endings = {name.rpartition(".")[2] for name in known}
    extra = [
        PREFIX + name
        for name in tensors.modules
        if name not in known
        and (_kind(name) in kinds or name.rpartition(".")[2] not in endings)
        and "experts" not in name
    ]
    misshapen = [
        PREFIX + name
        for name, parts in tensors.modules.items()
        if name in known and not _fits(name, parts, known[name], base_config)
    ]
    misshapen += _misshapen_wholes(tensors, {prefix + name: info.shape for name, info in base.items()})
    missing = _missing_layers(config, tensors, known, base_config)
    refuse_tensors(missing=missing, extra=extra, misshapen=misshapen, hint=_HINT)


def _tied(tensors: AdapterTensors, known: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Adapted embeddings that the files leave out because they are another one; the worker knows whether they are."""
    embeddings = [info for name, info in known.items() if name.rpartition(".")[2] in EMBEDDINGS]
    left_out = [name for name in tensors.modules if name.rpartition(".")[2] in EMBEDDINGS and name not in known]
    return dict.fromkeys(left_out, embeddings[0]) if len(embeddings) == 1 else {}


def _find_prefix(tensors: AdapterTensors, weights: Mapping[str, TensorInfo]) -> str:
    """What the loaded model's names have before the file's: the choice under which most modules are found."""
    first = next(iter(tensors.modules)).split(".")
    prefixes = ["".join(f"{part}." for part in first[:count]) for count in range(min(_MAX_PREFIX_PARTS, len(first)))]
    return max(
        prefixes,
        key=lambda prefix: sum(
            name.startswith(prefix) and name.removeprefix(prefix) in weights for name in tensors.modules
        ),
    )


def _missing_layers(
    config: AdapterConfig, tensors: AdapterTensors, known: Mapping[str, TensorInfo], base_config: Mapping[str, Any]
) -> list[str]:
    """Selected modules without tensors whose like in another layer has them."""
    selector = ModuleSelector(config)
    kinds = {_kind(name) for name in tensors.modules}
    layers = base_config.get("num_hidden_layers")
    return [
        f"{PREFIX}{name}.lora_A.weight"
        for name in known
        if name not in tensors.modules and _kind(name) in kinds and _is_loaded(name, layers) and selector.selects(name)
    ]


def _is_loaded(name: str, layers: Any) -> bool:
    """Files may hold layers behind the last one that a model uses."""
    found = re.search(r"\.(\d+)\.", name)
    return not isinstance(layers, int) or found is None or int(found[1]) < layers


def _kind(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _misshapen_wholes(tensors: AdapterTensors, base: Mapping[str, Shape]) -> list[str]:
    """Whole tensors that the base has in another shape. Heads and numbers of tokens may differ."""
    found = []
    for name, shape in (
        *tensors.saved.items(),
        *((f"{name}.weight", shape) for name, shape in tensors.replaced.items()),
    ):
        module = name.rpartition(".")[0]
        known = base.get(name)
        if known is None or is_of_head(name):
            continue
        free = 1 if module.rpartition(".")[2] in EMBEDDINGS else 0
        if shape[free:] != known[free:]:
            found.append(PREFIX + name)
    return found


def _fits(name: str, parts: Mapping[str, Shape], weight: TensorInfo, base_config: Mapping[str, Any]) -> bool:
    if len(weight.shape) == 2 and name.rpartition(".")[2] in EMBEDDINGS:
        widths = [shape[index] for part, index in _WIDTHS.items() if (shape := parts.get(part)) is not None]
        return all(width == weight.shape[1] for width in widths)
    if "A" not in parts or "B" not in parts or len(weight.shape) != 2 or weight.dtype not in _FLOATS:
        return True  # embeddings, convolutions and packed weights: the worker knows
    shape = (parts["B"][0], parts["A"][1])
    return shape == (weight.shape[::-1] if base_config.get("model_type") in _TRANSPOSED else weight.shape)
