"""Layers of image models that transformers 5 gave other names; adapters saved under version 4 have the former.

`query` and `value`, which nearly every such adapter names as its targets, are `q_proj` and `v_proj` by now. PEFT finds
nothing to adapt under the former names.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

#: What a checkpoint's record says of such an adapter.
FORMER = "transformers 4"
_ATTENTION = (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"))
#: (part of a name now, part of it then); the first that fits is taken. `{n}` stands for the number of a layer,
#: `{m}` for that of a block in it.
_ENCODER_LAYERS = (
    *(
        (rf"layers.{{n}}.attention.{now}", rf"encoder.layer.{{n}}.attention.attention.{then}")
        for now, then in _ATTENTION
    ),
    ("layers.{n}.attention.o_proj", "encoder.layer.{n}.attention.output.dense"),
    ("layers.{n}.mlp.fc1", "encoder.layer.{n}.intermediate.dense"),
    ("layers.{n}.mlp.fc2", "encoder.layer.{n}.output.dense"),
    ("layers.{n}.", "encoder.layer.{n}."),
)
_DINOV2 = (
    *((f"layer.{{n}}.attention.{now}", f"layer.{{n}}.attention.attention.{then}") for now, then in _ATTENTION),
    ("layer.{n}.attention.o_proj", "layer.{n}.attention.output.dense"),
    ("layer.{n}.mlp.down_proj", "layer.{n}.mlp.weights_out"),
)
_SWIN = (
    *((f"blocks.{{n}}.attention.{now}", f"blocks.{{n}}.attention.self.{then}") for now, then in _ATTENTION),
    ("blocks.{n}.attention.o_proj", "blocks.{n}.attention.output.dense"),
    ("blocks.{n}.mlp.fc1", "blocks.{n}.intermediate.dense"),
    ("blocks.{n}.mlp.fc2", "blocks.{n}.output.dense"),
)
_SEGFORMER_BLOCK = (
    *((f"attention.{now}", f"attention.self.{then}") for now, then in _ATTENTION),
    ("attention.o_proj", "attention.output.dense"),
    ("attention.sequence_reduction.sequence_reduction", "attention.self.sr"),
    ("attention.sequence_reduction.layer_norm", "attention.self.layer_norm"),
    ("mlp.fc1", "mlp.dense1"),
    ("mlp.fc2", "mlp.dense2"),
    ("layernorm_before", "layer_norm_1"),
    ("layernorm_after", "layer_norm_2"),
    ("", ""),
)
_SEGFORMER = (
    *((f"stages.{{n}}.blocks.{{m}}.{now}", f"encoder.block.{{n}}.{{m}}.{then}") for now, then in _SEGFORMER_BLOCK),
    ("stages.{n}.patch_embeddings.", "encoder.patch_embeddings.{n}."),
    ("stages.{n}.layer_norm", "encoder.layer_norm.{n}"),
)
#: By model type.
_RENAMED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "vit": _ENCODER_LAYERS,
    "deit": _ENCODER_LAYERS,
    "beit": _ENCODER_LAYERS,
    "ijepa": _ENCODER_LAYERS,
    "vit_msn": _ENCODER_LAYERS,
    "dinov2": _DINOV2,
    "dinov2_with_registers": _DINOV2,
    "segformer": _SEGFORMER,
    "swin": _SWIN,
}


class LayerNames:
    """Names of one type of model, then and now. Names of types that kept theirs stay as they are."""

    def __init__(self, model_type: str | None) -> None:
        rules = _RENAMED.get(model_type or "", ())
        self.has_former = bool(rules)
        self._to_former = [(_expression(now), _replacement(then)) for now, then in rules]
        self._to_current = [(_expression(then), _replacement(now)) for now, then in rules]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "LayerNames":
        """Those of the model that a configuration describes."""
        return cls(config.get("model_type"))

    def former(self, name: str) -> str:
        """The name under transformers 4."""
        return _apply(self._to_former, self.current(name))

    def current(self, name: str) -> str:
        """The name by now; one that is current stays."""
        return _apply(self._to_current, name)

    def are_former(self, names: Iterable[str]) -> bool:
        """Whether names, of modules or of tensors in them, are those of transformers 4."""
        return self.has_former and any(self.current(name) != name for name in names)


def _expression(part: str) -> re.Pattern[str]:
    return re.compile(
        r"(?:^|(?<=\.))"  # files of a model that was saved without its head begin with its layers
        + re.escape(part).replace(r"\{n\}", r"(?P<n>\d+)").replace(r"\{m\}", r"(?P<m>\d+)")
        + ("" if part.endswith(".") else r"(?=\.|$)")
    )


def _replacement(part: str) -> str:
    return part.replace("{n}", r"\g<n>").replace("{m}", r"\g<m>")


def _apply(rules: Iterable[tuple[re.Pattern[str], str]], name: str) -> str:
    for pattern, replacement in rules:
        changed, count = pattern.subn(replacement, name, count=1)
        if count:
            return changed
    return name
