"""adapter_config.json of a stranger -> the few fields that we load a LoRA adapter from.

Every other field must be absent or at its default: a field that changes the model and is not understood here would
give confident wrong scores; `auto_mapping` and `megatron_core` would import modules, `layer_replication` would grow
the model a hundredfold.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from influence.checkpoint_files.patterns import SafePattern
from influence.contracts.common import Frozen
from influence.errors import AdapterConfigRefused

MAX_CONFIG_BYTES = 1 << 20
MAX_RANK = 65_536
#: Module names: no character that means something to the expressions that PEFT builds around them, but the dot.
_NAME = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*")
_MAX_NAMES, _MAX_NAME_CHARACTERS, _MAX_EXPRESSIONS = 20_000, 512, 32

#: Fields that do not change a loaded model: what training started from, where it ran, what wrote the file.
_WITHOUT_EFFECT = frozenset(
    {
        "inference_mode",
        "lora_dropout",
        "init_lora_weights",
        "peft_version",
        "loftq_config",
        "eva_config",
        "corda_config",
        "lora_ga_config",
        "revision",
        "runtime_config",
        "qalora_group_size",
    }
)
#: Defaults of fields that must stand at their default, beside null, false, 0, "", {} and [].
_DEFAULTS: dict[str, Any] = {"megatron_core": "megatron.core"}


class AdapterConfig(Frozen):
    """A LoRA configuration. `target_modules` is a list of module names, or one regular expression."""

    peft_type: Literal["LORA"]
    task_type: str | None = Field(None, max_length=64)
    base_model_name_or_path: str | None = Field(None, max_length=4096)
    r: int = Field(8, ge=1, le=MAX_RANK)
    lora_alpha: float = Field(8, ge=-1e9, le=1e9, allow_inf_nan=False)
    target_modules: tuple[str, ...] | str
    exclude_modules: tuple[str, ...] | str | None = None
    modules_to_save: tuple[str, ...] | None = None
    rank_pattern: dict[str, int] = Field({}, max_length=_MAX_NAMES)
    alpha_pattern: dict[str, float] = Field({}, max_length=_MAX_NAMES)
    bias: Literal["none", "all", "lora_only"] = "none"
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

    @field_validator("modules_to_save", "layers_pattern")
    @classmethod
    def _check_names(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        _check_names(value or ())
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


def parse_adapter_config(content: bytes) -> AdapterConfig:
    """Read the file's bytes. Raises AdapterConfigRefused with the field in `extra`."""
    fields = _load(content)
    if fields.get("peft_type") != "LORA":
        raise _refusal("peft_type", f"is {_shown(fields.get('peft_type'))}", "Only LoRA adapters are scored.")
    known = set(AdapterConfig.model_fields)
    for name, value in fields.items():
        if name not in known | _WITHOUT_EFFECT and not _is_default(name, value):
            raise _refusal(
                name, f"is {_shown(value)}", "This service does not know what it does to the model; train without it."
            )
    given = {name: _tuples(name, value) for name, value in fields.items() if name in known and value is not None}
    try:
        return AdapterConfig.model_validate(given, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _refusal(
            str(first["loc"][0]), f"cannot be taken ({first['msg'][:200]})", "Save the adapter again with PEFT."
        ) from error


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


def _is_default(name: str, value: Any) -> bool:
    return not value or (name in _DEFAULTS and value == _DEFAULTS[name])


def _tuples(name: str, value: Any) -> Any:
    """Single values where PEFT takes one or many, and lists in the order of their names: their order means nothing."""
    if name in ("layers_to_transform", "layers_pattern") and isinstance(value, int | str):
        value = [value] if value != "" else None
    if isinstance(value, list) and value:
        return tuple(sorted(set(value))) if all(isinstance(item, str) for item in value) else tuple(value)
    return value or None if name in ("exclude_modules", "layers_to_transform", "layers_pattern") else value


def _check_names(names: tuple[str, ...]) -> None:
    if len(names) > _MAX_NAMES:
        raise ValueError(f"there are more than {_MAX_NAMES} names")
    for name in names:
        if not is_module_name(name):
            raise ValueError(f"{name[:80]!r} is no module name")


def is_module_name(name: str) -> bool:
    """Whether this is a plain dotted name rather than a regular expression."""
    return len(name) <= _MAX_NAME_CHARACTERS and bool(_NAME.fullmatch(name))


def _refusal(field: str, what: str, hint: str) -> AdapterConfigRefused:
    return AdapterConfigRefused(
        f"'{field[:80]}' in adapter_config.json {what}.", hint=hint, extra={"field": field[:80]}
    )


def _shown(value: Any) -> str:
    return json.dumps(value)[:80] if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"


def canonical_fields(config: AdapterConfig) -> Mapping[str, Any]:
    """The fields that decide what the model computes, as JSON: equal adapters have equal ones."""
    return config.model_dump(mode="json", exclude={"base_model_name_or_path"})
