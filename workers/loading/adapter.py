"""The adapter on its base model, tensor by tensor: nothing missing, nothing extra, every shape equal, all finite.

PEFT itself loads an adapter without an error when tensors are missing, extra or NaN, and runs the expressions of the
configuration as regular expressions. Here the modules are chosen by our own rules and given to PEFT as plain names.
"""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora.layer import ParamWrapper
from peft.utils.transformers_weight_conversion import convert_peft_adapter_state_dict_for_transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from influence.checkpoint_files.adapters.former_names import LayerNames
from influence.checkpoint_files.adapters.names import PREFIX, read_names
from influence.checkpoint_files.config import AdapterConfig
from influence.checkpoint_files.safetensors_header import read_header
from influence.checkpoint_files.selection import ModuleSelector
from influence.checkpoint_files.tensors import replaced_embedding
from influence.contracts.tasks import TASKS, TaskName
from influence.errors import AdapterMismatch, AdapterNotFinite, UnreadableFile, UnsupportedModule
from workers.loading.base_model import LACKING_HINT, BaseModel, refuse_random
from workers.loading.head import is_below_head
from workers.loading.vocabulary import are_tied

WEIGHTS_FILE = "adapter_model.safetensors"
_INNER, _ROWS = ".base_layer.weight", ".trainable_tokens_delta"
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Attached:
    """A base model under its adapter. `keeps_base`: with the adapter switched off it is the base that was trained on,
    as far as that is known: all of its weights came from its own files and none was changed in place."""

    model: Any
    keeps_base: bool


def attach_adapter(base: BaseModel, config: AdapterConfig, folder: Path, task: TaskName) -> Attached:
    """The base model with the adapter's weights, in evaluation mode; only the adapter's tensors require a gradient.

    Raises AdapterMismatch, AdapterNotFinite, TaskMismatch, UnsupportedModule.
    """
    names = LayerNames(base.model.config.model_type)
    weights = {names.current(name): tensor for name, tensor in read_weights(folder / WEIGHTS_FILE).items()}
    # All factors come from the file; only this way of making them also says which of them stay as they were made.
    is_tied = are_tied(base.model)
    model = wrap_base(base, config, task, init="mica" if config.init_lora_weights == "mica" else True)
    places = _without_wrappers(get_peft_model_state_dict(model, save_embedding_layers=False))
    replaced = _replaced_places(model, weights.keys() - places.keys())
    places |= replaced
    if is_tied:
        weights = _without_copies(weights, places)
    weights = _renamed(model, weights, places)
    refuse_mismatch(places, weights)
    _refuse_random(base.random, weights, is_tied=is_tied, inner=getattr(base.model, "base_model_prefix", ""))
    is_replaced = any(not torch.equal(place.cpu(), weights[name].to(place.dtype)) for name, place in replaced.items())
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(weights[name])
    model.eval()
    return Attached(model, keeps_base=not (base.random or is_replaced) and config.bias == "none")


def adapted_modules(folder: Path) -> list[str]:
    """Names of the base model's modules that an adapter's file has factors of; none where it has no file."""
    file = folder / WEIGHTS_FILE
    names = read_names(read_header(file)).written if file.is_file() else {}
    found = (name.removeprefix(PREFIX).partition(".lora_") for name in names)
    return sorted({module.removesuffix(".base_layer") for module, factor, _ in found if factor})


def wrap_base(
    base: BaseModel, config: AdapterConfig, task: TaskName, *, dropout: float = 0.0, init: bool | str | None = None
) -> Any:
    """The base model under a fresh adapter, as before its training. Raises AdapterMismatch and UnsupportedModule."""
    # A UNet's configuration is of diffusers, which knows no types of models.
    model_type = getattr(base.model.config, "model_type", None)
    selector = ModuleSelector(config, LayerNames(model_type))
    selected = _select_modules(base.model, selector)
    parameters = [name for name, _ in base.model.named_parameters() if selector.targets(name)]
    if not selected and not parameters:
        raise AdapterMismatch("The adapter's target_modules select no module of the base model.")
    lora = _lora_config(config, selector, selected, parameters, base.model)
    # PEFT adds a classifier's head to what is saved where the adapter has a task type, and only there.
    is_plain = config.task_type is None or TASKS[task].reads == "image"
    lora.task_type = None if is_plain else TaskType(TASKS[task].peft_type)
    lora.init_lora_weights = config.init_lora_weights if init is None else init
    lora.lora_dropout = dropout
    wrapped = _wrap(base.model, lora, selected, selector)
    for name, parameter in wrapped.named_parameters():
        # `bias="all"` lets those train, too, and nothing computes with them.
        if ".original_module." in name:
            parameter.requires_grad_(False)
    return wrapped


def read_weights(file: Path) -> dict[str, Tensor]:
    """Tensors under PEFT's names. Raises UnreadableFile, AdapterNotFinite."""
    try:
        written: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise UnreadableFile(f"{file.name} cannot be read: {str(error)[:200]}.") from error
    weights = {peft: written[name] for peft, name in read_names(written).written.items()}
    broken = [name for name, tensor in weights.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise AdapterNotFinite(f"NaN or infinite weights in {_some(broken)}.", extra={"tensors": broken[:100]})
    return weights


def _select_modules(model: Any, selector: ModuleSelector) -> list[str]:
    """Names of the modules that the configuration selects, in the model's order."""
    names = [name for name, _ in model.named_modules() if name]
    if selector.takes_all_linear:
        names = _linear_names(model)
    return [name for name in names if selector.selects(name)]


def _linear_names(model: Any) -> list[str]:
    output = model.get_output_embeddings()
    heads = () if output is not None else ("classifier", "score")
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not output and name.split(".")[0] not in heads
    ]


def _lora_config(
    config: AdapterConfig, selector: ModuleSelector, modules: list[str], parameters: list[str], model: Any
) -> LoraConfig:
    ranks = {name: selector.rank(name) for name in (*modules, *parameters)}
    alphas = {name: selector.alpha(name) for name in (*modules, *parameters)}
    transposed = bool(modules) and all(isinstance(model.get_submodule(name), Conv1D) for name in modules)
    tokens = config.trainable_token_indices
    return LoraConfig(
        r=config.r,
        lora_alpha=config.lora_alpha,
        target_modules=modules,
        target_parameters=parameters or None,
        # PEFT reads these keys as regular expressions.
        rank_pattern={re.escape(name): rank for name, rank in ranks.items() if rank != config.r},
        alpha_pattern={re.escape(name): alpha for name, alpha in alphas.items() if alpha != config.lora_alpha},
        bias=config.bias,
        lora_bias=config.lora_bias,
        use_rslora=config.use_rslora,
        use_dora=config.use_dora,
        fan_in_fan_out=transposed,
        inference_mode=False,
        modules_to_save=None if config.modules_to_save is None else list(config.modules_to_save),
        trainable_token_indices={name: [*rows] for name, rows in tokens.items()}
        if isinstance(tokens, dict)
        else (None if tokens is None else [*tokens]),
        ensure_weight_tying=config.ensure_weight_tying,
    )


def _wrap(model: Any, config: LoraConfig, selected: list[str], selector: ModuleSelector) -> Any:
    try:
        with warnings.catch_warnings():
            # PEFT looks for these patterns among modules only, and warns of those that fit adapted parameters.
            warnings.filterwarnings(
                "ignore", message="The following (rank|alpha)_pattern keys", category=RuntimeWarning
            )
            wrapped = get_peft_model(model, config)
    except (ValueError, IndexError) as error:
        raise UnsupportedModule(
            f"The adapter cannot be put on the base model: {str(error).strip()[:200]}",
            hint="Check that target_modules name linear layers of this base model.",
        ) from error
    layers = ((name.removeprefix(PREFIX), module) for name, module in wrapped.named_modules())
    # Layers that adapt a parameter of a module are nested, and compared tensor by tensor.
    adapted = {name for name, layer in layers if hasattr(layer, "lora_A") and not isinstance(layer, ParamWrapper)}
    wrong = {*selected} - adapted | {name for name in adapted - {*selected} if not selector.adapts(name)}
    if wrong:
        raise AdapterMismatch(f"PEFT adapts other modules than the configuration says: {_some(wrong)}.")
    return wrapped


def _without_wrappers(places: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Places under one name each: with `bias="all"` PEFT gives the biases of a saved module again, and of what that
    replaced, which nothing computes with."""
    return {peft: places[name] for peft, name in read_names(places).written.items()}


def _replaced_places(model: Any, names: Iterable[str]) -> dict[str, Tensor]:
    """The base's own weights of embeddings that the adapter's file holds beside what was trained."""
    found = {name: module for name in names if (module := replaced_embedding(name))}
    if not found:
        return {}
    embeddings = {name: _inner_weight(module) for name, module in _embeddings_of(model).items()}
    return {name: embeddings[module] for name, module in found.items() if module in embeddings}


def _embeddings_of(model: Any) -> dict[str, Any]:
    """The input and output embeddings, wrapped or not, by their names in the wrapped model."""
    base = model.get_base_model()
    wanted = [base.get_input_embeddings(), base.get_output_embeddings()]
    return {name: module for name, module in model.named_modules() if any(module is one for one in wanted)}


def _inner_weight(module: Any) -> Tensor:
    """The weight of the base model's layer below all that PEFT puts around it."""
    for wrapper in ("original_module", "base_layer"):
        while hasattr(module, wrapper):
            module = getattr(module, wrapper)
    weight: Tensor = module.weight
    return weight


def _renamed(model: Any, weights: dict[str, Tensor], places: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names that this version of transformers gives the layers, where only names changed."""
    if weights.keys() == places.keys():
        return weights
    converted: dict[str, Tensor] = convert_peft_adapter_state_dict_for_transformers(
        model, model.peft_config["default"], dict(weights), "default"
    )
    same = {id(tensor) for tensor in weights.values()} == {id(tensor) for tensor in converted.values()}
    if same and converted.keys() == places.keys():
        return converted
    moved = {_move(name, places): tensor for name, tensor in weights.items()}
    return moved if moved.keys() == places.keys() else weights


def _move(name: str, places: Mapping[str, Tensor]) -> str:
    """A tensor's name in the one stack of layers of the model that has such a tensor, if there is just one."""
    _, stack, within = name.partition(".layers.")
    found = [place for place in places if stack and place.endswith(stack + within)]
    return found[0] if len(found) == 1 else name


def _without_copies(weights: Mapping[str, Tensor], places: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without trained rows of tied embeddings that were written a second time."""
    rows = [tensor for name, tensor in weights.items() if name in places and name.endswith(_ROWS)]
    return {
        name: tensor
        for name, tensor in weights.items()
        if name in places or not name.endswith(_ROWS) or not any(torch.equal(tensor, row) for row in rows)
    }


def refuse_mismatch(places: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Raise AdapterMismatch unless the weights are exactly those that the places are for."""
    missing, extra = sorted(places.keys() - weights.keys()), sorted(weights.keys() - places.keys())
    wrong = sorted(name for name in places.keys() & weights.keys() if places[name].shape != weights[name].shape)
    kinds = (("missing", missing), ("extra", extra), ("of another shape", wrong))
    faults = [f"{what} {_some(names)}" for what, names in kinds if names]
    if faults:
        raise AdapterMismatch(
            f"Adapter and base model do not fit: {'; '.join(faults)}.",
            extra={"missing": missing[:100], "extra": extra[:100], "misshapen": wrong[:100]},
        )


def _refuse_random(random: frozenset[str], weights: Mapping[str, Tensor], *, is_tied: bool, inner: str) -> None:
    """A tensor that neither base model nor adapter holds was made up on loading: every answer would be nonsense.

    `inner` is what the names of the model's own part begin with, below its head.
    """
    held = {f"{name.removesuffix(_INNER)}.weight" for name in weights if name.endswith(_INNER)}
    if is_tied and held:  # the one stands for the other
        held |= {PREFIX + name for name in random if replaced_embedding(name)}
    made_up = sorted(name for name in random if PREFIX + name not in weights.keys() | held)
    if made_up:
        raise refuse_random(
            "Neither the base model nor the adapter holds",
            made_up,
            LACKING_HINT
            if any(is_below_head(name, inner) for name in made_up)
            else "Train with these modules in modules_to_save, or send the task that the adapter was trained for.",
        )


def _some(names: Any) -> str:
    listed = sorted(names)
    rest = f" and {len(listed) - _NAMES_SHOWN} more" if len(listed) > _NAMES_SHOWN else ""
    return ", ".join(listed[:_NAMES_SHOWN]) + rest
