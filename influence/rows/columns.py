"""Which column plays which role. Guessed only where the names leave one reading; named columns always win."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product

from influence.contracts.dataset import ROW_FORMS, RowKind
from influence.digests import canonical_json
from influence.errors import ColumnsAmbiguous, ColumnsUnmatched, InvalidRequest
from influence.rows.values import UNWRITABLE

#: Role -> the names it goes by, the role's own name first. Compared in lower case with `_` for space, dot and dash.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "review", "content", "document", "utterance", "body", "tweet", "message"),
    "label": ("label", "labels", "label_id", "intent", "category", "class", "target", "sentiment", "y"),
    "id": ("id", "uid", "row_id", "example_id", "guid", "uuid", "idx"),
    "prompt": ("prompt", "question", "query", "input", "source"),
    "completion": ("completion", "response", "answer", "output", "target"),
    "messages": ("messages",),
    "conversations": ("conversations", "conversation", "dialog", "dialogue"),
    "instruction": ("instruction",),
    "input": ("input", "context"),
    "output": ("output", "response", "answer", "completion"),
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
#: Columns that give an int label its name.
LABEL_NAMES = ("label_text", "label_name", "label_names")
#: The class of a row whose loss falls on text. Never guessed: `class` is what many call a label.
CLASS = "class"
#: Roles of the column that a label comes from: by `label`, which alone is guessed, the values say what kind it is.
LABEL_ROLES = tuple(role for form in ROW_FORMS.values() for role in form.label_roles)
ROLES = tuple(dict.fromkeys(("text", "text_pair", *SYNONYMS, *LABEL_ROLES, CLASS)))

#: Roles that do not say what a row is.
_BESIDE = frozenset({"id", CLASS})
_CONTENT_ROLES = frozenset(ROLES) - _BESIDE - frozenset(LABEL_ROLES)
_SHOWN = 50
# Bounds that only a hostile file comes near: synonyms tried a role, columns compared for closeness, length of a name.
_TRIED = 8
_COMPARED = 200
_MAX_NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Role to column, the kind of row they make, and the column that names the int labels, if any."""

    kind: RowKind
    columns: dict[str, str]
    label_name: str | None = None

    @property
    def used(self) -> list[str]:
        """The columns that a reader has to produce."""
        return [*self.columns.values(), *([self.label_name] if self.label_name else [])]


def choose_columns(seen: Sequence[str], wanted: Mapping[str, str] | None = None) -> ColumnMap:
    """Decide what the columns mean.

    `wanted` maps roles to columns. Once it names a column of content it is taken as complete, but for `id`, which
    is still found by name; an empty string leaves a role out. `class` has to be named to be kept. Without content in
    `wanted` the rest is guessed.
    Raises InvalidRequest (no such role), ColumnsUnmatched, ColumnsAmbiguous.
    """
    wanted = dict(wanted or {})
    # A column that cannot be written in a request cannot be named in one: it is carried past, like any unused one.
    seen = [column for column in seen if _can_be_named(column)]
    _check_wanted(seen, wanted)
    named = {role: column for role, column in wanted.items() if column}
    free = [column for column in seen if column != named.get(CLASS)]
    names = _Names(free, {role for role, column in wanted.items() if not column})
    columns = named if _CONTENT_ROLES & named.keys() else _guess_around(names, named)
    kind = _kind_of(columns, seen)
    if "id" not in columns and len(ids := names.candidates("id", taken=columns.values())) == 1:
        columns = {**columns, "id": ids[0]}
    return ColumnMap(kind, columns, names.label_name(columns))


def _check_wanted(seen: Sequence[str], wanted: Mapping[str, str]) -> None:
    for role, column in wanted.items():
        if role not in ROLES:
            near = get_close_matches(role, ROLES, 1, 0.5)
            raise InvalidRequest(
                f"'columns' names the role {role[:80]!r}, which does not exist.",
                hint=(f"Did you mean {near[0]!r}? " if near else "") + f"The roles are {', '.join(ROLES)}.",
            )
        if column and not _can_be_named(column):
            raise InvalidRequest(
                f"'columns' names no possible column for the role {role!r}.",
                hint=f"Column names have at most {_MAX_NAME_CHARACTERS} characters, none of them NUL.",
            )
    for role, column in wanted.items():
        if column and column not in seen:
            near = get_close_matches(column, seen[:_COMPARED], 1, 0.0)
            raise ColumnsUnmatched(
                f"There is no column {column[:80]!r} for the role {role!r}.",
                hint=_send({**wanted, role: near[0]}) if near else "The file has no columns at all.",
                extra={"columns_seen": list(seen)[:_SHOWN]},
            )


class _Names:
    """Columns by their normalised names."""

    def __init__(self, seen: Iterable[str], left_out: set[str]) -> None:
        self.left_out = left_out
        self.by_key: dict[str, list[str]] = {}
        for column in seen:
            self.by_key.setdefault(_key(column), []).append(column)

    def candidates(self, role: str, *, taken: Iterable[str] = ()) -> list[str]:
        """Columns that may play `role`: the role's own name alone where it is there, else every synonym."""
        if role in self.left_out:
            return []
        for keys in (SYNONYMS[role][:1], SYNONYMS[role][1:]):
            if found := [column for key in keys for column in self.by_key.get(key, []) if column not in taken]:
                return found[:_TRIED]
        return []

    def labels(self) -> list[str]:
        found = self.candidates("label")
        named = [column for key in LABEL_NAMES for column in self.by_key.get(key, [])]
        return found or ([] if "label" in self.left_out else named[:_TRIED])

    def pairs(self) -> list[tuple[str, str]]:
        both = ((self.by_key.get(a, [])[:_TRIED], self.by_key.get(b, [])[:_TRIED]) for a, b in PAIRS)
        return [pair for firsts, seconds in both for pair in product(firsts, seconds)]

    def label_name(self, columns: Mapping[str, str]) -> str | None:
        """The column that names int labels: `label_text` or `label_name`, or the label's own name with that ending."""
        if "label" not in columns:
            return None
        own = _key(columns["label"])
        for key in (*LABEL_NAMES, f"{own}_text", f"{own}_name"):
            found = [column for column in self.by_key.get(key, []) if column not in columns.values()]
            if len(found) == 1:
                return found[0]
        return None


def _guess_around(names: _Names, named: Mapping[str, str]) -> dict[str, str]:
    """As `_guess`, for a label that is named by whatever role."""
    role = next((role for role in LABEL_ROLES if role in named), "label")
    found = _guess(names, {"label" if name == role else name: column for name, column in named.items()})
    return {role if name == "label" else name: column for name, column in found.items()}


def _guess(names: _Names, named: Mapping[str, str]) -> dict[str, str]:
    """The one reading of the names that keeps to `named`, or an error that lists what there is."""
    readings = [
        dict(reading)
        for reading in _readings(names, named.get("label"))
        if named.items() <= reading.items() | _beside(named)
    ]
    unique = list({tuple(sorted(reading.items())): reading for reading in readings}.values())
    if len(unique) == 1:
        return {**unique[0], **named}
    seen = [column for columns in names.by_key.values() for column in columns]
    if unique:
        raise ColumnsAmbiguous(
            f"The columns {_listed(seen)} can be read in {len(unique)} ways.",
            hint=_send(unique[0], "Say which one you mean, for instance with"),
            extra={"columns_seen": seen[:_SHOWN], "readings": unique[:10]},
        )
    suggestion = _suggest(seen, names)
    raise ColumnsUnmatched(
        f"The columns {_listed(seen)} do not say which one is the text." if seen else "The rows have no columns.",
        hint=_send(suggestion),
        extra={"columns_seen": seen[:_SHOWN], "suggestion": suggestion},
    )


def _beside(named: Mapping[str, str]) -> set[tuple[str, str]]:
    return {(role, column) for role, column in named.items() if role in _BESIDE}


def _readings(names: _Names, label: str | None) -> list[dict[str, str]]:
    labels = [label] if label else names.labels()
    conversations = [{role: column} for role in ("messages", "conversations") for column in names.candidates(role)]
    return [*conversations, *_completions(names), *_classifications(names, labels), *([] if labels else _texts(names))]


def _texts(names: _Names) -> list[dict[str, str]]:
    return [{"text": column} for column in names.candidates("text")]


def _completions(names: _Names) -> list[dict[str, str]]:
    instructions, contexts = names.candidates("instruction"), names.candidates("input")
    readings = []
    for instruction, output in product(instructions, names.candidates("output")):
        readings += [{"instruction": instruction, "input": column, "output": output} for column in contexts]
        readings += [] if contexts else [{"instruction": instruction, "output": output}]
    prompts, completions = names.candidates("prompt"), names.candidates("completion")
    plain = [{"prompt": a, "completion": b} for a, b in product(prompts, completions) if a != b]
    if "context" in names.by_key and not instructions:
        # A context beside question and answer may or may not belong to the prompt: never left out silently.
        plain += [
            {"instruction": a, "input": c, "output": b}
            for a, b in product(prompts, completions)
            for c in names.by_key["context"][:_TRIED]
        ]
    exact = {"prompt", "completion"} <= names.by_key.keys()
    return readings + (plain if exact or not readings else [])


def _classifications(names: _Names, labels: Sequence[str]) -> list[dict[str, str]]:
    pairs = [] if "text_pair" in names.left_out else names.pairs()
    readings = [{"text": a, "text_pair": b, "label": label} for (a, b), label in product(pairs, labels)]
    paired = {column for pair in pairs for column in pair}
    texts = [column for column in names.candidates("text") if column not in paired]
    return readings + [{"text": text, "label": label} for text, label in product(texts, labels) if text != label]


def _kind_of(columns: Mapping[str, str], seen: Sequence[str]) -> RowKind:
    roles = frozenset(columns) - _BESIDE
    kinds = {known: form.name for form in ROW_FORMS.values() for known in form.role_sets()}
    if (kind := kinds.get(roles)) is not None:
        if ROW_FORMS[kind].label is not None and CLASS in columns:
            raise ColumnsUnmatched(
                "Rows with a label have no class beside it.",
                hint="Leave the role 'class' out, or name the column as 'label'.",
                extra={"columns_seen": list(seen)[:_SHOWN]},
            )
        return kind
    whole = [sorted(known) for known in kinds]
    raise ColumnsUnmatched(
        f"The roles {_listed(sorted(roles))} do not make a row.",
        hint=f"Name one of these sets of roles: {'; '.join(' + '.join(roles) for roles in whole)}.",
        extra={"columns_seen": list(seen)[:_SHOWN]},
    )


def _suggest(seen: Sequence[str], names: _Names) -> dict[str, str]:
    """The likeliest mapping by closeness of names: something to start from, never applied by itself."""
    labels = names.labels()
    label = labels[0] if labels else _nearest("label", seen, 0.6)
    text = _nearest("text", [column for column in seen if column != label], 0.0) or "<text column>"
    return {"text": text, "label": label} if label else {"text": text}


def _nearest(role: str, columns: Sequence[str], cutoff: float) -> str | None:
    by_key = {_key(column): column for column in reversed(columns[:_COMPARED])}
    for name in SYNONYMS[role]:
        if inside := [column for key, column in by_key.items() if name in key.split("_")]:
            return inside[-1]
    found = get_close_matches(role, list(by_key), 1, cutoff)
    return by_key[found[0]] if found else None


def _can_be_named(column: str) -> bool:
    return 0 < len(column) <= _MAX_NAME_CHARACTERS and not UNWRITABLE.search(column)


def _key(column: str) -> str:
    return column.strip().lower().replace(" ", "_").replace("-", "_").replace(".", "_")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:80]) for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _send(columns: Mapping[str, str], opening: str = "Send") -> str:
    return f"{opening} columns={canonical_json(dict(columns)).decode()}."
