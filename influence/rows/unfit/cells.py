"""Cells that may have carried loss or context and that rows of a kind have no place for: refused, never passed over."""

from collections.abc import Mapping
from typing import Any

from influence.contracts.dataset import PREFERENCE, ROW_FORMS, TEXT, RowKind
from influence.contracts.tasks import TASKS
from influence.errors import ColumnsAmbiguous
from influence.rows.conversations.context import is_empty
from influence.rows.roles import (
    CHOICES,
    LOSS_WEIGHTS,
    MEDIA,
    PREFERENCES,
    SECOND_TEXTS,
    SYNONYMS,
    key_of,
    name_to_leave_out,
    names_choices,
)
from influence.rows.values import describe

_IMAGE = "image"
#: Names of what models learn to write when they have read a text.
_WRITTEN = frozenset({"summary", "highlights", *SYNONYMS["completion"]})


def says_nothing(column: str, value: Any) -> bool:
    """Whether a cell of a column that no row can hold changes nothing: it is empty, or leaves the loss as it is."""
    return is_empty(value) or (key_of(column) in LOSS_WEIGHTS and value in (1, "1", "1.0"))


def refuse_unreadable(column: str, value: Any, kind: RowKind, columns: Mapping[str, str]) -> None:
    """Raise ColumnsAmbiguous for a value that may have carried loss or context and that no row of this kind holds."""
    what, remedy = _explain(column, value, kind, columns)
    left_out = name_to_leave_out(column)
    raise ColumnsAmbiguous(
        f"column {column!r} holds {describe(value)}: {what}.",
        hint=f'If training did not read it, send columns with "{left_out}": "": it then stays with the rows as '
        f"metadata. {remedy}",
        extra={"column": column, "columns": dict(columns)},
    )


def _explain(column: str, value: Any, kind: RowKind, columns: Mapping[str, str]) -> tuple[str, str]:
    """What the column may have done in training, and what to do where it did."""
    key = key_of(column)
    if key in LOSS_WEIGHTS:
        turns = "" if ROW_FORMS[kind].label is not None else "; turns of 'messages' may say \"weight\": 0"
        return (
            "training may have weighed or masked the row's loss by it",
            f"A loss that was weighed or masked so is not scored{turns}.",
        )
    if key == "input_ids":
        return (
            "training may have read these tokens in the place of the text",
            "If it did, send the text that they were made of.",
        )
    if key in ("chosen", "rejected"):
        return "it may be one of two answers, of which one was preferred", _read_as_pairs(value, columns)
    if key in PREFERENCES:
        texts = [columns[role][:80] for role in ("prompt", "completion") if role in columns]
        pair = (
            f'{{"text": "{texts[0]}", "text_pair": "{texts[1]}", "label": "{column[:80]}"}}' if len(texts) > 1 else ""
        )
        judge = f" A classifier that reads both and gives this reads columns={pair}." if pair else ""
        tasks = " or ".join(repr(task.name) for task in TASKS.values() if PREFERENCE.name in task.rows)
        return (
            "it may say which answers were preferred",
            "Losses on single answers that are good or bad (KTO) are not scored; pairs of a good and a bad answer are, "
            f"as 'prompt', 'chosen' and 'rejected', by a checkpoint of task {tasks}.{judge}",
        )
    if key == "role":
        return (
            "the rows may be the turns of conversations, one by one",
            'If they are, send one row per conversation: {"messages": [{"role": "user", "content": "..."}, ...]}.',
        )
    what = f"training may have read it, and rows of kind '{kind}' have no place for it"
    if key in CHOICES or names_choices({key, "a", "b"}) >= {key}:
        return what, "If it did, put the choices into the prompt as in training, and send the right one as the answer."
    if key in MEDIA:
        return what, _read_as_media(column, columns)
    if kind != TEXT.name and key in ("highlights", "summary") and "text" in columns:
        pair = f'{{"prompt": "{columns["text"][:80]}", "completion": "{column[:80]}"}}'
        return what, f"A model that wrote it reads columns={pair}."
    if ROW_FORMS[kind].label is not None:
        pair = f'columns={{"text": "{column[:80]}", "text_pair": "{columns["text"][:80]}"}}'
        named = f"name both in the order in which the model read them, for instance {pair} and the label, or "
        return what, f"If it did, {named if key in SECOND_TEXTS else ''}put it into the text as in training."
    if kind == PREFERENCE.name:
        return what, (
            "If it did, send 'prompt', 'chosen' and 'rejected' as lists of messages with it among them, or put it into "
            "the text of 'prompt' as in training."
        )
    if kind == TEXT.name and key in _WRITTEN:
        pair = f'columns={{"prompt": "{columns["text"][:80]}", "completion": "{column[:80]}"}}'
        return (
            what,
            f"If it was what the model learnt to write, send {pair}; what training wrote before the first, too.",
        )
    return what, (
        "If it did, send the rows as 'messages' with 'system' and 'tools' beside them, or put it into the text as in "
        "training."
    )


def _read_as_media(column: str, columns: Mapping[str, str]) -> str:
    """How models of images read a picture that stands beside a text, a label or both, and that none reads all."""
    found = [
        f'columns={{"image": "{column[:80]}", "{role}": "{columns[role][:80]}"}}'
        for role in ("label", "text")
        if role in columns
    ]
    told = f"A model of images reads {' or '.join(found)}. " if found and key_of(column) == _IMAGE else ""
    return f"{told}If it read both, the row cannot be scored: pictures, sound and films are not read beside text."


def _read_as_pairs(answer: Any, columns: Mapping[str, str]) -> str:
    """How pairs are read: a conversation beside two answers is their prompt, unless an answer holds the whole of it."""
    talk = columns.get("messages") or columns.get("conversations")
    is_whole = isinstance(answer, list | tuple) and len(answer) > 1
    prompt = f'"prompt": "{talk[:80]}", ' if talk and not is_whole else ""
    named = f'Pairs are read with columns={{{prompt}"chosen": "chosen", "rejected": "rejected"}}'
    if is_whole:
        return f"{named}: their prompt is then what both begin with."
    return f'{named}, and with "prompt" where that is written as they are: all text, or all lists of messages.'
