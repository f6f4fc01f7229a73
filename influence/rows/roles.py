"""Roles that a column can play, the names they go by, and the sets of roles that make a row."""

from influence.contracts.dataset import ROW_FORMS, RowKind

#: Role -> the names it goes by, the role's own name first. Compared in lower case with `_` for space, dot and dash.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "review", "content", "document", "utterance", "body", "tweet", "message"),
    "label": ("label", "labels", "label_id", "intent", "category", "class", "target", "sentiment", "y"),
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
    "image": ("image", "img", "picture", "photo"),
    "tokens": ("tokens", "words"),
    "tags": ("tags", "ner_tags", "ner", "pos_tags", "pos", "chunk_tags", "labels"),
}
PAIRS = (
    ("text", "text_pair"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sentence1", "sentence2"),
    ("sentence_a", "sentence_b"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "answer"),
)
#: What a chat template reads beside the messages: found by these names, left out by an empty string.
CONTEXT: dict[str, tuple[str, ...]] = {
    "system": ("system", "system_prompt", "system_message"),
    "tools": ("tools",),
    "documents": ("documents",),
    "chat_template_kwargs": ("chat_template_kwargs",),
}
#: Columns that may have weighed or masked the loss of a row that falls on text.
LOSS_WEIGHTS = frozenset(
    {"assistant_masks", "completion_mask", "loss_mask", "loss_scale", "loss_weight", "sample_weight", "weight"}
)
#: Columns that may have carried loss or context and that no row here can hold. Where they are not empty, a guess that
#: passes over them is refused; the caller leaves them out by name and an empty string.
UNREADABLE = LOSS_WEIGHTS.union(
    {
        "audio",
        "audios",
        "chain_of_thought",
        "chosen",
        "cot",
        "function_call",
        "functions",
        "history",
        "image",
        "images",
        "kto_tag",
        "reasoning",
        "reasoning_content",
        "rejected",
        "rejected_messages",
        "rejected_response",
        "thinking",
        "tool_calls",
        "video",
        "videos",
    }
)
#: The same beside these roles of a guess: what is written next to a lone text, or next to a prompt and its completion.
UNREADABLE_BESIDE: dict[str, frozenset[str]] = {
    "text": frozenset(
        {*SYNONYMS["prompt"], *SYNONYMS["completion"], *SYNONYMS["instruction"], "highlights", "summary", "translation"}
        - {"source", "target"}
    ),
    "prompt": frozenset({"input", "instruction"}),
}
#: What a text beside an image is called, where nothing there is called a text.
CAPTIONS = ("caption", "captions", "prompt")
#: Columns that give an int label its name.
LABEL_NAMES = ("label_text", "label_name", "label_names")
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


def may_be_left_out(name: str) -> bool:
    """Whether a name that is no role can be sent with an empty string."""
    return any(key_of(name) in names for names in (UNREADABLE, *UNREADABLE_BESIDE.values()))


def name_to_leave_out(column: str) -> str:
    """The name that leaves a column out of a guess when it is sent with an empty string."""
    key = key_of(column)
    known = {**CONTEXT, "label": SYNONYMS["label"]}
    return next((role for role, names in known.items() if key in names), key)


def key_of(column: str) -> str:
    """The form in which names are compared."""
    return column.strip().lower().replace(" ", "_").replace("-", "_").replace(".", "_")
