"""Label Studio's files: tasks with the given label, what a review decided, and the labelling configuration.

https://labelstud.io/guide/tasks (basic Label Studio JSON format) and https://labelstud.io/guide/export
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any
from xml.sax.saxutils import quoteattr

from influence.contracts.common import Json
from influence.contracts.curation.review import Decision
from influence.contracts.dataset import ROW_FORMS, Dataset

#: The choice that a reviewer takes to have a row removed.
REMOVE_CHOICE = "(remove this row)"
FROM_NAME, TO_NAME = "label", "text"


def label_config(dataset: Dataset) -> str:
    """The labelling interface: the text, and one choice per class that the rows have."""
    names = (dataset.label_names or tuple(map(str, dataset.statistics.get("labels", {})))) if _is_class(dataset) else ()
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in (*names, REMOVE_CHOICE))
    return (
        f'<View>\n  <Text name="{TO_NAME}" value="$text"/>\n  <Header value="Label as given: $given_label"/>\n'
        f'  <Choices name="{FROM_NAME}" toName="{TO_NAME}" choice="single" showInline="true">\n{choices}'
        "  </Choices>\n</View>\n"
    )


def stream_tasks(dataset: Dataset, rows: Iterable[tuple[int, Json, Decision | None]]) -> Iterator[bytes]:
    """Tasks as one JSON array, in pieces."""
    opening = b"["
    for row_index, row, decision in rows:
        yield opening + json.dumps(_task(dataset, row_index, row, decision), ensure_ascii=False).encode()
        opening = b",\n"
    yield b"]" if opening != b"[" else b"[]"


def _task(dataset: Dataset, row_index: int, row: Json, decision: Decision | None) -> Json:
    given = _spell(dataset, row.get("label"))
    data: Json = {"text": _text(dataset, row), "row_index": row_index, "row_id": str(row["id"]), "given_label": given}
    task: Json = {"id": row_index + 1, "data": data}
    choice = _choice(dataset, given if _is_class(dataset) else None, decision)
    if choice is not None:
        task["annotations"] = [{"result": [_result(choice)]}]
    return task


def _choice(dataset: Dataset, given: str | None, decision: Decision | None) -> str | None:
    if decision is None or decision.action == "later":
        return None
    if decision.action == "remove":
        return REMOVE_CHOICE
    return _spell(dataset, decision.label) if decision.action == "relabel" else given


def _result(choice: str) -> Json:
    return {"from_name": FROM_NAME, "to_name": TO_NAME, "type": "choices", "value": {"choices": [choice]}}


def _spell(dataset: Dataset, label: Any) -> str | None:
    if label is None:
        return None
    return dataset.label_names[label] if dataset.label_names and isinstance(label, int) else str(label)


def _is_class(dataset: Dataset) -> bool:
    return ROW_FORMS[dataset.kind].label == "class"


def _text(dataset: Dataset, row: Json) -> str:
    if "messages" not in row:
        words = [row[name] for name in ROW_FORMS[dataset.kind].words if row.get(name) is not None]
        return "\n\n".join(_joined(word) if isinstance(word, list) else str(word) for word in words)
    return _joined(row["messages"])


def _joined(words: list[Any]) -> str:
    """Words, or turns of a conversation."""
    if not any(isinstance(word, dict) for word in words):
        return " ".join(map(str, words))
    return "\n".join(f"{turn['role']}: {turn.get('content') or ''}" for turn in words)
