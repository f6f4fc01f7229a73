"""The base model's tokenizer, made safe for batches."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from influence.errors import BaseModelNotFound

#: Models that count positions from the padding id + 1, so that fewer of them are left for tokens.
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "mpnet", "longformer", "esm"})
#: Tokenizers without a limit of their own state an absurd one.
_NO_LIMIT = 1 << 24


def load_tokenizer(folder: Path) -> Any:
    """Load from local files; code in the folder is never run. Raises BaseModelNotFound."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise BaseModelNotFound(
            f"The base model's tokenizer cannot be loaded: {str(error).strip()[:200]}",
            hint="The folder needs tokenizer.json or the vocabulary files beside the weights.",
        ) from error
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    return tokenizer


def pad_id_of(tokenizer: Any) -> int:
    """Id that padding is made of. What it stands for does not matter: padded places are masked out."""
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, 0)
    return next(int(found) for found in candidates if found is not None)


def token_limit(tokenizer: Any, config: Any, max_length: int) -> int:
    """Tokens a row may have: `max_length`, or less where the model has fewer positions."""
    limits = [max_length]
    if tokenizer.model_max_length and tokenizer.model_max_length < _NO_LIMIT:
        limits.append(int(tokenizer.model_max_length))
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        offset = (config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
        limits.append(positions - offset)
    return min(limits)
