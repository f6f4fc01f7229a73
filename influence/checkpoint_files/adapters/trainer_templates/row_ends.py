"""How TRL and Unsloth end rows: it differs by version, which a card names and the settings of training tell.

SFT      to 0.15   as the tokenizer ends texts; 0.14 and before make turns of a prompt and its completion
         0.16      with an EOS unless one is there, conversations, too
         0.17 on   texts and completions with an EOS in words, which tokenizers that add one by themselves double
Unsloth            as the tokenizer ends texts, and without its tokens where the chat template has its BOS in words
DPO      0.12-0.28 prompt and answers encoded apart, without the tokenizer's tokens; an EOS behind each answer always
         0.29 on   as SFT
reward   0.24 on   as SFT
"""

import re
from collections.abc import Mapping
from typing import Any

from influence.contracts.checkpoint import RowEnds

_VERSION = re.compile(r"^- TRL: (\d{1,3})\.(\d{1,3})", re.MULTILINE)
#: The first version that ends rows in each way, by what training is called; None: as rows are ended here.
_SINCE: Mapping[str, tuple[tuple[tuple[int, int], RowEnds | None], ...]] = {
    "sft": (((0, 17), "in_words"), ((0, 16), "unless_there"), ((0, 0), "as_tokenised")),
    "dpo": (((0, 29), "in_words"), ((0, 12), "apart"), ((0, 0), None)),
    "reward": (((0, 24), "in_words"), ((0, 0), None)),
}
#: Settings that the configuration of SFT lost with 0.18, and of DPO with 0.29.
_OLD = {"sft": frozenset({"chars_per_token", "dataset_batch_size", "num_of_sequences"}), "dpo": {"label_pad_token_id"}}


def ends_by_card(card: str, way: str | None, trainer: str | None) -> RowEnds | None:
    """What a model card says of it; `way` is what training is called."""
    if trainer == "Unsloth" and way == "sft":
        return "bare"
    found = _VERSION.search(card)
    if found is None or trainer not in ("TRL", "Unsloth"):
        return None
    version = (int(found[1]), int(found[2]))
    return next((ends for since, ends in _SINCE.get(way or "", ()) if version >= since), None)


def ends_by_settings(fields: Mapping[str, Any], way: str | None, *, is_unsloth: bool) -> RowEnds | None:
    """What the settings of a trainer of TRL say of it, by which of them there are."""
    is_old = bool(fields.keys() & _OLD.get(way or "", frozenset()))
    if way == "sft":
        if is_unsloth:
            return "bare"
        if "eos_token" in fields or "completion_only_loss" in fields:
            return "in_words"
        return None if not is_old else "unless_there" if "max_length" in fields else "as_tokenised"
    if way == "dpo":
        if is_old:
            return "apart" if "use_weighting" in fields else None
        return "in_words" if "pad_to_multiple_of" in fields else None
    return "in_words" if way == "reward" and "eos_token" in fields else None
