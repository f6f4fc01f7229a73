"""The one way to refuse a tokenizer file: which file, why, and what works instead."""

from influence.errors import TokenizerRefused

_HINT = (
    "Load the tokenizer where the adapter was trained and save it again, AutoTokenizer.from_pretrained(folder)"
    ".save_pretrained(folder); or leave the tokenizer's files out, so that the base model's is used."
)


def refuse_file(file: str, reason: str, hint: str = _HINT) -> TokenizerRefused:
    """What to raise for a file beside the adapter."""
    return TokenizerRefused(f"{file} beside the adapter {reason}.", hint=hint, extra={"file": file})
