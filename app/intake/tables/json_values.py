"""Values that Arrow and Parquet files hold as JSON text: `arrow.json`, as which `datasets` writes objects that differ.

A list of tools, or messages of which one has a field more than the others, are such columns by default.
"""

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from influence.errors import UnreadableFile
from influence.rows.values import WrittenObject

Decode = Callable[[Any], Any]
_SHOWN = 80


def decoder_of(kind: pa.DataType) -> Decode | None:
    """What makes a value of a type the value that was written; None where the type holds no JSON at any depth."""
    if isinstance(kind, pa.JsonType):
        return _decode
    if pa.types.is_map(kind):
        return _of_pairs(decoder_of(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _of_items(decoder_of(kind.value_type))
    if pa.types.is_struct(kind):
        fields = (kind.field(place) for place in range(kind.num_fields))
        return _of_fields({field.name: found for field in fields if (found := decoder_of(field.type)) is not None})
    return None


def _of_items(inner: Decode | None) -> Decode | None:
    if inner is None:
        return None
    return lambda items: None if items is None else [inner(item) for item in items]


def _of_pairs(inner: Decode | None) -> Decode | None:
    if inner is None:
        return None
    return lambda pairs: None if pairs is None else [(key, inner(value)) for key, value in pairs]


def _of_fields(inner: dict[str, Decode]) -> Decode | None:
    if not inner:
        return None
    return lambda value: (
        None if value is None else {**value, **{name: decode(value[name]) for name, decode in inner.items()}}
    )


def _decode(text: str | None) -> Any:
    """Raises UnreadableFile for text that is no JSON."""
    if text is None:
        return None
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(
            f"A value of a JSON column is no JSON: {text[:_SHOWN]!r} ({str(error)[:_SHOWN]}).",
            hint="Write the file again, with null where there is no number and every field once.",
        ) from error


def _unique(pairs: list[tuple[str, Any]]) -> WrittenObject:
    found = WrittenObject(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names a field twice")
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
