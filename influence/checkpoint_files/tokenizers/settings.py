"""The tokenizer files beside an adapter -> the few settings that a tokenizer is made from, next to tokenizer.json.

tokenizer.json holds the whole way from text to ids, special tokens around it included, as the trainer's own tokenizer
wrote it. Of tokenizer_config.json only names of special tokens, the length and the template are taken: as arguments of
transformers' classes its other fields could name files and code.
"""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from influence.checkpoint_files.tokenizers.pipeline import check_pipeline
from influence.checkpoint_files.tokenizers.refusal import refuse_file
from influence.checkpoint_files.tokenizers.stated import check_stated
from influence.checkpoint_files.tokenizers.template_files import (
    OLD_TEMPLATE,
    TEMPLATE,
    choose_template,
    find_named,
)
from influence.contracts.common import Frozen

PIPELINE, CONFIG, SPECIAL, ADDED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
#: Vocabularies of other forms: never read, but they say that there is a tokenizer.
_OTHER_FORMS = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt", "merges.txt")
#: All files that are looked at, with the most bytes that each may have.
TOKENIZER_FILES = {
    PIPELINE: 64 << 20,
    CONFIG: 8 << 20,
    SPECIAL: 1 << 20,
    ADDED: 8 << 20,
    TEMPLATE: 1 << 20,
    OLD_TEMPLATE: 1 << 20,
    **dict.fromkeys(_OTHER_FORMS, 64 << 20),
}
_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
#: Roles that rows are read with; the others' tokens are only ever met inside texts.
_NEEDED = ("bos_token", "eos_token", "pad_token")
_CODE = ("auto_map", "trust_remote_code", "custom_objects")
_MAX_TOKEN_CHARACTERS = 1024
#: Tokenizers without a limit of their own state an absurd one.
_NO_LIMIT = 1 << 24


class TokenizerSettings(Frozen):
    """What stands beside tokenizer.json. `vocabulary` is the number of ids, added tokens included.

    `chat_template` is a template, or several by name of which 'default' is the usual one. Without `has_pipeline` the
    upload brings nothing but a template, and the base's tokenizer is used with it.
    """

    has_pipeline: bool
    files: tuple[str, ...]
    vocabulary: int | None = None
    pad_token_id: int | None = None
    special_tokens: dict[str, str] = Field({})
    extra_special_tokens: tuple[str, ...] = ()
    model_max_length: int | None = Field(None, ge=1)
    truncation_side: Literal["right", "left"] = "right"
    split_special_tokens: bool = False
    model_input_names: tuple[str, ...] | None = None
    chat_template: str | dict[str, str] | None = None


def read_settings(folder: Path) -> TokenizerSettings | None:
    """The settings of the files in a folder; None where there are none. Raises TokenizerRefused."""
    named = find_named(folder)
    present = tuple(name for name in TOKENIZER_FILES if (folder / name).is_file())
    if not present and not named:
        return None
    config = _read(folder, CONFIG)
    template = choose_template(folder, config, named, lambda: _read(folder, OLD_TEMPLATE))
    present += tuple(file.name for file in named.values())
    if PIPELINE not in present:
        _refuse_without_pipeline(present)
        return TokenizerSettings(has_pipeline=False, files=present, chat_template=template)
    _refuse_code(config)
    pipeline = _read(folder, PIPELINE)
    check_pipeline(pipeline)
    check_stated(config, pipeline)
    ids = _ids_of(pipeline)
    _check_added(_read(folder, ADDED), config, ids)
    names = config.get("model_input_names")
    special_tokens = _special_tokens(config, _read(folder, SPECIAL), ids)
    return TokenizerSettings(
        has_pipeline=True,
        files=tuple(name for name in present if name not in _OTHER_FORMS),
        vocabulary=max(ids.values(), default=-1) + 1,
        pad_token_id=ids.get(special_tokens.get("pad_token", "")),
        special_tokens=special_tokens,
        extra_special_tokens=_extra_tokens(config, ids),
        model_max_length=_length(config.get("model_max_length")),
        truncation_side="left" if config.get("truncation_side") == "left" else "right",
        split_special_tokens=config.get("split_special_tokens") is True,
        model_input_names=tuple(map(str, names[:16])) if isinstance(names, list) and names else None,
        chat_template=template,
    )


def _read(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object, or an empty one where the file is absent."""
    file = folder / name
    if not file.is_file():
        return {}
    if file.stat().st_size > TOKENIZER_FILES[name]:
        raise refuse_file(name, f"has more than {TOKENIZER_FILES[name] >> 20} MiB")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise refuse_file(name, f"is not JSON ({str(error)[:80]})") from error
    if not isinstance(content, dict):
        raise refuse_file(name, "is no JSON object")
    return content


def _refuse_without_pipeline(present: tuple[str, ...]) -> None:
    """A tokenizer in another form would be read by code of its own, or not as in training."""
    told = [name for name in (CONFIG, *_OTHER_FORMS) if name in present]
    if told:
        raise refuse_file(told[0], f"comes without {PIPELINE}, the only form of a tokenizer that is read here")


def _refuse_code(config: dict[str, Any]) -> None:
    asked = [name for name in _CODE if config.get(name)]
    if asked:
        raise refuse_file(CONFIG, f"asks for code of its own ('{asked[0]}'), which is never run")


def _ids_of(pipeline: dict[str, Any]) -> dict[str, int]:
    vocabulary = pipeline["model"]["vocab"]
    ids = dict(vocabulary) if isinstance(vocabulary, dict) else _unigram_ids(vocabulary)
    for token in pipeline.get("added_tokens") or ():
        if isinstance(token, dict):
            ids[str(token.get("content"))] = token.get("id")
    if not all(type(found) is int and 0 <= found < _NO_LIMIT for found in ids.values()):
        raise refuse_file(PIPELINE, "gives a token no id, or an absurd one")
    return ids


def _unigram_ids(vocabulary: list[Any]) -> dict[str, Any]:
    if not all(isinstance(entry, list) and entry for entry in vocabulary):
        raise refuse_file(PIPELINE, "has a vocabulary of no known form")
    return {str(entry[0]): place for place, entry in enumerate(vocabulary)}


def _check_added(added: dict[str, Any], config: dict[str, Any], ids: dict[str, int]) -> None:
    """Tokens that were added are in tokenizer.json as well: else the files come from different tokenizers."""
    decoder = config.get("added_tokens_decoder")
    listed = {**added}
    for number, token in (decoder if isinstance(decoder, dict) else {}).items():
        listed[_content(token) or ""] = int(number) if str(number).isdigit() else None
    for token, number in listed.items():
        if ids.get(token) != number:
            raise refuse_file(PIPELINE, f"does not know {token[:60]!r} as {number}, the files beside it do")


def _special_tokens(config: dict[str, Any], listed: dict[str, Any], ids: dict[str, int]) -> dict[str, str]:
    found = {}
    for role in _ROLES:
        said = [token for source in (config, listed) if (token := _content(source.get(role))) is not None]
        if len(set(said)) > 1:
            raise refuse_file(SPECIAL, f"calls {said[1][:60]!r} what {CONFIG} calls {said[0][:60]!r}, the {role}")
        if said and said[0] in ids:
            found[role] = said[0]
        elif said and role in _NEEDED:
            raise refuse_file(PIPELINE, f"does not know the {role} {said[0][:60]!r}")
    return found


def _extra_tokens(config: dict[str, Any], ids: dict[str, int]) -> tuple[str, ...]:
    listed: Any = config.get("extra_special_tokens") or config.get("additional_special_tokens") or ()
    tokens = listed.values() if isinstance(listed, dict) else listed if isinstance(listed, list) else ()
    return tuple(token for item in tokens if (token := _content(item)) is not None and token in ids)


def _content(token: Any) -> str | None:
    """A token as a string, or as an object with its text."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) and 0 < len(text) <= _MAX_TOKEN_CHARACTERS else None


def _length(value: Any) -> int | None:
    is_limit = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _NO_LIMIT
    return int(value) if is_limit else None
