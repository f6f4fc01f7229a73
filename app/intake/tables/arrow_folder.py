"""The Arrow folders of `datasets.save_to_disk`, read by record batches."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from app.intake.tables.expansion import (
    check_schema,
    class_names,
    expand,
    holds_images,
    refusing,
    value_kinds,
)
from app.intake.tables.limits import Source, TableLimits, refuse_size
from influence.errors import InvalidRequest, UnreadableFile, UnsupportedFormat

_METADATA_BYTES = 64 << 20


class ArrowFolder:
    """A folder that `Dataset.save_to_disk` wrote: Arrow stream files in the order that state.json gives."""

    def __init__(self, folder: Path, limits: TableLimits, split: str | None = None) -> None:
        self._files = _arrow_files(_split_folder(folder, split))
        if (size := sum(file.stat().st_size for file in self._files)) > limits.max_bytes:
            refuse_size(f"{size} bytes", limits)
        schemas = [_read_schema(file) for file in self._files]
        schema = schemas[0]
        if any(other.names != schema.names for other in schemas):
            raise UnreadableFile(
                "The Arrow files of the folder do not have the same columns.",
                hint="Save the data set again with save_to_disk.",
            )
        self.columns = [str(name) for name in schema.names]
        self.types = value_kinds(schema)
        self.class_names = class_names(schema)
        self._limits = limits.with_images() if holds_images(schema) else limits
        check_schema(self.columns, limits)

    def rows(self, columns: Sequence[str]) -> Iterator[Source]:
        """Rows with just these columns."""
        with refusing("Arrow file"):
            yield from expand(self._batches(list(columns)), self._limits)

    def _batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        for path in self._files:
            with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as reader:
                for batch in reader:
                    kept = batch.select(columns)
                    # Offsets in a file are just numbers until they are checked: a wrong one reads foreign memory.
                    kept.validate(full=True)
                    yield kept


def _read_schema(path: Path) -> pa.Schema:
    with refusing("Arrow file"), pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as reader:
        return reader.schema


def _split_folder(folder: Path, split: str | None) -> Path:
    """The folder of one split; a `DatasetDict` has several."""
    listing = folder / "dataset_dict.json"
    if not listing.is_file():
        _refuse_other_split(folder, split)
        return folder
    splits = _read_json(listing).get("splits")
    names = [name for name in splits if isinstance(name, str)] if isinstance(splits, list) else []
    chosen = split or (names[0] if len(names) == 1 else None)
    if chosen not in names or chosen is None:
        raise InvalidRequest(
            f"The folder holds the splits {', '.join(names[:20])}; one must be named.",
            hint='Send "split" with one of them.',
            extra={"splits": names[:100]},
        )
    return _inside(folder, chosen)


def _refuse_other_split(folder: Path, split: str | None) -> None:
    """Raise InvalidRequest where a folder of one split is not the one that is asked for, or does not say which it is.

    A folder in a `DatasetDict` is called after its split.
    """
    state = folder / "state.json"
    own = _read_json(state).get("_split") if state.is_file() else None
    if split is not None and split not in (own, folder.name):
        raise InvalidRequest(
            f"The folder holds one split, {str(own)[:80]!r}; the request asks for {split[:80]!r}.",
            hint="Leave 'split' out to take its rows, or name the folder of that split.",
            extra={"splits": [own] if isinstance(own, str) else []},
        )


def _arrow_files(folder: Path) -> list[Path]:
    if not (folder / "state.json").is_file():
        raise UnsupportedFormat(
            "The folder is no Arrow data set.", hint="Name a folder written by Dataset.save_to_disk, or a single file."
        )
    state = _read_json(folder / "state.json")
    if state.get("_indices_data_files"):
        raise UnsupportedFormat(
            "The data set is a selection of another.", hint="Call flatten_indices() before save_to_disk."
        )
    entries = state.get("_data_files")
    names = (
        [entry.get("filename") for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []
    )
    if not names:
        raise UnreadableFile("state.json lists no data files.", hint="Save the data set again with save_to_disk.")
    return [_inside(folder, name) for name in names]


def _inside(folder: Path, name: Any) -> Path:
    """A plain name inside `folder`, links that lead out of it refused."""
    plain = isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")
    path = folder / name if plain else folder
    if not plain or path.resolve().parent != folder.resolve() or not path.exists():
        raise UnreadableFile(
            f"The folder has no file {str(name)[:80]!r} of its own.", hint="Save the data set again with save_to_disk."
        )
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes()) if path.stat().st_size <= _METADATA_BYTES else None
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path.name} is no JSON.", hint="Save the data set again with save_to_disk.") from error
    if not isinstance(value, dict):
        raise UnreadableFile(f"{path.name} holds no object.", hint="Save the data set again with save_to_disk.")
    return value
