"""Argilla's folder: what `argilla.Dataset.from_disk` reads, as a zip, and its records taken back.

https://docs.argilla.io/latest/how_to_guides/import_export/ (`to_disk`): `.argilla/dataset.json` and `settings.json`,
and `records.json`, a list of `{id, fields, metadata, suggestions, responses, vectors}`.
"""

import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from app.datasets.rows.cells import metadata_cells
from app.datasets.rows.forms import ChosenRow
from app.reviews.label_studio import READ_TEXT, choice_of, choices_of, spell_label, text_of
from influence.contracts.common import Json
from influence.contracts.curation.review import Decision, Review
from influence.contracts.dataset import Dataset

QUESTION = "label"
#: What a suggestion is said to come from.
_AGENT = "review"
_READ_BYTES = 1 << 18
#: An empty text is refused where a record needs one.
_NO_LABEL = "(none)"


def stream_folder(review: Review, dataset: Dataset, rows: Iterable[ChosenRow]) -> Iterator[bytes]:
    """The zip in pieces, made in a file on disk."""
    with tempfile.TemporaryFile(prefix="datainf-argilla-") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(".argilla/dataset.json", json.dumps({"name": review.id}))
            archive.writestr(".argilla/settings.json", json.dumps(_settings(dataset)))
            with archive.open("records.json", "w", force_zip64=True) as records:
                opening = "["
                for row_index, row, decision in rows:
                    records.write((opening + json.dumps(_record(dataset, row_index, row, decision))).encode())
                    opening = ",\n"
                records.write(b"]" if opening != "[" else b"[]")
        file.seek(0)
        while piece := file.read(_READ_BYTES):
            yield piece


def read_record(record: Json) -> Json:
    """An entry of `records.json` as the entries of other tools are read; without a submitted response it says nothing.

    Raises KeyError, TypeError and AttributeError for what is no such record.
    """
    given = (record.get("responses") or {}).get(QUESTION) or []
    values = [one["value"] for one in given if one.get("status") in (None, "submitted")]
    row_index = (record.get("metadata") or {}).get("row_index")
    named = {
        "row_index": record["id"] if row_index is None else row_index,
        READ_TEXT: (record.get("fields") or {}).get("text"),
    }
    return {**named, "choice": values[-1] if values else None, "choices": 1 if values else 0}


def _settings(dataset: Dataset) -> Json:
    options = [{"value": name, "text": name, "description": None} for name in choices_of(dataset)]
    return {
        "guidelines": "Choose the right label, or have the row removed.",
        "allow_extra_metadata": True,
        "fields": [_field("text", "Text"), _field("given_label", "Label as given")],
        "questions": [
            {
                "name": QUESTION,
                "title": "Label",
                "required": True,
                "settings": {"type": "label_selection", "options": options},
            }
        ],
        "metadata": [],
        "vectors": [],
    }


def _field(name: str, title: str) -> Json:
    return {"name": name, "title": title, "required": True, "settings": {"type": "text", "use_markdown": False}}


def _record(dataset: Dataset, row_index: int, row: Json, decision: Decision | None) -> Json:
    given = spell_label(dataset, row.get("label"))
    choice = choice_of(dataset, given, decision)
    held = {name: value for name, value in metadata_cells(dataset, row.get("metadata")).items() if value is not None}
    suggestions: dict[str, Any] = {} if choice is None else {QUESTION: {"value": choice, "agent": _AGENT}}
    return {
        "id": str(row_index),
        "fields": {"text": text_of(dataset, row), "given_label": given or _NO_LABEL},
        "metadata": {**held, "row_index": row_index, "row_id": str(row["id"])},
        "suggestions": suggestions,
        "responses": {},
        "vectors": {},
    }
