"""Rows of two answers to one prompt, of which one was preferred: texts, or lists of messages."""

from collections.abc import Mapping
from typing import Any

from influence.errors import BrokenRow
from influence.rows.conversations.context import as_arguments, as_objects, is_empty, with_system
from influence.rows.conversations.messages import as_messages
from influence.rows.findings import Note
from influence.rows.label_forms.numbers import NUMBER
from influence.rows.values import are_messages, as_text, describe

Source = Mapping[str, Any]
_FORMS_HINT = (
    "Write prompt, chosen and rejected all as text or all as lists of messages. Where both answers hold the whole "
    'conversation, leave the prompt out: columns={"prompt": ""}.'
)


def read_preference(source: Source, columns: Mapping[str, str], *, filled: bool, note: Note) -> dict[str, Any]:
    """`prompt` (where there is one), `chosen`, `rejected`; tools and arguments of the template; a `margin`.

    Without a prompt of its own a pair's prompt is what both answers begin with. Raises BrokenRow without a row number.
    """
    cells = {role: _as_list(source.get(columns[role])) for role in ("prompt", "chosen", "rejected") if role in columns}
    lists = {role for role, value in cells.items() if isinstance(value, list | tuple)}
    if lists and lists != cells.keys():
        other = min(cells.keys() - lists)
        raise BrokenRow(
            f"column {columns[other]!r} holds {describe(cells[other])}, and {columns[min(lists)]!r} holds messages.",
            hint=_FORMS_HINT,
        )
    row = _talks(cells, columns, filled, note) if lists else _texts(cells, columns)
    _look_for_prompt(row, columns, note)
    if lists and "system" in columns:
        row["prompt"] = with_system(source.get(columns["system"]), columns, row["prompt"])
    if row["chosen"] == row["rejected"]:
        raise BrokenRow("both answers are the same.", hint="Drop rows in which neither answer is preferred.")
    return {**row, **_context(source, columns, filled, is_talk=bool(lists)), **_margin(source, columns)}


def _look_for_prompt(row: Mapping[str, Any], columns: Mapping[str, str], note: Note) -> None:
    """Note answers that both begin with the prompt once more. Raises BrokenRow where the prompt holds an answer."""
    prompt, *answers = (_without_system(row.get(role)) for role in ("prompt", "chosen", "rejected"))
    if "prompt" not in columns or not prompt:
        return
    if isinstance(prompt, list) and prompt in answers:
        raise BrokenRow(
            f"column {columns['prompt']!r} holds the whole of one of the two answers.",
            hint='Send columns={"prompt": "", "chosen": "...", "rejected": "..."}, with the columns of the answers: '
            "their prompt is then what both begin with.",
        )
    if all(answer[: len(prompt)] == prompt for answer in answers):
        note("prompt_in_answers", columns["prompt"])


def _without_system(said: Any) -> Any:
    """Messages but for those of the system, which an answer that repeats them may leave out; a text as it is."""
    return [message for message in said if message["role"] != "system"] if isinstance(said, list) else said


def _as_list(value: Any) -> Any:
    """One message that stands for a list of it."""
    return [value] if are_messages([value]) and not are_messages(value) else value


def _texts(cells: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    texts = {role: as_text(value, columns[role]) for role, value in cells.items()}
    if "prompt" in texts:
        return {role: text for role, text in texts.items() if text or role != "prompt"}
    both = zip(texts["chosen"], texts["rejected"], strict=False)
    alike = next((place for place, (one, other) in enumerate(both) if one != other), min(map(len, texts.values())))
    # As TRL does: the space before the word in which they part belongs to the answers.
    shared = texts["chosen"][:alike].removesuffix(" ")
    answers = {role: texts[role][len(shared) :] for role in ("chosen", "rejected")}
    return {"prompt": shared, **answers} if shared else answers


def _talks(cells: Mapping[str, Any], columns: Mapping[str, str], filled: bool, note: Note) -> dict[str, Any]:
    talks = {role: as_messages(value, columns[role], filled=filled, note=note) for role, value in cells.items()}
    if "prompt" in talks:
        return talks
    chosen, rejected = talks["chosen"], talks["rejected"]
    shared = next((place for place, pair in enumerate(zip(chosen, rejected, strict=False)) if pair[0] != pair[1]), None)
    if not shared:
        raise BrokenRow(
            "the two answers begin with different messages, or one goes on where the other ends: there is no prompt.",
            hint="Send the prompt as a column of its own.",
        )
    return {"prompt": chosen[:shared], "chosen": chosen[shared:], "rejected": rejected[shared:]}


def _context(source: Source, columns: Mapping[str, str], filled: bool, *, is_talk: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "tools" in columns:
        column = columns["tools"]
        if tools := as_objects(source.get(column), column, "tools", filled=filled):
            found["tools"] = tools
    if "chat_template_kwargs" in columns:
        column = columns["chat_template_kwargs"]
        if arguments := as_arguments(source.get(column), column, filled=filled):
            found["chat_template_kwargs"] = arguments
    is_system = "system" in columns and not is_empty(source.get(columns["system"]))
    if (found or is_system) and not is_talk:
        raise BrokenRow(
            f"column {columns[next(iter(found), 'system')]!r} is for chat templates, and this row is plain text.",
            hint="Send 'prompt', 'chosen' and 'rejected' as lists of messages with it among them, or put it into the "
            "text of 'prompt' as in training and leave the column out with an empty string.",
        )
    return found


def _margin(source: Source, columns: Mapping[str, str]) -> dict[str, float]:
    value = source.get(columns["margin"]) if "margin" in columns else None
    if is_empty(value):
        return {}
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        return {"margin": float(value)}
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e9:
        raise BrokenRow(
            f"column {columns['margin']!r} holds {describe(value)} where a margin is needed.",
            hint='A margin is a number; send columns with "margin": "" if training did not read it.',
        )
    return {"margin": float(value)}
