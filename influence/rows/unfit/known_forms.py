"""Forms of rows that people have for other losses than those that are scored, and forms under names of their own."""

from collections.abc import Mapping

from influence.rows.roles import PAIRS, SYNONYMS, names_choices
from influence.rows.unfit.suggestion import Suggestion, Types, may_hold

_SEVERAL = frozenset({"choices", "options", "endings", "candidates", "mc1_targets", "mc2_targets", "distractors"})
_ASKED = ("prompt", "question", "query", "instruction")
#: Two texts that are read as one, beside those of which the names alone say it.
_PAIRED = (*PAIRS, ("claim", "evidence"), ("argument", "topic"), ("title", "abstract"), ("headline", "body"))
#: A text, and what is written of it.
_WRITTEN = (
    ("article", "highlights"),
    ("document", "summary"),
    ("text", "summary"),
    ("dialogue", "summary"),
    ("input_text", "target_text"),
    ("inputs", "targets"),
)


def find_choices(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    """Questions with answers to choose from."""
    named = names_choices(keys)
    # Letters alone may be anything.
    named = named if keys.keys() & {*_ASKED, "problem", "stem"} else {key for key in named if len(key) > 1}
    if not (keys.keys() & _SEVERAL or len(named) > 1):
        return None
    return Suggestion(
        "are questions with answers to choose from",
        "Heads for multiple choice are not scored. Of a language model send the question with its choices as 'prompt' "
        "and the right answer as 'completion', both as training wrote them.",
    )


def find_answers_in_context(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    """Questions whose answers are a part of a text."""
    if not keys.keys() >= {"question", "context", "answers"}:
        return None
    return Suggestion(
        "are questions that a part of a text answers",
        "Heads that find the part are not scored. Of a model that writes the answer send context and question as "
        "'prompt' and row['answers']['text'][0] as 'completion', both as training wrote them.",
    )


def find_likeness(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    """Texts beside like and unlike ones."""
    if not (keys.keys() & {"positive", "positives", "pos"} and keys.keys() & {"anchor", "query", "sentence", "text"}):
        return None
    return Suggestion(
        "are texts with others that are like and unlike them",
        "Embedding models learn from such rows by comparing them with each other: no row has a loss of its own, and "
        'they are not scored. Pairs with a number are: columns={"text": "<column>", "text_pair": "<column>", "score": '
        '"<column>"}.',
    )


def find_segments(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    """Axolotl's texts in segments, each with or without loss."""
    if "segments" not in keys or not may_hold(keys["segments"], types, {"list"}):
        return None
    return Suggestion(
        "are texts in segments, each with or without loss",
        "Axolotl encodes each segment by itself, with no token but its own, which is not scored as it stands. Where "
        "the last segments alone have loss, send the texts of those before as 'prompt' and theirs as 'completion', "
        "without the tokens that a tokenizer writes around a text; of a conversation send 'messages'.",
    )


def find_preferences(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    """A chosen and a rejected answer under longer names."""
    chosen, rejected = (
        [column for key, column in keys.items() if word in key.split("_") and may_hold(column, types, {"text", "list"})]
        for word in ("chosen", "rejected")
    )
    asked = [keys[key] for key in _ASKED if key in keys]
    if len(chosen) != 1 or len(rejected) != 1 or len(asked) > 1:
        return None
    columns = {"chosen": chosen[0], "rejected": rejected[0], **({"prompt": asked[0]} if asked else {})}
    return Suggestion("hold two answers, of which one was preferred", "", columns)


def find_labelled_pairs(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    """Two texts with the class of both."""
    pair = next((pair for pair in _PAIRED if keys.keys() >= set(pair)), None)
    labels = [keys[key] for key in SYNONYMS["label"] if key in keys]
    labels = labels or [column for key, column in keys.items() if "label" in key.split("_")]
    labels = [column for column in labels if may_hold(column, types, {"text", "number", "truth"})]
    if pair is None or len(labels) != 1:
        return None
    return Suggestion(
        "may be pairs of texts with a class",
        "Name the texts in the order in which the model read them.",
        {"text": keys[pair[0]], "text_pair": keys[pair[1]], "label": labels[0]},
    )


def find_written(keys: Mapping[str, str], types: Types) -> Suggestion | None:
    """Texts with what was to be written of them."""
    pair = next((pair for pair in _WRITTEN if keys.keys() >= set(pair)), None)
    if pair is None or "prefix" in keys or not all(may_hold(keys[key], types, {"text"}) for key in pair):
        return None
    return Suggestion(
        "may be texts with what a model was to write of them",
        "Where training wrote words around the text, put them into it before.",
        {"prompt": keys[pair[0]], "completion": keys[pair[1]]},
    )
