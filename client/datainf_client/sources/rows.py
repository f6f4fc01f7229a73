"""Rows as people have them: a data frame, a data set of the hub's library, dictionaries, or a file."""

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, time
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from datainf_client.http.errors import ServiceError

if TYPE_CHECKING:
    import datasets
    import pandas as pd

Json = dict[str, Any]
Rows: TypeAlias = "pd.DataFrame | datasets.Dataset | Iterable[Mapping[str, Any]] | str | PathLike[str]"
_BATCH_ROWS = 10_000
_JSONL_NAME = "rows.jsonl"
_KINDS_HINT = "Give a DataFrame, a datasets.Dataset, a list of dictionaries, or a path."
#: Names of what pandas puts where a cell is missing, beside NaN.
_MISSING = ("NAType", "NaTType")


def is_frame(rows: object) -> bool:
    """Whether it is a pandas frame, without loading pandas."""
    return type(rows).__module__.partition(".")[0] == "pandas" and hasattr(rows, "to_json")


def is_hub_dataset(rows: object) -> bool:
    """Whether it is a `datasets.Dataset`, without loading that library."""
    return type(rows).__module__.partition(".")[0] == "datasets" and hasattr(rows, "to_json")


@contextmanager
def open_rows(rows: Any) -> Iterator[tuple[str, IO[bytes]]]:
    """A name and a stream of bytes. A file is sent as it lies; anything else goes through a temporary file of JSON
    lines. Raises ServiceError for what cannot be read."""
    if isinstance(rows, str | PathLike):
        path = Path(rows)
        with open_file(path, "data file") as stream:
            yield path.name, stream
        return
    with tempfile.TemporaryFile(prefix="datainf-rows-") as file:
        for number, row in enumerate(iterate_rows(rows)):
            file.write(_line(row, number))
        file.seek(0)
        yield _JSONL_NAME, file


def iterate_rows(rows: Any) -> Iterator[Json]:
    """Rows of any kind but files as dictionaries. What a frame lacks is null."""
    if isinstance(rows, Mapping):
        yield dict(rows)
    elif is_frame(rows):
        for start in range(0, len(rows), _BATCH_ROWS):
            for row in rows.iloc[start : start + _BATCH_ROWS].to_dict("records"):
                yield {str(name): _cell(value) for name, value in row.items()}
    else:
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise _refuse(f"Row {number} is a {type(row).__name__} and no mapping.", _KINDS_HINT)
            yield dict(row)


def _cell(value: Any) -> Any:
    """A cell of a frame: arrays as lists, and nothing where it is missing."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [_cell(item) for item in value]
    is_missing = type(value).__name__ in _MISSING or (isinstance(value, float) and math.isnan(value))
    return None if is_missing else value


def _line(row: Json, number: int) -> bytes:
    try:
        return json.dumps(row, allow_nan=False, default=_spell).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise _refuse(f"Row {number} cannot be written as JSON: {error}.", "Use plain JSON values.") from error


def _spell(value: Any) -> Any:
    """Times by ISO 8601, numbers of other libraries as plain ones."""
    if isinstance(value, date | time):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def find_label_names(rows: Any, columns: Mapping[str, str] | None) -> list[str] | None:
    """Names of classes where the label of a `datasets.Dataset` has them."""
    if not is_hub_dataset(rows):
        return None
    feature = rows.features.get((columns or {}).get("label", "label"))
    return list(feature.names) if hasattr(feature, "names") else None


def _refuse(detail: str, hint: str) -> ServiceError:
    return ServiceError(detail, code="invalid_request", hint=hint)


@contextmanager
def open_file(path: Path, what: str) -> Iterator[IO[bytes]]:
    """A file to read; raises ServiceError."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise _refuse(f"The {what} {path} cannot be read: {error.strerror}.", "Check the path.") from error
    with stream:
        yield stream
