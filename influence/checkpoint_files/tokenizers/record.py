"""Which tokenizer and chat template a checkpoint reads with: what its record says, and what is kept of the files."""

import shutil
from pathlib import Path

from influence.checkpoint_files.adapters.folders import OWN_FILES
from influence.checkpoint_files.tokenizers.settings import PIPELINE, TokenizerSettings, read_settings
from influence.checkpoint_files.tokenizers.template import TEMPLATE_DATE, asks_date
from influence.contracts.checkpoint import TokenizerRecord
from influence.digests import digest_json
from influence.errors import TokenizerRefused

SETTINGS_FILE = "tokenizer_settings.json"


def describe_tokenizer(
    settings: TokenizerSettings | None, base: Path | None, pad_token_id: int | None = None
) -> TokenizerRecord:
    """The record of an adapter's own tokenizer, or else of the base's; `base` is None where that is on the hub.

    `pad_token_id` is what a model's configuration beside the adapter names, which goes before the tokenizer's.
    """
    beside = None if base is None else _read_trusted(base)
    used = settings if settings is not None and settings.has_pipeline else beside
    own_template = settings.chat_template if settings is not None else None
    template = own_template or (beside.chat_template if beside is not None else None)
    return TokenizerRecord(
        source="base" if used is beside else "adapter",
        files=settings.files if settings is not None else beside.files if beside is not None else (),
        vocabulary=None if used is None else used.vocabulary,
        pad_token_id=pad_token_id if settings is None or pad_token_id is not None else settings.pad_token_id,
        chat_template_source=None if template is None else "base" if own_template is None else "adapter",
        chat_template_digest=None if template is None else digest_json(template),
    )


def date_doubts(settings: TokenizerSettings | None, base: Path | None) -> tuple[str, ...]:
    """What is to be known of a chat template that writes the date: training saw those of its own days."""
    beside = None if base is None else _read_trusted(base)
    own = settings.chat_template if settings is not None else None
    if not asks_date(own or (beside.chat_template if beside is not None else None)):
        return ()
    return (
        f"The chat template writes the day's date, and training wrote those of its days: rows are read with "
        f"{TEMPLATE_DATE:%d %b %Y}. Templates that take a date of their own read it from 'chat_template_kwargs'.",
    )


def keep_files(folder: Path, settings: TokenizerSettings | None) -> None:
    """Leave only what a worker reads in an adapter's folder: the settings instead of the files they were read from."""
    kept = {*OWN_FILES, *([PIPELINE] if settings is not None and settings.has_pipeline else ())}
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in kept:
            path.unlink()
    if settings is not None:
        (folder / SETTINGS_FILE).write_text(settings.model_dump_json())


def load_settings(folder: Path) -> TokenizerSettings | None:
    """What `keep_files` left; None where the adapter brought no tokenizer file."""
    file = folder / SETTINGS_FILE
    return TokenizerSettings.model_validate_json(file.read_bytes()) if file.is_file() else None


def _read_trusted(base: Path) -> TokenizerSettings | None:
    """A base model's own settings, as far as they can be read: the operator vouches for its files."""
    try:
        return read_settings(base)
    except TokenizerRefused:
        return None
