"""Every field of adapter_config.json in one table: honoured, without effect, or refused unless it is at its default.

A field that changes the model and is not understood here would give confident wrong scores. A field that is in no
class (a later PEFT's, another saver's) is refused as well, unless it is empty.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from influence.errors import AdapterConfigRefused

Treatment = Literal["honoured", "without_effect", "refused"]

_MERGE = (
    "Merge the adapter where PEFT loads it, model.merge_and_unload().save_pretrained(folder), and send that folder as "
    "'base_model' with 'trainable' instead of an adapter; or train without this field."
)


@dataclass(frozen=True, slots=True)
class Field:
    """How a field is treated and why; a refused one has a `hint` that can be followed, and `inert` values."""

    treatment: Treatment
    why: str
    hint: str = ""
    inert: tuple[Any, ...] = ()


def _honoured(why: str) -> Field:
    return Field("honoured", why)


def _without_effect(why: str) -> Field:
    return Field("without_effect", why)


def _refused(why: str, hint: str = _MERGE, inert: tuple[Any, ...] = ()) -> Field:
    return Field("refused", why, hint, inert)


FIELDS: Mapping[str, Field] = {
    "peft_type": _honoured("only LoRA adapters are scored"),
    "task_type": _honoured("says which task the adapter was trained for"),
    "r": _honoured("rank of the factors"),
    "lora_alpha": _honoured("part of the scaling"),
    "target_modules": _honoured("selects the adapted modules"),
    "exclude_modules": _honoured("selects the adapted modules"),
    "target_parameters": _honoured("selects adapted parameters, such as the experts of a mixture"),
    "layers_to_transform": _honoured("selects the adapted modules"),
    "layers_pattern": _honoured("selects the adapted modules"),
    "modules_to_save": _honoured("modules that were trained and saved whole"),
    "trainable_token_indices": _honoured("rows of the embeddings that were trained"),
    "rank_pattern": _honoured("ranks by module"),
    "alpha_pattern": _honoured("scalings by module"),
    "bias": _honoured("which biases were trained"),
    "lora_bias": _honoured("a bias beside the factor B"),
    "use_rslora": _honoured("divides by the root of the rank"),
    "use_dora": _honoured("magnitude and direction apart"),
    "fan_in_fan_out": _honoured("follows from the adapted layers"),
    "ensure_weight_tying": _honoured("keeps adapters of tied embeddings tied"),
    "init_lora_weights": _honoured("some initialisations change the base's weights: those are refused"),
    "base_model_name_or_path": _without_effect("the request names the base model"),
    "revision": _without_effect("the request names the base model"),
    "auto_mapping": _without_effect("only says which class the base model was; nothing is imported for it"),
    "peft_version": _without_effect("says what wrote the file"),
    "inference_mode": _without_effect("only whether the adapter was loaded to be trained further"),
    "lora_dropout": _without_effect("gradients are taken without dropout"),
    "runtime_config": _without_effect("where the adapter ran"),
    "loftq_config": _without_effect("read only for init_lora_weights 'loftq', which is refused"),
    "eva_config": _without_effect("says how the saved factors were first made"),
    "corda_config": _without_effect("read only for init_lora_weights 'corda', which is refused"),
    "lora_ga_config": _without_effect("read only for init_lora_weights 'lora_ga', which is refused"),
    "qalora_group_size": _without_effect("read only with use_qalora, which is refused"),
    "megatron_config": _refused("puts the adapter on Megatron's parallel layers"),
    "megatron_core": _refused(
        "names a module to import", "Set it to 'megatron.core', as PEFT writes it.", inert=("megatron.core",)
    ),
    "layer_replication": _refused(
        "repeats layers of the base model",
        "Save the base as the adapter saw it: base = PeftModel.from_pretrained(base, adapter).unload(); "
        "base.save_pretrained(folder, state_dict={name: value.clone() for name, value in base.state_dict().items()}); "
        "send that folder as 'base_model', and set layer_replication to null.",
    ),
    "use_qalora": _refused("pools the inputs of the adapted layers"),
    "velora_config": _refused(
        "trains on compressed activations, so that training did not follow the gradients of the loss",
        "Train without velora_config.",
    ),
    "alora_invocation_tokens": _refused(
        "switches the adapter on from a certain token on", "Train without alora_invocation_tokens."
    ),
    "monteclora_config": _refused("adds random samples to the adapter's weights", "Train without monteclora_config."),
    "use_bdlora": _refused("makes the factors block-diagonal"),
    "arrow_config": _refused(
        "routes every token through a mixture of adapters", "Send one of the mixed adapters by itself."
    ),
    "kasa_config": _refused("cuts singular values off the base's weights and adds a diagonal"),
}
_UNKNOWN = _refused(
    "is no field that this service knows, so that it cannot say what it would change",
    "Set it to null if it changes nothing about the loaded model; else merge the adapter into its base, "
    "model.merge_and_unload().save_pretrained(folder), and send that folder as 'base_model' with 'trainable'.",
)


def refuse_fields(fields: Mapping[str, Any]) -> None:
    """Raise AdapterConfigRefused for the first field that would change the model in a way that is not honoured."""
    for name, value in fields.items():
        rule = FIELDS.get(name, _UNKNOWN)
        if rule.treatment == "refused" and value and value not in rule.inert:
            raise refusal(name, f"is {shown(value)}: it {rule.why}", rule.hint)


def refusal(field: str, what: str, hint: str) -> AdapterConfigRefused:
    """The error that names a field of the configuration."""
    return AdapterConfigRefused(
        f"'{field[:80]}' in adapter_config.json {what}.", hint=hint, extra={"field": field[:80]}
    )


def shown(value: Any) -> str:
    """A field's value, short enough for a sentence."""
    return json.dumps(value)[:80] if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
