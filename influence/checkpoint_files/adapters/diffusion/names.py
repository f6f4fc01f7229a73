"""Names of a LoRA file's tensors -> the module of the UNet that each belongs to, and which part of its LoRA it is.

Three families: PEFT's and diffusers' own (`unet.<module>.lora_A.weight`, `.lora.down.weight`, the attention processors
of diffusers 0.x); kohya's (`lora_unet_<module with _ for .>.lora_down.weight`) and ComfyUI's
(`diffusion_model.<module>.lora_up.weight`), whose modules are called as diffusers calls them or as the first code of
these models did (`input_blocks`).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from influence.checkpoint_files.adapters.diffusion.former_blocks import former_names
from influence.errors import AdapterMismatch

Part = Literal["A", "B", "alpha"]

#: LyCORIS writes the second where it is no part of kohya's trainer.
_KOHYA = ("lora_unet_", "lycoris_")
_ENDINGS: Mapping[str, Part] = {
    ".lora_A.weight": "A",
    ".lora_B.weight": "B",
    ".lora_A.default.weight": "A",
    ".lora_B.default.weight": "B",
    ".lora.down.weight": "A",
    ".lora.up.weight": "B",
    ".lora_linear_layer.down.weight": "A",
    ".lora_linear_layer.up.weight": "B",
    ".lora_down.weight": "A",
    ".lora_up.weight": "B",
    ".alpha": "alpha",
}
_PREFIXES = ("base_model.model.", "unet.", "base_model.model.")
#: ComfyUI's, before either name of a module.
_WITHIN_CHECKPOINT = ("model.diffusion_model.", "diffusion_model.")
#: Attention processors kept the factors of four layers under names of their own.
_PROCESSOR = re.compile(r"\.processor\.to_(q|k|v|out)_lora\.(down|up)\.weight$")
#: What a name may begin with, or hold, that stands for something other than a plain LoRA of the UNet.
_ELSEWHERE = {
    "text_encoder": "adapts the text encoder",
    "lora_te": "adapts the text encoder",
    "transformer.": "adapts a transformer trained by flow matching",
    "lora_transformer_": "adapts a transformer trained by flow matching",
    "bundle_emb": "is an embedding that was trained beside",
    "emp_params": "is an embedding that was trained beside",
}
_OTHER_KINDS = {
    "dora_scale": "is DoRA",
    "lora_magnitude_vector": "is DoRA",
    "lora_mid": "is a LoRA of three factors",
    "hada_": "is LoHa",
    "lokr_": "is LoKr",
    ".lora_B.bias": "is a bias beside a factor",
    "oft_": "is OFT",
    ".scalar": "scales a LoRA by a number of its own",
    ".w_norm": "changes a normalisation",
    ".b_norm": "changes a normalisation",
}
#: How names end of what changes a whole weight or bias.
_WHOLE = (".diff", ".diff_b")
_MERGE = (
    "Train or extract a plain LoRA of the UNet alone; or merge the adapter, pipeline.fuse_lora(), and train anew on "
    "the pipeline that this gives."
)


def locate(name: str, modules: Collection[str]) -> tuple[str, Part]:
    """The module and part of one tensor. Raises AdapterMismatch, naming it, for a tensor of anything else.

    `modules` are the names of the UNet's modules that have a weight.
    """
    return _locate(name, modules, _flatten(modules))


def _locate(name: str, modules: Collection[str], flattened: Mapping[str, list[str]]) -> tuple[str, Part]:
    _refuse_elsewhere(name)
    module, part = _split(name)
    for prefix in (*_KOHYA, *_WITHIN_CHECKPOINT):
        if module.startswith(prefix):
            fitting = flattened.get(module.removeprefix(prefix).replace(".", "_"), [])
            if len(fitting) != 1:
                raise _unmatched(name, fitting)
            return fitting[0], part
    for prefix in _PREFIXES:
        module = module.removeprefix(prefix)
    if module not in modules:
        raise _unmatched(name, [])
    return module, part


def locate_all(names: Iterable[str], modules: Collection[str]) -> dict[str, dict[Part, str]]:
    """The file's name of every part of each adapted module. Raises AdapterMismatch for a part that is there twice."""
    found: dict[str, dict[Part, str]] = {}
    flattened = _flatten(modules)
    for name in sorted(names):
        module, part = _locate(name, modules, flattened)
        parts = found.setdefault(module, {})
        if part in parts:
            raise AdapterMismatch(
                f"{parts[part][:200]} and {name[:200]} are the same part of {module}.",
                hint="Save the adapter again.",
                extra={"tensors": [parts[part], name]},
            )
        parts[part] = name
    return found


def _split(name: str) -> tuple[str, Part]:
    if found := _PROCESSOR.search(name):
        layer = "to_out.0" if found[1] == "out" else f"to_{found[1]}"
        return f"{name[: found.start()]}.{layer}", "A" if found[2] == "down" else "B"
    for ending, part in _ENDINGS.items():
        if name.endswith(ending):
            return name.removesuffix(ending), part
    raise _unmatched(name, [])


def _flatten(modules: Collection[str]) -> dict[str, list[str]]:
    """Modules by their names as kohya's trainer writes them, today's and former ones."""
    former = former_names(modules)
    found: dict[str, list[str]] = {}
    for module in modules:
        for name in {module, former.get(module, module)}:
            found.setdefault(name.replace(".", "_"), []).append(module)
    return found


def _refuse_elsewhere(name: str) -> None:
    reasons = [why for start, why in _ELSEWHERE.items() if name.removeprefix(_PREFIXES[0]).startswith(start)]
    reasons += [why for part, why in _OTHER_KINDS.items() if part in name]
    reasons += ["changes a weight or bias by itself"] * name.endswith(_WHOLE)
    if reasons:
        raise AdapterMismatch(
            f"The tensor {name[:200]!r} {reasons[0]}; only a plain LoRA of the UNet is scored.",
            hint=_MERGE,
            extra={"tensors": [name]},
        )


def _unmatched(name: str, fitting: list[str]) -> AdapterMismatch:
    what = f"several modules: {', '.join(fitting[:3])}" if fitting else "no module of the base's UNet"
    return AdapterMismatch(
        f"The tensor {name[:200]!r} belongs to {what}.",
        hint="Name the base that the adapter was trained on. Plain LoRA is read, under the names of PEFT, diffusers "
        "and kohya's trainer.",
        extra={"tensors": [name]},
    )
