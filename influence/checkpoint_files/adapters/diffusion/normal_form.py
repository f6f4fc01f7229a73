"""One form for every LoRA of a UNet: PEFT's, with each module spelt out, so that equal adapters are the same bytes."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from influence.checkpoint_files.adapters.diffusion.files import LORA_FILE
from influence.checkpoint_files.adapters.diffusion.names import Part, locate_all
from influence.checkpoint_files.adapters.diffusion.scaling import Scaling, read_embedded_config, read_scaling
from influence.checkpoint_files.adapters.folders import CONFIG_FILE, WEIGHTS_FILE
from influence.checkpoint_files.adapters.names import PREFIX
from influence.checkpoint_files.config import MAX_CONFIG_BYTES, AdapterConfig, parse_adapter_config
from influence.checkpoint_files.finiteness import check_finite
from influence.checkpoint_files.safetensors_header import TensorInfo, read_header, write_tensors
from influence.checkpoint_files.selection import ModuleSelector
from influence.checkpoint_files.tensors import refuse_tensors
from influence.errors import AdapterMismatch

_HINT = "Name the base model that the adapter was trained on: its UNet has other modules or sizes."


def normalise_lora(folder: Path, unet: Mapping[str, TensorInfo], lora_alpha: float | None) -> tuple[str, ...]:
    """Bring the adapter in `folder` into PEFT's form, in place; answers what had to be assumed.

    `unet` are the tensors of the base's UNet: every tensor of the adapter has to belong to exactly one of its modules
    and fit it. Raises AdapterConfigRefused, AdapterMismatch, AdapterNotFinite, UnreadableFile, InvalidRequest.
    """
    is_peft = (folder / CONFIG_FILE).is_file()
    file = folder / (WEIGHTS_FILE if is_peft else LORA_FILE)
    if not file.is_file():
        raise AdapterMismatch(f"The adapter has no {file.name}.", hint="Send all files that save_pretrained wrote.")
    config = _read_config(folder / CONFIG_FILE) if is_peft else read_embedded_config(file)
    header = read_header(file)
    check_finite(file, {name: info for name, info in header.items() if not name.endswith(".alpha")})
    weights = {name.removesuffix(".weight"): info.shape for name, info in unet.items() if name.endswith(".weight")}
    modules = locate_all(header, weights.keys())
    header = _without_single_places(header, modules, weights)
    _check_shapes(header, modules, weights)
    if config is not None:
        _check_config(config, header, modules)
    scaling = read_scaling(file, header, modules, config, lora_alpha)
    ranks = {module: header[parts["A"]].shape[0] for module, parts in modules.items()}
    named = {
        f"{PREFIX}{module}.lora_{part}.weight": header[parts[part]]
        for module, parts in sorted(modules.items())
        for part in ("A", "B")
    }
    written = folder / f"{WEIGHTS_FILE}.new"
    write_tensors(written, file, named)
    file.unlink()
    written.rename(folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(_describe(ranks, scaling), sort_keys=True))
    return scaling.warnings


def _read_config(file: Path) -> AdapterConfig:
    with file.open("rb") as stream:
        return parse_adapter_config(stream.read(MAX_CONFIG_BYTES + 1))


def _without_single_places(
    header: Mapping[str, TensorInfo],
    modules: Mapping[str, Mapping[Part, str]],
    weights: Mapping[str, tuple[int, ...]],
) -> dict[str, TensorInfo]:
    """Factors in as many dimensions as their layers: some trainers write those of a linear layer as a convolution's of
    one place, (r, in, 1, 1), and those of such a convolution as a linear layer's."""
    written = dict(header)
    for module, parts in modules.items():
        places = len(weights[module]) - 2
        for part in ("A", "B"):
            if (name := parts.get(part)) and all(length == 1 for length in header[name].shape[2:]):
                written[name] = replace(header[name], shape=header[name].shape[:2] + (1,) * places)
    return written


def _check_shapes(
    header: Mapping[str, TensorInfo],
    modules: Mapping[str, Mapping[Part, str]],
    weights: Mapping[str, tuple[int, ...]],
) -> None:
    """A is (r, in, ...) as the layer's weight (out, in, ...), B is (out, r) or, for a convolution, (out, r, 1, 1)."""
    missing = [f"{module}.lora_{part}" for module, parts in modules.items() for part in ("A", "B") if part not in parts]
    refuse_tensors(missing=missing, hint="Save the adapter again: both factors of every module are needed.")
    misshapen = []
    for module, parts in modules.items():
        base = weights[module]
        down, up = header[parts["A"]].shape, header[parts["B"]].shape
        rank = down[0] if down else 0
        if rank < 1 or down[1:] != base[1:] or up != (base[0], rank, *(1 for _ in base[2:])):
            misshapen.append(parts["A"])
    refuse_tensors(misshapen=misshapen, hint=_HINT)
    if not modules:
        raise AdapterMismatch("The adapter holds no LoRA tensor.")


def _check_config(
    config: AdapterConfig, header: Mapping[str, TensorInfo], modules: Mapping[str, Mapping[Part, str]]
) -> None:
    """The configuration has to speak of exactly these modules at these ranks. Raises AdapterMismatch."""
    selector = ModuleSelector(config)
    unwanted = {"use_dora": config.use_dora, "lora_bias": config.lora_bias, "bias": config.bias != "none"}
    unwanted |= {"modules_to_save": bool(config.modules_to_save)}
    for name in (name for name, is_set in unwanted.items() if is_set):
        raise AdapterMismatch(f"The adapter was trained with {name}; only a plain LoRA of the UNet is scored.")
    refuse_tensors(
        extra=[parts["A"] for module, parts in modules.items() if not selector.adapts(module)],
        misshapen=[
            parts["A"] for module, parts in modules.items() if header[parts["A"]].shape[0] != selector.rank(module)
        ],
    )


def _describe(ranks: Mapping[str, int], scaling: Scaling) -> dict[str, Any]:
    rank, alpha = _commonest(ranks), _commonest(scaling.alphas)
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": sorted(ranks),
        "rank_pattern": {name: own for name, own in sorted(ranks.items()) if own != rank},
        "alpha_pattern": {name: own for name, own in sorted(scaling.alphas.items()) if own != alpha},
        "use_rslora": scaling.use_rslora,
    }


def _commonest(figures: Mapping[str, int] | Mapping[str, float]) -> Any:
    """The value that most have; of equals the smallest."""
    counts = Counter(figures.values())
    return min(counts, key=lambda value: (-counts[value], value))
