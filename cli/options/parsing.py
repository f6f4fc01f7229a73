"""What an option's text means where it is more than one word: lists, numbers, JSON objects."""

import json

from influence.contracts.common import Json
from influence.errors import InvalidRequest


def parse_names(text: str, option: str) -> list[str]:
    """`a,b` or a JSON list -> names. Raises InvalidRequest."""
    if not text.lstrip().startswith("["):
        return [name.strip() for name in text.split(",")]
    try:
        names = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{option} is not JSON: {error}.", hint='Write a,b,c or ["a", "b"].') from error
    return [str(name) for name in names]


def parse_numbers(text: str, option: str) -> list[int]:
    """`0,1,2` -> [0, 1, 2]. Raises InvalidRequest."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidRequest(f"{option} {text[:80]!r} is no list of whole numbers.", hint="Write 0,1,2.") from error


def parse_object(text: str, option: str) -> Json:
    """A JSON object. Raises InvalidRequest."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{option} is not JSON: {error}.", hint="Quote the whole object: '{...}'.") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{option} is not a JSON object.", hint='Write one, e.g. \'{"text": "...", "label": 1}\'.')
    return value


def given(options: Json) -> Json:
    """The options that were given: those left out are None."""
    return {name: value for name, value in options.items() if value is not None}
