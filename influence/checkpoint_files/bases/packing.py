"""Bases whose weights are stored in fewer bits: those that gradients pass through, and the others by name."""

from collections.abc import Iterator, Mapping
from typing import Any

from influence.checkpoint_files.safetensors_header import TensorInfo
from influence.errors import UnsupportedModule

#: Packed by bitsandbytes: 4 and 8 bits, which workers load as they are.
_TAKEN = "bitsandbytes"
#: Methods that transformers itself can undo on loading, with the class of the configuration that says so.
_UNDONE_BY = {
    "fp8": "FineGrainedFP8Config",
    "mxfp8": "FineGrainedFP8Config",
    "mxfp4": "Mxfp4Config",
    "compressed-tensors": "CompressedTensorsConfig",
}
#: Endings of tensors that only packed layers have.
_PACKED = {
    ".qweight": "gptq or awq",
    ".weight_packed": "compressed-tensors",
    ".weight_scale": "compressed-tensors",
    ".weight_scale_inv": "fp8",
    ".W_q": "hqq",
}
#: Types of whole numbers that weights are packed in.
_WHOLE = frozenset({"I8", "U8", "I16", "U16", "I32", "U32"})


def packing_of(config: Mapping[str, Any]) -> str | None:
    """What a model's configuration says its weights are packed by; None for plain ones."""
    said = config.get("quantization_config")
    if not isinstance(said, Mapping):
        return None
    method = said.get("quant_method")
    if not isinstance(method, str):
        return _TAKEN if said.get("load_in_4bit") or said.get("load_in_8bit") else "an unnamed method"
    return _TAKEN if method.startswith(_TAKEN) else method


def refuse_packed(config: Mapping[str, Any], tensors: Mapping[str, TensorInfo] | None = None) -> None:
    """Raise UnsupportedModule, naming the method, for weights that no gradient is taken through here.

    Where the configuration says nothing the tensors may: by names that only packed layers have, or by whole numbers
    where weights are, which would be loaded as if they were the weights.
    """
    method = packing_of(config) or next(_packings(tensors or {}), None)
    if method in (None, _TAKEN):
        return
    raise UnsupportedModule(
        f"The base model's weights are packed by {method[:60]}; no gradient is taken through such layers here.",
        hint=_hint(method),
        extra={"quantisation": method[:60]},
    )


def _packings(tensors: Mapping[str, TensorInfo]) -> Iterator[str]:
    for name, tensor in tensors.items():
        yield from (told for ending, told in _PACKED.items() if name.endswith(ending))
        if name.endswith(".weight") and len(tensor.shape) > 1 and tensor.dtype in _WHOLE:
            yield f"an unnamed method ({tensor.dtype} weights)"


def _hint(method: str) -> str:
    send = "and send that folder as 'base_model': it is what the adapter was trained on"
    if config := _UNDONE_BY.get(method):
        return (
            f"Unpack it, AutoModelForCausalLM.from_pretrained(base, quantization_config={config}(dequantize=True))"
            f".save_pretrained(folder), {send}."
        )
    return f"Unpack it where the library that packed it is installed, save its weights in float16 or float32, {send}."
