"""What a LoRA file says of its scaling: a configuration in its metadata, an alpha beside each module, or nothing."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from influence.checkpoint_files.adapters.diffusion.names import Part
from influence.checkpoint_files.config import AdapterConfig, parse_adapter_config
from influence.checkpoint_files.safetensors_header import TensorInfo, read_metadata
from influence.checkpoint_files.selection import ModuleSelector
from influence.errors import AdapterMismatch, InvalidRequest

#: Where diffusers keeps LoraConfig's fields, those of a whole pipeline with the part's name before each.
_METADATA = "lora_adapter_metadata"
_PART = "unet."
_FORMATS = {"F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i", "I16": "<h", "U8": "<B"}


@dataclass(frozen=True, slots=True)
class Scaling:
    """Alpha of each adapted module, whether it is divided by the root of the rank, and what had to be assumed."""

    alphas: dict[str, float]
    use_rslora: bool = False
    warnings: tuple[str, ...] = ()


def read_embedded_config(file: Path) -> AdapterConfig | None:
    """The configuration that diffusers wrote into the file, if it did. Raises AdapterConfigRefused."""
    written = read_metadata(file).get(_METADATA)
    if written is None:
        return None
    try:
        fields = json.loads(written)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return parse_adapter_config(b"null")  # refused by name
    of_unet = {name.removeprefix(_PART): value for name, value in fields.items() if name.startswith(_PART)}
    if not of_unet and fields and all("." in name for name in fields):
        return None  # of other parts alone
    return parse_adapter_config(json.dumps(of_unet or fields).encode())


def read_scaling(
    file: Path,
    header: Mapping[str, TensorInfo],
    modules: Mapping[str, Mapping[Part, str]],
    config: AdapterConfig | None,
    asked: float | None,
) -> Scaling:
    """Alphas of all modules. `asked` is the request's, which only takes the place of one that no file says.

    Raises AdapterMismatch and InvalidRequest.
    """
    alphas = {
        module: alpha
        for module, parts in modules.items()
        if "alpha" in parts and (alpha := _read_number(file, parts["alpha"], header[parts["alpha"]])) != 0
    }
    ranks = {module: header[parts["A"]].shape[0] for module, parts in modules.items()}
    if config is not None:
        if alphas:
            raise AdapterMismatch("The file says alpha twice: in its configuration and beside its modules.")
        selector = ModuleSelector(config)
        alphas = {module: selector.alpha(module) for module in modules}
    silent = sorted(ranks.keys() - alphas.keys())
    if asked is not None and not silent:
        raise InvalidRequest(
            f"The adapter says its own alpha ({next(iter(alphas.values())):g} for the first module).",
            hint="Leave 'lora_alpha' out.",
            extra={"field": "lora_alpha"},
        )
    for module in silent:
        alphas[module] = float(ranks[module]) if asked is None else asked
    warnings = () if asked is not None or not silent else (_warn(len(silent), len(ranks)),)
    return Scaling(alphas, config is not None and config.use_rslora, warnings)


def _warn(silent: int, modules: int) -> str:
    return (
        f"The file says no alpha for {silent} of {modules} modules: alpha is taken to be the rank, as diffusers does "
        "in silence. If training used another one, every score is of another model: send 'lora_alpha'."
    )


def _read_number(file: Path, name: str, info: TensorInfo) -> float:
    """The one number of a tensor; 0 stands for the rank, as kohya's trainer has it."""
    if info.elements != 1 or info.dtype not in (*_FORMATS, "BF16"):
        raise AdapterMismatch(f"{name[:200]} is no single number.", extra={"tensors": [name]})
    with file.open("rb") as stream:
        stream.seek(info.start)
        content = stream.read(info.stop - info.start)
    if info.dtype == "BF16":
        content, form = b"\0\0" + content, "<f"
    else:
        form = _FORMATS[info.dtype]
    value: Any = struct.unpack(form, content)[0]
    if not 0 <= value <= 1e9:
        raise AdapterMismatch(f"{name[:200]} is {value}, which is no alpha.", extra={"tensors": [name]})
    return float(value)
