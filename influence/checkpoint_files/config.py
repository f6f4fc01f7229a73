"""adapter_config.json of a stranger -> the fields that we load a LoRA adapter from. All fields: see `fields`."""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from influence.checkpoint_files.adapters.fields import refusal, refuse_fields, shown
from influence.checkpoint_files.adapters.initialisation import refuse_initialisation
from influence.checkpoint_files.patterns import SafePattern
from influence.contracts.common import Frozen
from influence.errors import AdapterConfigRefused

MAX_CONFIG_BYTES = 1 << 20
MAX_RANK = 65_536
#: Module names: no character that means something to the expressions that PEFT builds around them, but the dot.
_NAME = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*")
_MAX_NAMES, _MAX_NAME_CHARACTERS, _MAX_EXPRESSIONS = 20_000, 512, 32
_MAX_TOKENS = 1 << 24

_EMPTY_IS_NONE = (
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "target_parameters",
    "trainable_token_indices",
)
#: Fields that came later: at their defaults they leave an adapter's address as it was.
_LATER_FIELDS = (
    "init_lora_weights",
    "lora_bias",
    "target_parameters",
    "trainable_token_indices",
    "ensure_weight_tying",
)


#: Fields that decide the scale and have no reading as null.
_NUMBERS = ("r", "lora_alpha")


class AdapterConfig(Frozen):
    """A LoRA configuration. `target_modules` is a list of module names, or one regular expression.

    `base_model_class` is what `auto_mapping` calls the base, which PEFT writes where training gave no task type.
    """

    peft_type: Literal["LORA"]
    task_type: str | None = Field(None, max_length=64)
    base_model_name_or_path: str | None = Field(None, max_length=4096)
    revision: str | None = Field(None, max_length=4096)
    base_model_class: str | None = Field(None, max_length=256)
    r: int = Field(8, ge=1, le=MAX_RANK)
    lora_alpha: float = Field(8, ge=-1e9, le=1e9, allow_inf_nan=False)
    target_modules: tuple[str, ...] | str = ()
    target_parameters: tuple[str, ...] | None = None
    exclude_modules: tuple[str, ...] | str | None = None
    modules_to_save: tuple[str, ...] | None = None
    rank_pattern: dict[str, int] = Field({}, max_length=_MAX_NAMES)
    alpha_pattern: dict[str, float] = Field({}, max_length=_MAX_NAMES)
    trainable_token_indices: dict[str, tuple[int, ...]] | tuple[int, ...] | None = None
    init_lora_weights: bool | str = True
    bias: Literal["none", "all", "lora_only"] = "none"
    lora_bias: bool = False
    ensure_weight_tying: bool = False
    use_rslora: bool = False
    use_dora: bool = False
    fan_in_fan_out: bool = False
    layers_to_transform: tuple[int, ...] | None = None
    layers_pattern: tuple[str, ...] | None = None

    @field_validator("target_modules", "exclude_modules")
    @classmethod
    def _check_selector(cls, value: tuple[str, ...] | str | None, info: Any) -> tuple[str, ...] | str | None:
        if isinstance(value, str):
            SafePattern(value, info.field_name)
        elif value is not None:
            _check_names(value)
        return value

    @field_validator("modules_to_save", "layers_pattern", "target_parameters")
    @classmethod
    def _check_names(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        _check_names(value or ())
        return value

    @field_validator("trainable_token_indices")
    @classmethod
    def _check_tokens(cls, value: dict[str, tuple[int, ...]] | tuple[int, ...] | None) -> Any:
        for name, indices in value.items() if isinstance(value, dict) else (("embed_tokens", value or ()),):
            _check_names((name,))
            if len(set(indices)) < len(indices) or not all(0 <= index < _MAX_TOKENS for index in indices):
                raise ValueError("it lists a token twice, or one that no vocabulary has")
        return value

    @field_validator("rank_pattern", "alpha_pattern")
    @classmethod
    def _check_patterns(cls, value: dict[str, Any], info: Any) -> dict[str, Any]:
        if sum(not is_module_name(key) for key in value) > _MAX_EXPRESSIONS:
            raise ValueError(f"there are more than {_MAX_EXPRESSIONS} regular expressions")
        for key, figure in value.items():
            if not is_module_name(key):
                SafePattern(key, info.field_name)
            if not 0 < abs(figure) <= 1e9 or (info.field_name == "rank_pattern" and not 1 <= figure <= MAX_RANK):
                raise ValueError(f"{figure} is out of range")
        return value


#: Kinds of adapters that the installed PEFT cannot merge into the model.
_NOT_MERGED = frozenset(
    {
        *("ADAPTION_PROMPT", "CARTRIDGE", "CPT", "LILY", "MULTITASK_PROMPT_TUNING", "POLY", "PREFIX_TUNING"),
        *("PROMPT_TUNING", "P_TUNING", "SHADOW", "XLORA"),
    }
)


def _other_kind(fields: Mapping[str, Any]) -> str:
    """What to do with an adapter that is not PEFT's LoRA."""
    if fields.get("peft_type") is None and fields.keys() & {"fine_tune_type", "lora_parameters"}:
        return (
            "This is an adapter of mlx-lm. Write it in PEFT's form: in adapter_model.safetensors "
            "<module>.lora_A.weight and <module>.lora_B.weight, which are lora_a and lora_b transposed; in "
            "adapter_config.json peft_type 'LORA', task_type 'CAUSAL_LM', r (the rank), lora_alpha (scale times rank) "
            "and target_modules (the last parts of the modules' names). Name the base in full precision. Or fuse it "
            "(mlx_lm.fuse, with --de-quantize where the base was packed) and send the fused model with 'trainable'."
        )
    if str(fields.get("peft_type")) in _NOT_MERGED:
        return "LoRA adapters are scored, and this kind cannot be merged into a model: train a LoRA adapter."
    return (
        "LoRA adapters are scored. Where PEFT can merge this one, send the merged model with 'trainable': "
        "PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(folder)."
    )


def parse_adapter_config(content: bytes) -> AdapterConfig:
    """Read the file's bytes. Raises AdapterConfigRefused with the field in `extra`."""
    fields = _load(content)
    if fields.get("peft_type") != "LORA":
        raise refusal("peft_type", f"is {shown(fields.get('peft_type'))}", _other_kind(fields))
    refuse_fields(fields)
    refuse_initialisation(fields.get("init_lora_weights"))
    unsaid = next((name for name in _NUMBERS if name in fields and fields[name] is None), None)
    if unsaid is not None:
        raise refusal(unsaid, "is null, and PEFT cannot load it so", "Write the number that training had.")
    known = set(AdapterConfig.model_fields)
    given = {name: _tuples(name, value) for name, value in fields.items() if name in known and value is not None}
    mapping = fields.get("auto_mapping")
    if isinstance(mapping, dict) and isinstance(mapping.get("base_model_class"), str):
        given["base_model_class"] = mapping["base_model_class"]
    try:
        config = AdapterConfig.model_validate(given, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise refusal(
            str(first["loc"][0]), f"cannot be taken ({first['msg'][:200]})", "Save the adapter again with PEFT."
        ) from error
    if not config.target_modules and not config.target_parameters:
        raise refusal("target_modules", "names no module", "Save the adapter again with PEFT, which names them.")
    return config


def _load(content: bytes) -> dict[str, Any]:
    if len(content) > MAX_CONFIG_BYTES:
        raise AdapterConfigRefused(f"adapter_config.json is larger than {MAX_CONFIG_BYTES} bytes.")
    try:
        fields = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise AdapterConfigRefused(f"adapter_config.json is not JSON: {str(error)[:120]}.") from error
    if not isinstance(fields, dict):
        raise AdapterConfigRefused("adapter_config.json is not a JSON object.")
    return fields


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _tuples(name: str, value: Any) -> Any:
    """Single values where PEFT takes one or many, and lists in the order of their names: their order means nothing."""
    if name in ("layers_to_transform", "layers_pattern") and isinstance(value, int | str):
        value = [value] if value != "" else None
    if name == "trainable_token_indices" and isinstance(value, dict):
        return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()} or None
    if isinstance(value, list) and value:
        return tuple(sorted(set(value))) if all(isinstance(item, str) for item in value) else tuple(value)
    return value or None if name in _EMPTY_IS_NONE else () if value == [] else value


def _check_names(names: tuple[str, ...]) -> None:
    if len(names) > _MAX_NAMES:
        raise ValueError(f"there are more than {_MAX_NAMES} names")
    for name in names:
        if not is_module_name(name):
            raise ValueError(f"{name[:80]!r} is no module name")


def is_module_name(name: str) -> bool:
    """Whether this is a plain dotted name rather than a regular expression."""
    return len(name) <= _MAX_NAME_CHARACTERS and bool(_NAME.fullmatch(name))


def canonical_fields(config: AdapterConfig) -> Mapping[str, Any]:
    """The fields that decide what the model computes, as JSON: equal adapters have equal ones."""
    fields = config.model_dump(mode="json", exclude={"base_model_name_or_path", "revision", "base_model_class"})
    defaults = {name: AdapterConfig.model_fields[name].default for name in _LATER_FIELDS}
    for name in ("rank_pattern", "alpha_pattern"):
        if list(fields[name]) != sorted(fields[name]):  # the first key that fits counts; PEFT itself writes them sorted
            fields[name] = list(fields[name].items())
    return {name: value for name, value in fields.items() if name not in defaults or value != defaults[name]}
