"""The adapter on its base model, tensor by tensor: nothing missing, nothing extra, every shape equal, all finite.

PEFT itself loads an adapter without an error when tensors are missing, extra or NaN, and runs the expressions of the
configuration as regular expressions. Here the modules are chosen by our own rules and given to PEFT as plain names.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from influence.checkpoint_files.config import AdapterConfig
from influence.checkpoint_files.selection import ModuleSelector
from influence.contracts.tasks import TASKS, TaskName
from influence.errors import AdapterMismatch, AdapterNotFinite, TaskMismatch, UnreadableFile, UnsupportedModule
from workers.loading.base_model import BaseModel

WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_NAMES_SHOWN = 5


def attach_adapter(base: BaseModel, config: AdapterConfig, folder: Path, task: TaskName) -> Any:
    """The base model with the adapter's weights, in evaluation mode; only the adapter's tensors require a gradient.

    Raises AdapterMismatch, AdapterNotFinite, TaskMismatch, UnsupportedModule.
    """
    weights = _read_weights(folder / WEIGHTS_FILE)
    model = wrap_base(base, config, task)
    places = get_peft_model_state_dict(model, save_embedding_layers=False)
    _refuse_mismatch(places, weights)
    _refuse_random(base.random, weights)
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(weights[name])
    model.eval()
    return model


def wrap_base(base: BaseModel, config: AdapterConfig, task: TaskName, *, dropout: float = 0.0) -> Any:
    """The base model under a fresh adapter, as before its training. Raises AdapterMismatch and UnsupportedModule."""
    selected = _select_modules(base.model, ModuleSelector(config))
    return _wrap(base.model, _lora_config(config, selected, task, base.model, dropout), selected)


def _read_weights(file: Path) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise UnreadableFile(f"{file.name} cannot be read: {str(error)[:200]}.") from error
    broken = [name for name, tensor in weights.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise AdapterNotFinite(f"NaN or infinite weights in {_some(broken)}.", extra={"tensors": broken[:100]})
    return weights


def _select_modules(model: Any, selector: ModuleSelector) -> list[str]:
    """Names of the modules that the configuration selects, in the model's order."""
    names = [name for name, _ in model.named_modules() if name]
    if selector.takes_all_linear:
        names = _linear_names(model)
    selected = [name for name in names if selector.selects(name)]
    if not selected:
        raise AdapterMismatch("The adapter's target_modules select no module of the base model.")
    return selected


def _linear_names(model: Any) -> list[str]:
    output = model.get_output_embeddings()
    heads = () if output is not None else ("classifier", "score")
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not output and name.split(".")[0] not in heads
    ]


def _lora_config(config: AdapterConfig, selected: list[str], task: TaskName, model: Any, dropout: float) -> LoraConfig:
    selector = ModuleSelector(config)
    # PEFT reads these keys as regular expressions.
    ranks = {re.escape(name): selector.rank(name) for name in selected}
    alphas = {re.escape(name): selector.alpha(name) for name in selected}
    transposed = all(isinstance(model.get_submodule(name), Conv1D) for name in selected)
    return LoraConfig(
        task_type=TaskType(TASKS[task].peft_type),
        r=config.r,
        lora_alpha=config.lora_alpha,
        target_modules=selected,
        rank_pattern=ranks,
        alpha_pattern=alphas,
        bias=config.bias,
        use_rslora=config.use_rslora,
        use_dora=config.use_dora,
        fan_in_fan_out=transposed,
        lora_dropout=dropout,
        inference_mode=False,
        modules_to_save=None if config.modules_to_save is None else list(config.modules_to_save),
    )


def _wrap(model: Any, config: LoraConfig, selected: list[str]) -> Any:
    try:
        wrapped = get_peft_model(model, config)
    except ValueError as error:
        raise UnsupportedModule(
            f"The adapter cannot be put on the base model: {str(error).strip()[:200]}",
            hint="Check that target_modules name linear layers of this base model.",
        ) from error
    adapted = {name.removeprefix(_PREFIX) for name, module in wrapped.named_modules() if hasattr(module, "lora_A")}
    if adapted != set(selected):
        raise AdapterMismatch(f"PEFT adapts other modules than the configuration says: {_some(adapted ^ {*selected})}.")
    return wrapped


def _refuse_mismatch(places: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    missing, extra = sorted(places.keys() - weights.keys()), sorted(weights.keys() - places.keys())
    wrong = sorted(name for name in places.keys() & weights.keys() if places[name].shape != weights[name].shape)
    kinds = (("missing", missing), ("extra", extra), ("of another shape", wrong))
    faults = [f"{what} {_some(names)}" for what, names in kinds if names]
    if faults:
        raise AdapterMismatch(
            f"Adapter and base model do not fit: {'; '.join(faults)}.",
            extra={"missing": missing[:100], "extra": extra[:100], "misshapen": wrong[:100]},
        )


def _refuse_random(random: frozenset[str], weights: Mapping[str, Tensor]) -> None:
    """A tensor that neither base model nor adapter holds was made up on loading: every answer would be nonsense."""
    made_up = sorted(name for name in random if _PREFIX + name not in weights)
    if made_up:
        raise TaskMismatch(
            f"Neither the base model nor the adapter holds {_some(made_up)}: these weights would be random.",
            hint="Train with these modules in modules_to_save, or send the task that the adapter was trained for.",
            extra={"tensors": made_up[:100]},
        )


def _some(names: Any) -> str:
    listed = sorted(names)
    rest = f" and {len(listed) - _NAMES_SHOWN} more" if len(listed) > _NAMES_SHOWN else ""
    return ", ".join(listed[:_NAMES_SHOWN]) + rest
