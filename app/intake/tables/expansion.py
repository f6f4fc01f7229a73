"""Columnar batches -> dicts, with expanded bytes counted before they exist; and what a schema tells about classes."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.intake.tables.json_values import decoder_of
from app.intake.tables.limits import Source, TableLimits, check_columns, refuse_size
from influence.errors import TooLarge, UnreadableFile, UnsupportedFormat
from influence.rows.labels import are_label_names
from influence.rows.values import ValueKind

#: Rows become Python objects in pieces of about this many bytes.
_PIECE_BYTES = 8 << 20
#: Decimals of so many digits and no fraction are ints.
_INT64_DIGITS = 18
ClassNames = dict[str, tuple[str, ...]]


def expand(batches: Iterator[pa.RecordBatch], limits: TableLimits) -> Iterator[Source]:
    """Batches -> dicts. Raises TooLarge before anything past `max_bytes` or `max_row_bytes` is made."""
    total = 0
    for batch in batches:
        total += _expanded_bytes(batch)
        if total > limits.max_bytes:
            refuse_size(f"more than {limits.max_bytes} bytes when expanded", limits)
        decoders = {field.name: decode for field in batch.schema if (decode := decoder_of(field.type)) is not None}
        for piece in _pieces(_without_decimals(batch), limits):
            rows = piece.to_pylist()
            for name, decode in decoders.items():
                for row in rows:
                    row[name] = decode(row[name])
            yield from rows


def _without_decimals(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with decimal columns as the numbers that data frames make of them."""
    for place, field in enumerate(batch.schema):
        if pa.types.is_decimal(field.type):
            kind = pa.int64() if field.type.scale == 0 and field.type.precision <= _INT64_DIGITS else pa.float64()
            batch = batch.set_column(place, field.name, batch.column(place).cast(kind))
    return batch


def _pieces(batch: pa.RecordBatch, limits: TableLimits) -> Iterator[pa.RecordBatch]:
    size = _expanded_bytes(batch)
    if batch.num_rows == 1 and size > limits.max_row_bytes + _slack(batch):
        refuse_size(f"a row of {size} bytes when expanded", limits)
    if batch.num_rows <= 1 or size <= min(_PIECE_BYTES, limits.max_row_bytes):
        yield batch
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half), limits)
    yield from _pieces(batch.slice(half), limits)


def _slack(batch: pa.RecordBatch) -> int:
    # Offsets and validity bits of a single row, so that the limit means the row's own bytes.
    return 64 * (1 + len(batch.schema.names))


def _expanded_bytes(batch: pa.RecordBatch) -> int:
    sizes: list[int] = [_array_bytes(column) for column in batch.columns]
    return sum(sizes)


def _array_bytes(array: pa.Array) -> int:
    """Bytes of an array once its dictionaries are multiplied out; eight more an item for Python's own cost."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return len(array) * 8 + _dictionary_bytes(array)
    if pa.types.is_struct(kind):
        return sum(_array_bytes(child) for child in array.flatten()) + len(array) * 8
    if (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_map(kind)
        or pa.types.is_fixed_size_list(kind)
    ):
        values = pc.list_flatten(array) if not pa.types.is_map(kind) else array.items
        return _array_bytes(values) + len(array) * 8
    if pa.types.is_run_end_encoded(kind) or pa.types.is_union(kind):
        raise UnsupportedFormat(
            f"A column has the type {kind}.", hint="Store text, numbers, lists and structs as such."
        )
    return int(array.nbytes)


def _dictionary_bytes(array: pa.DictionaryArray) -> int:
    values = array.dictionary
    if not (
        pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_binary(values.type)
    ):
        return 8 * len(array)
    lengths = pc.cast(pc.binary_length(values), pa.int64())
    return int(pc.sum(pc.take(lengths, array.indices)).as_py() or 0)


def value_kinds(schema: pa.Schema) -> dict[str, frozenset[ValueKind]]:
    """Column -> the kind of values that its type holds."""
    return {str(field.name): _kinds_of_type(field.type) for field in schema}


def _kinds_of_type(kind: pa.DataType) -> frozenset[ValueKind]:
    """What values of a type are: of JSON, whatever JSON tells apart."""
    return _KINDS_OF_JSON if isinstance(kind, pa.JsonType) else frozenset({_kind_of_type(kind)})


_KINDS_OF_JSON: frozenset[ValueKind] = frozenset({"nothing", "truth", "number", "text", "list", "object"})


def _kind_of_type(kind: pa.DataType) -> ValueKind:
    if pa.types.is_dictionary(kind):
        return _kind_of_type(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    if pa.types.is_nested(kind):
        return "object" if pa.types.is_struct(kind) or pa.types.is_map(kind) else "list"
    return next((name for test, name in _KINDS_OF_TYPES if test(kind)), "other")


_KINDS_OF_TYPES: tuple[tuple[Callable[[pa.DataType], bool], ValueKind], ...] = (
    (pa.types.is_null, "nothing"),
    (pa.types.is_boolean, "truth"),
    (pa.types.is_integer, "number"),
    (pa.types.is_floating, "number"),
    (pa.types.is_decimal, "number"),
    (pa.types.is_temporal, "time"),
    (pa.types.is_binary, "bytes"),
    (pa.types.is_large_binary, "bytes"),
    (pa.types.is_fixed_size_binary, "bytes"),
)


def holds_images(schema: pa.Schema) -> bool:
    """Whether a column holds files as the `datasets` library writes them: `{bytes, path}`."""
    structs = (field.type for field in schema if pa.types.is_struct(field.type))
    return any({kind.field(place).name for place in range(kind.num_fields)} == {"bytes", "path"} for kind in structs)


def class_names(schema: pa.Schema) -> ClassNames:
    """Column -> names of its classes, from the feature description that the `datasets` library leaves in a schema."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    found = (
        {}
        if not isinstance(features, Mapping)
        else {column: _names_of(feature) for column, feature in features.items()}
    )
    return {column: names for column, names in found.items() if names}


def _names_of(feature: Any) -> tuple[str, ...]:
    of_list = feature.get("feature") if isinstance(feature, Mapping) else None
    feature = of_list if isinstance(of_list, Mapping) else feature  # a list of classes
    names = feature.get("names") if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel" else None
    return tuple(names) if isinstance(names, list) and are_label_names(names) else ()


def check_schema(columns: Sequence[str], limits: TableLimits) -> None:
    """Raise TooLarge for too many columns and UnreadableFile for a name used twice."""
    check_columns(columns, limits, "schema")
    if len(set(columns)) != len(columns):
        raise UnreadableFile("The schema names a column twice.", hint="Give every column its own name.")


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn what pyarrow raises on bad bytes into UnreadableFile or TooLarge."""
    try:
        yield
    except MemoryError as error:
        raise TooLarge(f"The {what} asks for more memory than there is.", hint="Write smaller row groups.") from error
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        raise UnreadableFile(f"The {what} cannot be read: {str(error)[:200]}.", hint="Write the file again.") from error
