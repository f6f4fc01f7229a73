"""The tokenizer library's panics and nameless errors as the refusals they stand for."""

from collections.abc import Iterator
from contextlib import contextmanager

from influence.errors import TokenizerRefused


@contextmanager
def heed_panics() -> Iterator[None]:
    """Raise TokenizerRefused where the library gave up on a tokenizer.json in the middle of its work."""
    try:
        yield
    except BaseException as error:
        # Panics pass by every `except Exception`, and the library exports no name for them; others are bare exceptions.
        if type(error).__name__ != "PanicException" and type(error) is not Exception:
            raise
        raise TokenizerRefused(
            f"The tokenizer cannot be used: {str(error).strip()[:160]}.",
            hint="Save the tokenizer again where the adapter was trained, or leave its files out.",
        ) from error
