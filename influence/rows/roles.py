"""Roles that a column can play, the names they go by, and the sets of roles that make a row."""

import re
from collections.abc import Iterable

from influence.contracts.dataset import ROW_FORMS, RowKind

#: Role -> the names it goes by, the role's own name first. Compared in lower case with `_` for space, dot and dash.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "review", "content", "document", "utterance", "body", "tweet", "message"),
    "label": ("label", "labels", "label_id", "intent", "category", "class", "target", "sentiment", "stance", "y"),
    "id": ("id", "uid", "row_id", "example_id", "guid", "uuid", "idx"),
    "prompt": ("prompt", "question", "query", "input", "source"),
    "completion": ("completion", "response", "answer", "output", "target"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "margin": ("margin",),
    "messages": ("messages",),
    "conversations": ("conversations", "conversation", "dialog", "dialogue"),
    "instruction": ("instruction",),
    "input": ("input", "context"),
    "output": ("output", "response", "answer", "completion"),
    "image": ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp"),
    "tokens": ("tokens", "words"),
    "tags": ("tags", "ner_tags", "ner", "pos_tags", "pos", "chunk_tags", "labels"),
}
PAIRS = (
    ("text", "text_pair"),
    ("text1", "text2"),
    ("text_1", "text_2"),
    ("text_a", "text_b"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "answer"),
    ("question", "context"),
    ("question", "passage"),
    ("query", "document"),
    ("query", "passage"),
)
#: What a chat template reads beside the messages: found by these names, left out by an empty string.
CONTEXT: dict[str, tuple[str, ...]] = {
    "system": ("system", "system_prompt", "system_message", "system_instruction", "system_instructions"),
    "tools": ("tools",),
    "documents": ("documents",),
    "chat_template_kwargs": ("chat_template_kwargs",),
}
#: Names of a label's column that speak of several.
PLURAL_LABELS = frozenset({"categories", "classes", "emotions", "genres", "intents", "labels", "tags", "topics"})
#: Columns that may have weighed or masked the loss of a row that falls on text.
LOSS_WEIGHTS = frozenset(
    {
        "assistant_mask",
        "assistant_masks",
        "class_weight",
        "class_weights",
        "completion_mask",
        "example_weight",
        "importance",
        "importance_weight",
        "instance_weight",
        "label_mask",
        "label_weight",
        "loss_mask",
        "loss_masks",
        "loss_scale",
        "loss_weight",
        "loss_weights",
        "mask",
        "message_weights",
        "row_weight",
        "sample_weight",
        "sample_weights",
        "token_weight",
        "token_weights",
        "trainable",
        "weight",
        "weights",
    }
)
#: Columns that say which answers are good ones: what trainers of preferences read.
PREFERENCES = frozenset(
    {
        "chosen",
        "correct",
        "desirable",
        "is_correct",
        "is_desirable",
        "kto_label",
        "kto_tag",
        "label",
        "labels",
        "negative_messages",
        "positive_messages",
        "rejected",
        "rejected_message",
        "rejected_messages",
        "rejected_response",
        "response_rejected",
    }
)
MEDIA = frozenset({"audio", "audios", "image", "images", "video", "videos"})
#: Words of names of columns in which an answer was thought about: what was written there was often read, or learnt.
_OF_THOUGHT = frozenset(
    {"cot", "rationale", "reasoning", "reflection", "scratchpad", "thinking", "thought", "thoughts"}
)
#: Words of names of columns that a prompt may have been written with, or an answer with: a plain prompt does not say.
_BESIDE_A_PROMPT = frozenset(
    {
        *(
            "article",
            "background",
            "context",
            "contexts",
            "conversation",
            "dialog",
            "dialogue",
            "evidence",
            "explanation",
        ),
        *("fact", "facts", "history", "justification", "knowledge", "paragraph", "paragraphs", "passage", "passages"),
        *("past", "persona", "personas", "previous", "retrieved", "schema", "shot", "shots", "solution", "solutions"),
    }
)
#: Words that make such a name one of something else: `context_length`, `passage_id`.
_ABOUT = frozenset(
    {"category", "count", "date", "id", "ids", "index", "length", "model", "name", "score", "source", "title", "type"}
    | {"url", "version"}
)
#: Where a word begins in `sampleWeight`; not in `CoT`.
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")
CHOICES = frozenset({"candidates", "choices", "endings", "options"})
#: A column for each choice: `option_a`, `ending0`, `choice1`, `opa`, `A`.
_ONE_CHOICE = re.compile(r"(?:(?:answer_)?option|choice|ending|sol|distractor|op)_?(?:[a-e]|[0-9])|[a-e]")
#: Columns that may have carried loss or context and that no row here can hold. Where they are not empty, a guess that
#: passes over them is refused; the caller leaves them out by name and an empty string.
UNREADABLE = LOSS_WEIGHTS.union(
    PREFERENCES - {"label", "labels"},
    MEDIA,
    CHOICES,
    {
        "available_tools",
        "chain_of_thought",
        "cot",
        "function_call",
        "functions",
        "history",
        "input_ids",
        "rationale",
        "reasoning",
        "reasoning_content",
        "thinking",
        "thought",
        "thoughts",
        "tool_calls",
        "tool_schemas",
    },
)
#: The same beside these roles of a guess: what is written next to a lone text, or next to a prompt and its completion.
UNREADABLE_BESIDE: dict[str, frozenset[str]] = {
    "text": frozenset(
        {*SYNONYMS["prompt"], *SYNONYMS["completion"], *SYNONYMS["instruction"]}
        | {"highlights", "role", "summary", "translation"} - {"source", "target"}
    ),
    "prompt": frozenset({"input", "instruction", "suffix"}),
    "instruction": frozenset({"prompt", "query", "question"}),
    "chosen": frozenset({"input", "instruction", "conversations", "messages", "context"})
    | {"body", "content", "document", "post", "problem", "user", "user_input", "user_prompt"},
}
#: The same beside a text with a label, and beside a lone one of these: what the model may have read with the text.
UNREADABLE_BESIDE_LABEL = LOSS_WEIGHTS | MEDIA | CHOICES
#: The same beside two texts.
THIRD_TEXTS = frozenset({"aspect", "history", "instruction", "prompt", "system", "system_prompt"})
SECOND_TEXTS = THIRD_TEXTS.union(
    {
        "aspect_term",
        "claim",
        "context",
        "context_before",
        "entity",
        "hypothesis",
        "passage",
        "premise",
        "query",
        "question",
        "question2",
        "sentence2",
        "sentence_2",
        "sentence_b",
        "text2",
        "text_2",
        "text_b",
        "text_pair",
    }
)
#: What a text beside an image is called, where nothing there is called a text.
CAPTIONS = ("caption", "captions", "prompt", "txt")
#: Columns that give an int label its name.
LABEL_NAMES = ("label_text", "label_name", "label_names", "label_str")
#: The class of a row whose loss falls on text. Never guessed: `class` is what many call a label.
CLASS = "class"
#: Roles of the column that a label comes from: by `label`, which alone is guessed, the values say what kind it is.
LABEL_ROLES = tuple(role for form in ROW_FORMS.values() for role in form.label_roles)
ROLES = tuple(dict.fromkeys(("text", "text_pair", *SYNONYMS, *LABEL_ROLES, CLASS, *CONTEXT)))

#: Those of the label of a text.
TEXT_LABEL_ROLES = tuple(
    reading.label
    for form in ROW_FORMS.values()
    for reading in form.readings
    if reading.label is not None and "text" in reading.needed
)

#: The complete sets of roles besides the rest, and the kind of row each makes.
KINDS: dict[frozenset[str], RowKind] = {known: form.name for form in ROW_FORMS.values() for known in form.role_sets()}
#: The same where every column holds lists of messages.
KINDS_OF_LISTS: dict[frozenset[str], RowKind] = {
    known: form.name for form in ROW_FORMS.values() for reading in form.of_lists for known in reading.sets()
}
#: Roles that do not say what a row is.
BESIDE = frozenset({"id", CLASS, *CONTEXT})
CONTENT = frozenset(ROLES) - BESIDE - frozenset(LABEL_ROLES)


def holds_thought(key: str) -> bool:
    """Whether a column is called after what was thought before an answer, such as `complex_cot`."""
    return not _OF_THOUGHT.isdisjoint(key.split("_"))


def names_choices(keys: Iterable[str]) -> set[str]:
    """Those of names that are one choice each, where there are several."""
    found = {key for key in keys if _ONE_CHOICE.fullmatch(key)}
    return found if len(found) > 1 else set()


def holds_context(key: str) -> bool:
    """Whether a column is called after what a prompt or its answer may have been written with: `context_messages`."""
    words = set(key.split("_"))
    return not words.isdisjoint(_BESIDE_A_PROMPT) and words.isdisjoint(_ABOUT)


def may_be_left_out(name: str) -> bool:
    """Whether a name that is no role can be sent with an empty string."""
    key = key_of(name)
    return (
        holds_thought(key)
        or _ONE_CHOICE.fullmatch(key) is not None
        or holds_context(key)
        or any(key in names for names in (UNREADABLE, SECOND_TEXTS, *UNREADABLE_BESIDE.values()))
    )


def name_to_leave_out(column: str) -> str:
    """The name that leaves a column out of a guess when it is sent with an empty string."""
    key = key_of(column)
    known = {**CONTEXT, "label": SYNONYMS["label"]}
    return next((role for role, names in known.items() if key in names), key)


def key_of(column: str) -> str:
    """The form in which names are compared: `sampleWeight`, `sample weight` and `sample_weight` are one."""
    return _HUMP.sub("_", column).strip().lower().replace(" ", "_").replace("-", "_").replace(".", "_")
