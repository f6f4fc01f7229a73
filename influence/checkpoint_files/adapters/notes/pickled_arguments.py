"""What `training_args.bin` says of training: TRL's settings, and those that every `Trainer` of transformers has.

Taken from TRL 0.9 to 1.16: names that one version has and another has not are there or not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from influence.checkpoint_files.adapters.notes.pickled_words import PickledWords, list_words
from influence.checkpoint_files.adapters.trainer_templates.row_ends import ends_by_settings
from influence.contracts.checkpoint import RowEnds
from influence.contracts.common import MAX_ROW_TOKENS, LossScope

PICKLED = "training_args.bin"
#: TRL's configurations -> what the way of training is called here.
_WAYS = {
    "SFTConfig": "sft",
    "DPOConfig": "dpo",
    "KTOConfig": "kto",
    "ORPOConfig": "orpo",
    "CPOConfig": "cpo",
    "BCOConfig": "bco",
    "RewardConfig": "reward",
    "PRMConfig": "prm",
    "PPOConfig": "ppo",
    "GRPOConfig": "grpo",
    "RLOOConfig": "rloo",
    "GKDConfig": "gkd",
    "GOLDConfig": "gold",
    "XPOConfig": "xpo",
    "OnlineDPOConfig": "online-dpo",
    "NashMDConfig": "nash-md",
    "MiniLLMConfig": "minillm",
}
#: Fields that only one of them has: a script's own class that is built on it keeps them.
_TOLD_BY = {
    "completion_only_loss": "sft",
    "dataset_text_field": "sft",
    "f_divergence_type": "dpo",
    "center_rewards_coefficient": "reward",
}
_UNSLOTH, _AXOLOTL = "Unsloth", "axolotl."


@dataclass(frozen=True, slots=True)
class PickledArguments:
    """`way` of training where TRL's classes, or some built on them, made the file, and its `fields`.

    `is_unsloth`: which of a conversation's tokens carried loss is not among them.
    """

    way: str | None
    fields: Mapping[str, Any]
    is_unsloth: bool

    @property
    def loss(self) -> LossScope | None:
        """Where the loss of a conversation or a text fell."""
        if self.way != "sft" or self.is_unsloth:
            return None
        is_marked = self.fields.get("assistant_only_loss") is True
        return "assistant" if is_marked else None if self.fields.get("completion_only_loss") is True else "all"

    @property
    def completion_loss(self) -> LossScope | None:
        """Where that of a prompt with its completion fell: on the completion, unless it was said otherwise."""
        if self.way != "sft":
            return None
        if self.ends in ("as_tokenised", "unless_there"):
            return "all"
        return "all" if self.fields.get("completion_only_loss") is False else "completion"

    @property
    def ends(self) -> RowEnds | None:
        """How rows were ended, where the trainer ended them and not the script."""
        return (
            None if self._is_tokenised_before else ends_by_settings(self.fields, self.way, is_unsloth=self.is_unsloth)
        )

    @property
    def max_length(self) -> Any:
        """At how many tokens rows were cut. `max_seq_length`, the name of old, sets the other where it is given;
        Unsloth cuts by it alone, and by its model's where it is None. SFT leaves rows whole where `max_length` is None;
        in other ways versions of TRL differ in what None is."""
        former = self.fields.get("max_seq_length")
        if self.way is None or former is not None or (self.is_unsloth and "max_seq_length" in self.fields):
            return former if self.way else None
        is_whole = self.way == "sft" and not self.is_unsloth and self.fields.get("max_length", 0) is None
        return MAX_ROW_TOKENS if is_whole else self.fields.get("max_length")

    @property
    def _is_tokenised_before(self) -> bool:
        return self.fields.get("skip_prepare_dataset") is True

    def describe_rows(self) -> Iterator[str]:
        """What training did to rows that gradients leave out, in words."""
        if self.fields.get("packing") is True:
            strategy = self.fields.get("packing_strategy")
            cut = ", which cuts rows where a sequence is full" if strategy == "wrapped" else ""
            yield f"packing{cut}: rows read those before them in a sequence, unless FlashAttention kept them apart"
        elif self.fields.get("padding_free") is True:
            yield "padding_free: rows read those before them in the same batch, unless FlashAttention kept them apart"
        if self.fields.get("truncation_mode") == "keep_end" and self.max_length not in (None, MAX_ROW_TOKENS):
            yield "truncation_mode 'keep_end': rows longer than max_length lost their beginning, and here their end"
        if self._is_tokenised_before:
            yield "skip_prepare_dataset: the script itself made tokens of rows, and where they ended no file says"
        for name in ("eos_token", "chat_template_path"):
            # Unsloth writes a name in place of one that was given.
            if isinstance(given := self.fields.get(name), str) and given and not self.is_unsloth:
                yield f"{name} {given[:80]!r}, which is followed only where the tokenizer was saved beside the adapter"
        if isinstance(most := self.fields.get("max_prompt_length"), int) and self.way == "dpo":
            yield f"max_prompt_length {most}: prompts longer than that lost their beginning"
        if isinstance(most := self.fields.get("max_completion_length"), int) and self.way == "dpo":
            yield f"max_completion_length {most}: answers longer than that lost their end"
        if isinstance(most := self.max_length, int) and self.way == "reward":
            yield f"max_length {most}, and left out pairs of which an answer was longer: here they lose its end"


def read_pickled(folder: Path) -> PickledArguments | None:
    """What the file in a folder says; None where there is none, or none of a `Trainer`."""
    words = list_words(folder / PICKLED)
    return None if words is None or "output_dir" not in words.fields else _of(words)


def _of(words: PickledWords) -> PickledArguments:
    module, _, made_of = words.made_of.rpartition(".")
    is_unsloth = made_of.startswith(_UNSLOTH) or module.startswith(_UNSLOTH)
    name = made_of.removeprefix(_UNSLOTH)
    if module.startswith("trl.") or is_unsloth:
        way = _WAYS.get(name) or name.removesuffix("Config").lower() or None
    elif module.startswith(_AXOLOTL) and name.removeprefix("Axolotl") in _WAYS:
        way = _WAYS[name.removeprefix("Axolotl")]
    else:
        way = next((way for field, way in _TOLD_BY.items() if field in words.fields), None)
    return PickledArguments(way, words.fields, is_unsloth)
