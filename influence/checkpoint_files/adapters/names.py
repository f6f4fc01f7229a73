"""Names of an adapter's tensors: as savers write them -> as PEFT's save_pretrained does.

Other savers leave out the outer prefix, keep the adapter's name inside (`lora_A.default.weight`), keep the wrappers of
parallel or compiled training, or write a saved module together with the copy of the base's that it replaced.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from influence.checkpoint_files.safetensors_header import TensorInfo, have_same_bytes
from influence.errors import AdapterMismatch

PREFIX = "base_model.model."
#: Last parts of the names that models give their embeddings, inwards and outwards.
EMBEDDINGS = frozenset(
    {"embed_tokens", "lm_head", "wte", "word_embeddings", "embed_in", "embed_out", "tok_embeddings", "shared"}
)
_WRAPPERS = re.compile(r"(?:^module\.)|_orig_mod\.|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.")
#: A part of an adapter, the adapter's name where it was kept, and what follows.
_PART = re.compile(
    r"\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector|trainable_tokens_delta)"
    r"(?:\.(?!weight$|bias$)([A-Za-z0-9_\-]+))?(\.weight|\.bias)?$"
)
_PLAIN = re.compile(r"[\x21-\x7e]{1,1024}")
_SAVED, _ORIGINAL = ".modules_to_save.", ".original_module."
_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Names:
    """`written` has the file's name of each tensor by PEFT's; `twins` are pairs of names of one tensor."""

    written: dict[str, str]
    twins: tuple[tuple[str, str], ...]


def read_names(names: Iterable[str]) -> Names:
    """PEFT's own name of every tensor. Raises AdapterMismatch for odd names and files of more than one adapter.

    The copy of what a saved module replaced (`original_module`) has none: nothing is computed with it. Without a saved
    module it is the base's own weight, and so is what lies below trained rows of an embedding.
    """
    plain = {name: _WRAPPERS.sub("", name) for name in names}
    odd = [name for name in plain if not _PLAIN.fullmatch(name)]
    if odd:
        raise AdapterMismatch(
            f"{odd[0][:80]!a} is no name of a tensor.",
            hint="Save the adapter again: model.save_pretrained(folder).",
        )
    adapters = {found[2] for name in plain.values() if (found := _PART.search(name)) and found[2]}
    if len(adapters) > 1:
        raise AdapterMismatch(
            f"The file holds several adapters: {', '.join(sorted(adapters)[:5])}.",
            hint="Save one of them: model.save_pretrained(folder, selected_adapters=[name]).",
        )
    adapter = next(iter(adapters), _DEFAULT)
    is_bare = not any(name.startswith(PREFIX) for name in plain.values())
    written: dict[str, str] = {}
    twins = []
    for name, short in sorted(plain.items(), key=lambda item: _ORIGINAL in item[1]):
        full = PREFIX + short if is_bare else short
        if _ORIGINAL in full and full.replace(_ORIGINAL, ".") in written:
            continue
        peft = _canonical(full, adapter)
        if peft in written:
            twins.append((written[peft], name))
        else:
            written[peft] = name
    return Names(written, tuple(twins))


def name_tensors(file: Path, header: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """The header of an adapter's file under PEFT's names.

    Raises AdapterMismatch where a file holds several adapters, or one tensor twice with different values.
    """
    names = read_names(header)
    for first, second in names.twins:
        if not have_same_bytes(file, header[first], header[second]):
            raise AdapterMismatch(
                f"{first} and {second} are one tensor to PEFT and differ in the file.",
                hint="Save the adapter again: model.save_pretrained(folder).",
                extra={"tensors": [first, second]},
            )
    return {peft: header[written] for peft, written in names.written.items()}


def _canonical(name: str, adapter: str) -> str:
    if found := _PART.search(name):
        part, ending = found[1], found[3] or ""
        return f"{name[: found.start()]}.{part}{'' if part == 'lora_magnitude_vector' else ending}"
    name = name.replace(".token_adapter.base_layer.", _ORIGINAL).replace(_ORIGINAL, ".base_layer.")
    module, saved, rest = name.partition(_SAVED)
    return f"{module}.{rest.removeprefix(f'{adapter}.')}" if saved else name
