"""Which column plays which role. Guessed only where the names leave one reading; named columns always win."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import product

from influence.contracts.dataset import ROW_FORMS, RowKind
from influence.errors import ColumnsAmbiguous, ColumnsUnmatched, InvalidRequest
from influence.rows.findings import list_names
from influence.rows.metadata import MAX_NAME_CHARACTERS, can_be_named
from influence.rows.roles import (
    BESIDE,
    CAPTIONS,
    CLASS,
    CONTENT,
    CONTEXT,
    KINDS,
    KINDS_OF_LISTS,
    LABEL_NAMES,
    LOSS_WEIGHTS,
    PAIRS,
    ROLES,
    SECOND_TEXTS,
    SYNONYMS,
    TEXT_LABEL_ROLES,
    THIRD_TEXTS,
    UNREADABLE,
    UNREADABLE_BESIDE,
    UNREADABLE_BESIDE_LABEL,
    holds_context,
    holds_thought,
    key_of,
    may_be_left_out,
    names_choices,
)
from influence.rows.unfit.readings import say_readings, send_columns
from influence.rows.unfit.shapes import suggest_columns
from influence.rows.unfit.suggestion import Types
from influence.rows.values import ValueKind

_SHOWN = 50
# Bounds that only a hostile file comes near: synonyms tried a role, columns compared for closeness.
_TRIED = 8
_COMPARED = 200


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Role to column, the kind of row they make, and the column that names the int labels, if any.

    `unreadable` columns may have carried loss or context that rows of this kind cannot hold: a row in which one is not
    empty has to be refused.
    """

    kind: RowKind
    columns: dict[str, str]
    label_name: str | None = None
    unreadable: frozenset[str] = field(default_factory=frozenset)


def choose_columns(
    seen: Sequence[str], wanted: Mapping[str, str] | None = None, *, types: Types | None = None
) -> ColumnMap:
    """Decide what the columns mean; `types` says what kinds of values they hold, where that is known.

    `wanted` maps roles to columns. Once it names a column of content it is taken as complete, but for `id` and what a
    chat template reads, which are still found by name; an empty string leaves a role, or a column that a guess would
    not pass over, out. `class` has to be named to be kept. Without content in `wanted` the rest is guessed.
    Raises InvalidRequest (no such role), ColumnsUnmatched, ColumnsAmbiguous.
    """
    wanted = dict(wanted or {})
    # A column that cannot be written in a request cannot be named in one: it is carried past, like any unused one.
    seen = [column for column in seen if can_be_named(column)]
    _check_wanted(seen, wanted)
    named = {role: column for role, column in wanted.items() if column}
    left_out = {role for role, column in wanted.items() if not column}
    free = [column for column in seen if column != named.get(CLASS)]
    names = _Names(free, left_out)
    is_named = bool(CONTENT & named.keys())
    columns = named if is_named else _guess_around(names, named, types or {})
    kind = _kind_of(columns, seen, types or {})
    columns |= _found_beside(names, columns, kind)
    return ColumnMap(kind, columns, names.label_name(columns), names.unreadable(columns, kind, is_named, types or {}))


def _check_wanted(seen: Sequence[str], wanted: Mapping[str, str]) -> None:
    for role, column in wanted.items():
        if role not in ROLES and (column or not may_be_left_out(role)):
            near = get_close_matches(role, ROLES, 1, 0.5)
            raise InvalidRequest(
                f"'columns' names the role {role[:80]!r}, which does not exist.",
                hint=(f"Did you mean {near[0]!r}? " if near else "") + f"The roles are {', '.join(ROLES)}.",
            )
        if column and not can_be_named(column):
            raise InvalidRequest(
                f"'columns' names no possible column for the role {role!r}.",
                hint=f"Column names have at most {MAX_NAME_CHARACTERS} characters, none of them NUL.",
            )
    for role, column in wanted.items():
        if column and column not in seen:
            near = get_close_matches(column, seen[:_COMPARED], 1, 0.0)
            raise ColumnsUnmatched(
                f"There is no column {column[:80]!r} for the role {role!r}.",
                hint=send_columns({**wanted, role: near[0]}) if near else "The file has no columns at all.",
                extra={"columns_seen": list(seen)[:_SHOWN]},
            )


class _Names:
    """Columns by their normalised names."""

    def __init__(self, seen: Iterable[str], left_out: set[str]) -> None:
        self.left_out = left_out
        self.by_key: dict[str, list[str]] = {}
        for column in seen:
            self.by_key.setdefault(key_of(column), []).append(column)

    def candidates(self, role: str, *, taken: Iterable[str] = ()) -> list[str]:
        """Columns that may play `role`: the role's own name alone where it is there, else every synonym."""
        if role in self.left_out:
            return []
        known = SYNONYMS.get(role) or CONTEXT[role]
        for keys in (known[:1], known[1:]):
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

    def captions(self) -> list[str]:
        """Columns that may be the text beside an image."""
        found = self.candidates("text")
        named = [column for key in CAPTIONS for column in self.by_key.get(key, [])]
        return found or ([] if "text" in self.left_out else named[:_TRIED])

    def label_name(self, columns: Mapping[str, str]) -> str | None:
        """The column that names int labels: `label_text` or `label_name`, or the label's own name with that ending."""
        if "label" not in columns:
            return None
        own = key_of(columns["label"])
        for key in (*LABEL_NAMES, f"{own}_text", f"{own}_name", f"{own}_str"):
            found = [column for column in self.by_key.get(key, []) if column not in columns.values()]
            if len(found) == 1:
                return found[0]
        return None

    def unreadable(self, columns: Mapping[str, str], kind: RowKind, is_named: bool, types: Types) -> frozenset[str]:
        """Columns that may have carried loss or context, and that rows of this kind cannot hold.

        Columns of content that were named by the caller say that the others carried no loss.
        """
        form = ROW_FORMS[kind]
        left_out = {key_of(role) for role in self.left_out}
        if form.label is not None:
            return frozenset() if is_named else self._beside_label(columns, left_out)
        keys = {key for role, names in CONTEXT.items() for key in names if role not in form.context}
        if not is_named:
            keys |= UNREADABLE.union(*(UNREADABLE_BESIDE.get(role, ()) for role in columns))
        for role in CONTEXT.keys() & self.left_out:
            keys -= set(CONTEXT[role])
        found = {column for key in keys - left_out for column in self.by_key.get(key, [])}
        if not is_named and "text" not in columns and "label" not in self.left_out:
            found |= self._verdicts(types)
        if not is_named:
            found |= self._called(holds_thought, left_out, types)
            found |= {column for key in names_choices({*self.by_key}) - left_out for column in self.by_key[key]}
        if not is_named and not _PROMPTED.isdisjoint(columns):
            found |= self._called(holds_context, left_out, types)
        return frozenset(found - set(columns.values()))

    def _beside_label(self, columns: Mapping[str, str], left_out: set[str]) -> frozenset[str]:
        """What may have weighed the loss of a text with a label, or been read with the text."""
        if "text" not in columns:
            keys = LOSS_WEIGHTS
        else:
            keys = UNREADABLE_BESIDE_LABEL | (THIRD_TEXTS if "text_pair" in columns else SECOND_TEXTS)
        found = {column for key in keys - left_out for column in self.by_key.get(key, [])}
        return frozenset(found - set(columns.values()))

    def _called(self, is_meant: Callable[[str], bool], left_out: set[str], types: Types) -> set[str]:
        """Columns that are called after something, but for numbers that say something of it."""
        keys = {key for key in self.by_key if is_meant(key)} - left_out
        return {column for key in keys for column in self.by_key[key] if types.get(column, {"other"}) - _VERDICTS}

    def _verdicts(self, types: Types) -> set[str]:
        """Columns that may say whether an answer is a good one, truth values or numbers that are called a label; or
        which of its tokens carried loss, a list of them."""
        found = {column for column in self.candidates("label") if types.get(column, {"other"}) <= _TRUTHS}
        named = {column for key in ("label", "labels") for column in self.by_key.get(key, [])}
        return found | {column for column in named if types.get(column, {"other"}) <= _VERDICTS | {"list"}}


_IMAGES: frozenset[ValueKind] = frozenset({"image", "object", "bytes", "text"})
_TRUTHS: frozenset[ValueKind] = frozenset({"truth", "nothing"})
_VERDICTS = _TRUTHS | {"number"}
#: Roles beside which there may be more that was read.
_PROMPTED = frozenset({"prompt", "instruction", "chosen"})
_LISTS: frozenset[ValueKind] = frozenset({"list", "nothing"})


def _found_beside(names: _Names, columns: Mapping[str, str], kind: RowKind) -> dict[str, str]:
    """The id, and what a chat template reads, where one column has the name."""
    roles = ("id", *ROW_FORMS[kind].context)
    found = {role: names.candidates(role, taken=columns.values()) for role in roles if role not in columns}
    ambiguous = {role: columns for role, columns in found.items() if len(columns) > 1 and role != "id"}
    if ambiguous:
        role, both = next(iter(ambiguous.items()))
        raise ColumnsAmbiguous(
            f"The columns {list_names(both)} may all be the role {role!r}.",
            hint=send_columns({**columns, role: both[0]}, "Say which one you mean, for instance with"),
            extra={"columns_seen": both[:_SHOWN]},
        )
    return {role: columns[0] for role, columns in found.items() if len(columns) == 1}


def _guess_around(names: _Names, named: Mapping[str, str], types: Types) -> dict[str, str]:
    """As `_guess`, for a label of a text that is named by whatever role."""
    role = next((role for role in TEXT_LABEL_ROLES if role in named), "label")
    found = _guess(names, {"label" if name == role else name: column for name, column in named.items()}, types)
    return {role if name == "label" else name: column for name, column in found.items()}


def _guess(names: _Names, named: Mapping[str, str], types: Types) -> dict[str, str]:
    """The one reading of the names that keeps to `named`, or an error that lists what there is."""
    readings = [
        dict(reading) for reading in _readings(names, named, types) if named.items() <= reading.items() | _beside(named)
    ]
    unique = list({tuple(sorted(reading.items())): reading for reading in readings}.values())
    if len(unique) == 1:
        return {**unique[0], **named}
    seen = [column for columns in names.by_key.values() for column in columns]
    if unique:
        raise ColumnsAmbiguous(
            f"The columns {list_names(seen)} can be read in {len(unique)} ways.",
            hint=say_readings(unique),
            extra={"columns_seen": seen[:_SHOWN], "readings": unique[:10]},
        )
    if not seen:
        raise ColumnsUnmatched("The rows have no columns.", hint="Give every row its fields.")
    suggestion = suggest_columns(seen, types)
    mapping = send_columns(suggestion.columns) if suggestion.columns else ""
    raise ColumnsUnmatched(
        f"The columns {list_names(seen)} {suggestion.what}.",
        hint=f"{suggestion.hint} {mapping}".strip(),
        extra={"columns_seen": seen[:_SHOWN], "suggestion": suggestion.columns or None},
    )


def _beside(named: Mapping[str, str]) -> set[tuple[str, str]]:
    return {(role, column) for role, column in named.items() if role in BESIDE}


def _readings(names: _Names, named: Mapping[str, str], types: Types) -> list[dict[str, str]]:
    labels = [named["label"]] if "label" in named else names.labels()
    images = [column for column in names.candidates("image") if _may_hold_images(column, types)]
    if any("image" in types[column] for column in images):
        # Files of images: they are what the table is about.
        return [*_captioned(names, images), *_pictured(images, labels)]
    tags = [named["tags"]] if "tags" in named else names.candidates("tags")
    tagged = [{"tokens": words, "tags": tag} for words, tag in product(names.candidates("tokens"), tags)]
    conversations = [{role: column} for role in ("messages", "conversations") for column in names.candidates(role)]
    if answers := _answers(names, conversations, types):
        return answers
    readings = [*conversations, *_completions(names), *_classifications(names, labels)]
    readings += [] if conversations else _preferences(names)
    readings += [] if labels else _captioned(names, images) or _texts(names)
    return readings or _pictured(images, labels) or tagged


def _may_hold_images(column: str, types: Types) -> bool:
    kinds = types.get(column, frozenset()) - {"nothing"}
    return bool(kinds) and kinds <= _IMAGES


def _captioned(names: _Names, images: Sequence[str]) -> list[dict[str, str]]:
    return [{"image": image, "text": text} for image, text in product(images, names.captions())]


def _pictured(images: Sequence[str], labels: Sequence[str]) -> list[dict[str, str]]:
    return [{"image": image, "label": label} for image, label in product(images, labels)]


def _texts(names: _Names) -> list[dict[str, str]]:
    return [{"text": column} for column in names.candidates("text")]


def _answers(names: _Names, conversations: Sequence[Mapping[str, str]], types: Types) -> list[dict[str, str]]:
    """A conversation with one message for each of the two answers to it, as LLaMA-Factory writes preferences."""
    pairs = product(names.candidates("chosen"), names.candidates("rejected"))
    prompts = [column for conversation in conversations for column in conversation.values()]
    return [
        {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        for (chosen, rejected), prompt in product(pairs, prompts)
        if all(types.get(column, frozenset()) - {"nothing"} == {"object"} for column in (chosen, rejected))
    ]


def _preferences(names: _Names) -> list[dict[str, str]]:
    pairs = list(product(names.candidates("chosen"), names.candidates("rejected")))
    beside = [{role: columns[0]} for role in ("margin",) if len(columns := names.candidates(role)) == 1]
    # A `source` beside two answers says where they come from.
    asked = [column for column in names.candidates("prompt") if key_of(column) != "source"]
    prompts: list[dict[str, str]] = [{"prompt": column} for column in asked] or [{}]
    return [
        {"chosen": chosen, "rejected": rejected, **prompt, **(beside[0] if beside else {})}
        for (chosen, rejected), prompt in product(pairs, prompts)
    ]


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


def _kind_of(columns: Mapping[str, str], seen: Sequence[str], types: Types) -> RowKind:
    roles = frozenset(columns) - BESIDE
    kind = KINDS.get(roles)
    if kind is None:
        whole = [sorted(known) for known in KINDS]
        raise ColumnsUnmatched(
            f"The roles {list_names(sorted(roles))} do not make a row.",
            hint=f"Name one of these sets of roles: {'; '.join(' + '.join(roles) for roles in whole)}.",
            extra={"columns_seen": list(seen)[:_SHOWN]},
        )
    if roles in KINDS_OF_LISTS and all(_holds_lists(columns[role], types) for role in roles):
        kind = KINDS_OF_LISTS[roles]
    form = ROW_FORMS[kind]
    if form.label is not None and CLASS in columns:
        raise ColumnsUnmatched(
            "Rows with a label have no class beside it.",
            hint="Leave the role 'class' out, or name the column as 'label'.",
            extra={"columns_seen": list(seen)[:_SHOWN]},
        )
    if context := (CONTEXT.keys() & columns.keys()) - set(form.context):
        raise ColumnsUnmatched(
            f"Rows of kind '{kind}' have no part {list_names(sorted(context))}: no chat template reads them.",
            hint="Send such rows as 'messages', or as 'prompt' and 'completion' that are lists of messages.",
            extra={"columns_seen": list(seen)[:_SHOWN]},
        )
    return kind


def _holds_lists(column: str, types: Types) -> bool:
    return types.get(column, frozenset()) <= _LISTS and "list" in types.get(column, ())
