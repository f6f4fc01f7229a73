"""The base model's tokenizer, or the adapter's own, made safe for batches."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING

from influence.checkpoint_files.tokenizers.settings import PIPELINE, TokenizerSettings
from influence.errors import BaseModelNotFound
from workers.tasks.foreign.panics import heed_panics

#: Models that count positions from the padding id + 1, so that fewer of them are left for tokens.
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "mpnet", "longformer", "esm"})
#: Tokenizers without a limit of their own state an absurd one.
_NO_LIMIT = 1 << 24
_PLAIN_INPUTS = ("input_ids", "attention_mask")


def load_tokenizer(folder: Path) -> Any:
    """Load from local files; code in the folder is never run. Raises BaseModelNotFound."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise BaseModelNotFound(
            f"The base model's tokenizer cannot be loaded: {str(error).strip()[:200]}",
            hint="The folder needs tokenizer.json or the vocabulary files beside the weights.",
        ) from error
    tokenizer.padding_side = "right"
    return tokenizer


def load_own_tokenizer(folder: Path, settings: TokenizerSettings, config: Any) -> Any:
    """An adapter's own tokenizer, made from tokenizer.json and settings alone. Raises TokenizerRefused.

    `config` is the base model's: its usual tokenizer says which inputs the model takes.
    """
    usual = getattr(TOKENIZER_MAPPING.get(type(config), None), "model_input_names", _PLAIN_INPUTS)
    with heed_panics():
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / PIPELINE),
            **settings.special_tokens,
            extra_special_tokens=list(settings.extra_special_tokens),
            split_special_tokens=settings.split_special_tokens,
            model_input_names=[name for name in usual if name in (settings.model_input_names or usual)],
            model_max_length=settings.model_max_length or _NO_LIMIT,
        )
    # What tokenizer.json says of padding and cutting is how it was last used, not what it is.
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.padding_side, tokenizer.truncation_side = "right", settings.truncation_side
    return tokenizer


def load_template(base: Path) -> str | dict[str, str] | None:
    """The base model's chat template, if it has one."""
    try:
        template: str | dict[str, str] | None = load_tokenizer(base).chat_template
    except BaseModelNotFound:
        return None
    return template


def pad_id_of(tokenizer: Any, entries: int) -> int:
    """Id that padding is made of, one of the embeddings' `entries`. It is not read: padded places are masked out."""
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, 0)
    return next(int(found) for found in candidates if found is not None and found < entries)


def token_limit(tokenizer: Any, config: Any, max_length: int) -> int:
    """Tokens that a row may have: `max_length`, or less where the model has fewer positions."""
    limits = [max_length]
    if tokenizer.model_max_length and tokenizer.model_max_length < _NO_LIMIT:
        limits.append(int(tokenizer.model_max_length))
    config = config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        offset = (config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
        limits.append(positions - offset)
    return min(limits)
