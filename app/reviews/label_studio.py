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
#: Under which an entry that comes back has the row's text as it went out.
READ_TEXT = "text as shown"


def label_config(dataset: Dataset) -> str:
    """The labelling interface: the text, and one choice per class that the rows have."""
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in choices_of(dataset))
    return (
        f'<View>\n  <Text name="{TO_NAME}" value="$text"/>\n  <Header value="Label as given: $given_label"/>\n'
        f'  <Choices name="{FROM_NAME}" toName="{TO_NAME}" choice="single" showInline="true">\n{choices}'
        "  </Choices>\n</View>\n"
    )


def choices_of(dataset: Dataset) -> tuple[str, ...]:
    """What a reviewer can choose: a class that the rows have, or that the row goes."""
    names = (dataset.label_names or tuple(map(str, dataset.statistics.get("labels", {})))) if _is_class(dataset) else ()
    return (*names, REMOVE_CHOICE)


def stream_tasks(dataset: Dataset, rows: Iterable[tuple[int, Json, Decision | None]]) -> Iterator[bytes]:
    """Tasks as one JSON array, in pieces."""
    opening = b"["
    for row_index, row, decision in rows:
        yield opening + json.dumps(_task(dataset, row_index, row, decision), ensure_ascii=False).encode()
        opening = b",\n"
    yield b"]" if opening != b"[" else b"[]"


def _task(dataset: Dataset, row_index: int, row: Json, decision: Decision | None) -> Json:
    given = spell_label(dataset, row.get("label"))
    data: Json = {"text": text_of(dataset, row), "row_index": row_index, "row_id": str(row["id"]), "given_label": given}
    task: Json = {"id": row_index + 1, "data": data}
    choice = choice_of(dataset, given, decision)
    if choice is not None:
        task["annotations"] = [{"result": [_result(choice)]}]
    return task


def choice_of(dataset: Dataset, given: str | None, decision: Decision | None) -> str | None:
    """What a decision chose; None where there is none yet."""
    if decision is None or decision.action == "later":
        return None
    if decision.action == "remove":
        return REMOVE_CHOICE
    if decision.action == "relabel":
        return spell_label(dataset, decision.label)
    return given if _is_class(dataset) else None


def _result(choice: str) -> Json:
    return {"from_name": FROM_NAME, "to_name": TO_NAME, "type": "choices", "value": {"choices": [choice]}}


def spell_label(dataset: Dataset, label: Any) -> str | None:
    """A label as people read it."""
    if label is None:
        return None
    return dataset.label_names[label] if dataset.label_names and isinstance(label, int) else str(label)


def _is_class(dataset: Dataset) -> bool:
    return ROW_FORMS[dataset.kind].label == "class"


def text_of(dataset: Dataset, row: Json) -> str:
    """What people read in a row."""
    if "messages" not in row:
        words = [row[name] for name in ROW_FORMS[dataset.kind].words if row.get(name) is not None]
        return "\n\n".join(_joined(word) if isinstance(word, list) else str(word) for word in words)
    return _joined(row["messages"])


def _joined(words: list[Any]) -> str:
    """Words, or turns of a conversation."""
    if not any(isinstance(word, dict) for word in words):
        return " ".join(map(str, words))
    return "\n".join(f"{turn['role']}: {turn.get('content') or ''}" for turn in words)
