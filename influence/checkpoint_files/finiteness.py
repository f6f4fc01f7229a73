"""NaN and infinities in a safetensors file, found by their exponent bits: also in types that numpy does not know."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.checkpoint_files.safetensors_header import TensorInfo
from influence.errors import AdapterMismatch, AdapterNotFinite, BaseNotFinite

#: Float type -> (unsigned type of the same width, its exponent bits). All of them set means NaN or infinite.
_EXPONENTS = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}
_PIECE_BYTES = 4 << 20
#: What is looked at of a base model when it is named: all of small files, else the beginning of each tensor. Workers
#: look at all of it when they load it.
_WHOLE_BYTES, _BEGINNING_BYTES = 256 << 20, 64 << 10
#: Tensors that may hold infinities on purpose.
_MASK = "mask"
_NAMES_SHOWN = 5
#: In the names of LoRA's factors: `lora_A`, `lora_embedding_B`.
_FACTOR = ".lora_"
#: What a batch normalisation counts, in whole numbers.
_COUNTS = ".num_batches_tracked"


def refuse_empty(tensors: Mapping[str, TensorInfo]) -> None:
    """Raise AdapterMismatch for tensors without a single number: the weights lay on other devices when it was saved."""
    empty = sorted(name for name, tensor in tensors.items() if tensor.elements == 0)
    if empty:
        raise AdapterMismatch(
            f"{len(empty)} tensors of the adapter hold no numbers (first: {empty[0]}): they were saved in parts.",
            hint="Gather the weights before saving: with DeepSpeed ZeRO-3 set "
            "stage3_gather_16bit_weights_on_model_save, or convert the checkpoint with zero_to_fp32.py.",
            extra={"tensors": empty[:100]},
        )


def check_finite(file: Path, tensors: Mapping[str, TensorInfo]) -> None:
    """Raise AdapterNotFinite naming tensors, AdapterMismatch for types no adapter has. Reads in pieces of 4 MiB."""
    odd = [name for name, tensor in tensors.items() if tensor.dtype not in _EXPONENTS]
    if counted := [name for name in odd if name.endswith(_COUNTS)]:
        raise AdapterMismatch(
            f"{counted[0]} belongs to a normalisation by batches that was saved with the adapter.",
            hint="Merge the adapter, model.merge_and_unload().save_pretrained(folder), and send that folder as "
            "'base_model', with the layers that were trained as 'trainable'.",
            extra={"tensors": counted[:100]},
        )
    if odd:
        raise AdapterMismatch(
            f"{len(odd)} tensors are of a type that no adapter has, for example {odd[0]} ({tensors[odd[0]].dtype}).",
            hint="Save the adapter as float32, float16 or bfloat16.",
            extra={"tensors": odd[:100]},
        )
    broken = [name for name, tensor in tensors.items() if not _is_finite(file, tensor)]
    if broken:
        shown = ", ".join(broken[:_NAMES_SHOWN]) + (", ..." if len(broken) > _NAMES_SHOWN else "")
        raise AdapterNotFinite(
            f"{len(broken)} of {len(tensors)} tensors hold NaN or infinite weights: {shown}.",
            hint="The training run diverged: lower its learning rate, or send an earlier checkpoint.",
            extra={"tensors": broken[:100]},
        )


def check_base_finite(file: Path, tensors: Mapping[str, TensorInfo]) -> None:
    """Raise BaseNotFinite naming tensors of one of a base model's files; of large ones only as far as it is looked at.

    Types without exponents of their own (whole numbers, 8-bit floats) are passed over.
    """
    floats = {name: info for name, info in tensors.items() if info.dtype in _EXPONENTS and _MASK not in name}
    is_small = sum(info.stop - info.start for info in floats.values()) <= _WHOLE_BYTES
    most = None if is_small else _BEGINNING_BYTES
    refuse_infinite(file.name, [name for name, info in floats.items() if not _is_finite(file, info, most)])


def refuse_infinite(where: str, broken: Sequence[str]) -> None:
    """Raise BaseNotFinite for a base model's tensors that hold NaN or infinities, if there are any."""
    if broken:
        shown = ", ".join(name[:200] for name in broken[:_NAMES_SHOWN]) + (
            ", ..." if len(broken) > _NAMES_SHOWN else ""
        )
        raise BaseNotFinite(
            f"{len(broken)} tensors of the base model hold NaN or infinite weights, in {where[:120]}: {shown}.",
            extra={"tensors": [*broken[:100]]},
        )


def find_idle(file: Path, tensors: Mapping[str, TensorInfo]) -> tuple[list[str], int]:
    """Adapted modules of which a LoRA factor is all zeros, so that they change nothing; and how many there are in all.

    `tensors` are named as PEFT names them.
    """
    factors = {name: tensor for name, tensor in tensors.items() if _FACTOR in name}
    modules = dict.fromkeys(name.partition(_FACTOR)[0] for name in factors)
    idle = {name.partition(_FACTOR)[0] for name, tensor in factors.items() if _is_zero(file, tensor)}
    return [module for module in modules if module in idle], len(modules)


def _is_finite(file: Path, tensor: TensorInfo, most: int | None = None) -> bool:
    """Whether a tensor, or its first `most` bytes, holds finite numbers alone."""
    exponent = _EXPONENTS[tensor.dtype][1]
    pieces = _pieces(file, tensor, most)
    return not any(bool(np.any((bits & bits.dtype.type(exponent)) == exponent)) for bits in pieces)


def _is_zero(file: Path, tensor: TensorInfo) -> bool:
    # What is left of a zero without its sign is nothing.
    return not any(bool(np.any(bits << 1)) for bits in _pieces(file, tensor))


def _pieces(file: Path, tensor: TensorInfo, most: int | None = None) -> Iterator[NDArray[Any]]:
    """The bits of a tensor's numbers, or of those in its first `most` bytes, a multiple of eight."""
    with file.open("rb") as stream:
        stream.seek(tensor.start)
        whole = tensor.stop - tensor.start
        left = whole if most is None else min(whole, most)
        while left and (piece := stream.read(min(_PIECE_BYTES, left))):
            yield np.frombuffer(piece, dtype=_EXPONENTS[tensor.dtype][0])
            left -= len(piece)
