"""Tables whose columns make no row of any kind: what they are, and what to send instead."""

from collections.abc import Mapping, Sequence

from influence.rows.roles import PAIRS, SYNONYMS, key_of
from influence.rows.unfit.known_forms import (
    find_answers_in_context,
    find_choices,
    find_labelled_pairs,
    find_likeness,
    find_preferences,
    find_segments,
    find_written,
)
from influence.rows.unfit.suggestion import Suggestion, Types, holds, may_hold
from influence.rows.values import ValueKind

_SENTENCE_WORDS = 5
_SCORES = ("score", "similarity_score", "similarity")
_CLASSES: frozenset[ValueKind] = frozenset({"text", "number", "truth"})
_ANSWERS = ("answer_", "completion_", "output_", "response_")
_FIGURES: frozenset[ValueKind] = frozenset({"number", "truth"})
_NO_TEXT = "do not say which one is the text"


def suggest_columns(seen: Sequence[str], types: Types) -> Suggestion:
    """What a table is whose columns have no reading. A mapping is suggested only where following it is right."""
    keys = {key_of(column): column for column in reversed(seen)}
    for find in _FINDERS:
        found = find(keys, types)
        if found is not None:
            return found
    shown = '{"text": "<column>", "label": "<column>"}'
    return Suggestion(
        _NO_TEXT,
        f'Name the columns by their roles, such as columns={shown}, columns={{"prompt": "<column>", "completion": '
        '"<column>"} or columns={"messages": "<column>"}.',
    )


def _token_ids(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    if "input_ids" not in keys:
        return None
    return Suggestion(
        "are token ids, the output of a tokenizer",
        "Send the rows as they were before they were tokenised: the texts, prompts and completions, or messages.",
    )


def _translations(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    if "translation" not in keys:
        return None
    return Suggestion(
        "hold a text in several languages",
        "Send the text that the model reads as 'prompt' and the one that it writes as 'completion', as in training.",
    )


def _prompts_alone(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    if "completions" in keys and "prompt" in keys:
        return Suggestion(
            "are prompts with several completions each",
            "Send one row per completion, with the columns 'prompt' and 'completion'.",
        )
    if "prompt" in keys and sum(key.startswith(_ANSWERS) for key in keys) > 1:
        return Suggestion(
            "are prompts with several answers each",
            "Send the answer that was preferred as 'chosen' and the other as 'rejected'; or one row for each answer "
            "that was trained on, as 'completion'.",
        )
    if "prompt" not in keys or keys.keys() & {"completion", "response", "answer", "output", "target"}:
        return None
    return Suggestion(
        "are prompts without completions, so that no token carries loss",
        "Send the answers that the model was trained on beside the prompts, as 'completion'.",
    )


def _pictures(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    if keys.keys() & {*SYNONYMS["image"], "images"}:
        return Suggestion(
            "hold pictures, and neither one class nor one text for each",
            'Name the columns by their roles: columns={"image": "<column>", "label": "<column>"} for classes, '
            'columns={"image": "<column>", "text": "<column>"} for captions. A row has one picture.',
        )
    if not keys.keys() & {"pixel_values", "audio", "video"}:
        return None
    return Suggestion(
        "hold pictures as numbers, sound or films", "Rows of text and of image files are read: send those."
    )


def _inside(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    """Rows one floor down: each is an object under the same name."""
    keys = {key: column for key, column in keys.items() if key != "truncated_cells"}
    objects = [column for column in keys.values() if types.get(column, frozenset()) - {"nothing"} == {"object"}]
    if len(objects) != 1 or any(may_hold(column, types, {"text", "list"}) for column in keys.values()):
        return None
    name = objects[0][:80]
    if keys.keys() & {*SYNONYMS["label"]}:
        return Suggestion(
            f"hold a part of each row inside an object, {name!r}",
            f"Send what is inside beside the rest: [{{**row.pop({name!r}), **row}} for row in rows].",
        )
    return Suggestion(
        f"hold each row inside an object, {name!r}",
        f"Send what is inside as the rows: [row[{name!r}] for row in rows].",
    )


def _no_names(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    numbers = [column for column in keys.values() if column.lstrip("-").replace(".", "", 1).isdigit()]
    sentences = [column for column in keys.values() if len(column.split()) >= _SENTENCE_WORDS]
    if not numbers and not sentences:
        return None
    return Suggestion(
        "look like values, not like names",
        "Give every column a name; in a CSV file the first line holds them, such as 'text,label'.",
    )


def _pairs(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    """Two texts, and one column beside them that says something of the pair."""
    pair = next((pair for pair in PAIRS if keys.keys() >= set(pair)), None)
    if pair is None or pair[0] == "question":
        return None
    scores = [keys[key] for key in _SCORES if key in keys]
    labels = [column for key, column in keys.items() if key.startswith("is_") and may_hold(column, types, _CLASSES)]
    columns = {"text": keys[pair[0]], "text_pair": keys[pair[1]]}
    columns |= {"score": scores[0]} if len(scores) == 1 else {"label": labels[0]} if len(labels) == 1 else {}
    if len(columns) == len(pair):
        return None
    return Suggestion("are pairs of texts, and do not say which column is the label", "", columns)


def _by_words(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    """Columns with 'text' and 'label' as words in their names, whose values are of the right kind."""
    texts = [column for key, column in keys.items() if "text" in key.split("_") and may_hold(column, types, {"text"})]
    labels = [column for key, column in keys.items() if "label" in key.split("_") and may_hold(column, types, _CLASSES)]
    texts = [column for column in texts if column not in labels]
    # Beside numbers or truth values, which may be labels, a lone text is not all of a row.
    figures = [column for key, column in keys.items() if key not in SYNONYMS["id"] and holds(column, types, _FIGURES)]
    if len(texts) != 1 or len(labels) > 1 or (figures and not labels):
        return None
    columns = {"text": texts[0], "label": labels[0]} if labels else {"text": texts[0]}
    return Suggestion(_NO_TEXT, "", columns)


#: What a table may be, in the order in which it is asked.
_FINDERS = (
    _token_ids,
    _translations,
    find_segments,
    find_choices,
    find_answers_in_context,
    find_preferences,
    _prompts_alone,
    _pictures,
    _inside,
    _no_names,
    _pairs,
    find_labelled_pairs,
    find_likeness,
    find_written,
    _by_words,
)
