"""A data set: normalised rows, never reordered."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from influence.contracts.common import MAX_NAME_CHARACTERS, Frozen, Json, LossScope, Record, Request


@dataclass(frozen=True, slots=True)
class Roles:
    """Roles of columns that make a row together: all of `needed` with any of `optional`, and that of the label."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    label: str | None = None

    @property
    def plain(self) -> tuple[str, ...]:
        """The fewest roles that make a row of a data set."""
        return self.needed if self.label is None else (*self.needed, self.label)

    def sets(self) -> Iterator[frozenset[str]]:
        """Every complete set of these roles."""
        for count in range(len(self.optional) + 1):
            for chosen in combinations(self.optional, count):
                yield frozenset((*self.plain, *chosen))


#: What the field `label` of a row holds. `class`: the number or name of one class. `number`: a float, or a list of
#: floats for a head of several outputs. `classes`: a list of numbers or names of classes, none of them twice. `tags`:
#: the class of each of the row's tokens, null where one carries no loss; or the spans of its text that have a name.
LabelForm = Literal["class", "number", "classes", "tags"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowForm:
    """A kind of rows: the roles of columns that make one, beside `id`, and the fields of its normal form.

    `words`: the fields that people read. `label`: what is in the field `label`, which every row of a data set has and
    a test point may lack. Rows without one may have the field `class`, where the columns name it. `of_lists`: readings
    whose columns hold lists of messages; where they hold text, the rows are of another kind. `context`: roles beside
    those of any reading, found by their names, that a chat template reads. `has_image`: rows have the field `image`,
    {digest, width, height}, whose pixels influence.rows.images.store keeps. What plays no role is the field `metadata`
    of a row of any kind.
    """

    name: str
    readings: tuple[Roles, ...]
    words: tuple[str, ...]
    label: LabelForm | None = None
    of_lists: tuple[Roles, ...] = ()
    context: tuple[str, ...] = ()
    has_image: bool = False

    @property
    def label_roles(self) -> tuple[str, ...]:
        """The roles of columns that the label can come from."""
        return tuple(reading.label for reading in self.readings if reading.label is not None)

    def role_sets(self) -> Iterator[frozenset[str]]:
        """Every set of roles, the label's among them, that makes a row of a data set."""
        for reading in self.readings:
            yield from reading.sets()


def _texts_with(name: str, label: LabelForm, *roles: str) -> RowForm:
    """A text or a pair of texts, with a label that comes from a column of one of the roles."""
    readings = tuple(Roles(("text",), ("text_pair",), role) for role in roles)
    return RowForm(name=name, readings=readings, words=("text", "text_pair"), label=label)


CLASSIFICATION = _texts_with("classification", "class", "label")
REGRESSION = _texts_with("regression", "number", "score")
#: From lists of classes, or from vectors with a 1 for every class that a row has and a 0 for the others.
MULTI_LABEL = _texts_with("multi_label_classification", "classes", "labels", "label_vector")
COMPLETION = RowForm(
    name="completion",
    readings=(Roles(("prompt", "completion")), Roles(("instruction", "output"), ("input",))),
    words=("prompt", "completion"),
)
#: Fields: messages, tools?, documents?, chat_template_kwargs?, and completion_from?, the place of the first message of
#: the completion where prompt and completion are lists.
CONVERSATION = RowForm(
    name="conversation",
    readings=(Roles(("messages",)), Roles(("conversations",))),
    words=("messages",),
    of_lists=(Roles(("prompt", "completion")),),
    context=("system", "tools", "documents", "chat_template_kwargs"),
)
#: Words with a tag each, or a text with spans.
TOKENS = RowForm(
    name="token_classification",
    readings=(Roles(("tokens",), label="tags"), Roles(("text",), label="spans")),
    words=("tokens", "text"),
    label="tags",
)
TEXT = RowForm(name="text", readings=(Roles(("text",)),), words=("text",))

#: Two answers to one prompt, of which the first was preferred: texts, or lists of messages; tools?,
#: chat_template_kwargs?, and margin?, by how much. There is no prompt where the answers share no beginning.
PREFERENCE = RowForm(
    name="preference",
    readings=(Roles(("chosen", "rejected"), ("prompt", "margin")),),
    words=("prompt", "chosen", "rejected"),
    context=("system", "tools", "chat_template_kwargs"),
)

IMAGE_CLASSIFICATION = RowForm(
    name="image_classification", readings=(Roles(("image",), label="label"),), words=(), label="class", has_image=True
)
#: A picture and what it shows in words.
IMAGE_CAPTION = RowForm(name="image_caption", readings=(Roles(("image", "text")),), words=("text",), has_image=True)

_FORMS = (
    CLASSIFICATION,
    REGRESSION,
    MULTI_LABEL,
    TOKENS,
    COMPLETION,
    CONVERSATION,
    TEXT,
    PREFERENCE,
    IMAGE_CLASSIFICATION,
    IMAGE_CAPTION,
)
#: Every kind of rows by name.
ROW_FORMS: dict[str, RowForm] = {form.name: form for form in _FORMS}


def _check_kind(name: str) -> str:
    if name not in ROW_FORMS:
        raise ValueError(f"the kind of rows has to be one of {', '.join(ROW_FORMS)}")
    return name


def _kind_schema() -> dict[str, Any]:
    return {"type": "string", "enum": list(ROW_FORMS)}


class TextSpan(Frozen):
    """Characters [start, end) of a text, and what they are called."""

    start: int
    end: int
    label: str


#: A label as requests and answers carry it.
LabelValue = int | float | str | list[int | float | str | TextSpan | None]
RowKind = Annotated[str, AfterValidator(_check_kind), WithJsonSchema(_kind_schema())]


#: What the values of a metadata column are; `json` is anything nested or mixed.
MetadataType = Literal["string", "number", "boolean", "time", "json"]
FormatName = Literal["jsonl", "json", "csv", "parquet", "arrow", "imagefolder"]
Compression = Literal["gzip", "zstd"]
Encoding = Literal["utf-8", "utf-16"]
Quoting = Literal["double", "none"]
Export = Literal["argilla", "cleanlab", "label-studio", "openai", "prodigy"]
ProblemCode = Literal[
    "alpha_left_out",
    "columns_not_read",
    "conflicting_label",
    "duplicate",
    "empty_text",
    "fields_of_messages",
    "files_not_read",
    "label_names_not_learnt",
    "labels_from_one",
    "lines_joined",
    "markup_in_messages",
    "metadata_not_kept",
    "missing_label",
    "missing_text",
    "nulls_left_out",
    "parts_handed_on",
    "prompt_in_answers",
    "prompts_made",
    "quotes_before_signs",
    "roles_renamed",
    "similar_labels",
    "truth_labels",
    "turns_without_loss",
    "words_for_nothing",
]


class DatasetRequest(Request):
    """JSON form of `POST /v1/datasets`: a path under the allowed roots or a hub id."""

    path: str | None = Field(None, description="A JSONL, JSON, CSV or Parquet file, or an Arrow data set folder.")
    hub_id: str | None = Field(None, examples=["stanfordnlp/sst2"])
    revision: str | None = None
    split: str | None = Field(None, examples=["train"])
    columns: dict[str, str] | None = Field(None, description='Role to column, e.g. {"text": "body", "label": "y"}.')
    label_names: list[str] | None = Field(None, description="Class names in the order of the classes.")
    name: str | None = Field(None, max_length=MAX_NAME_CHARACTERS)


class DatasetFormat(Frozen):
    """How the file was read. `quoting` says whether double quotes frame fields or are plain characters; it and
    `delimiter` are of CSV alone. `export` names the tool whose export the rows are."""

    name: FormatName
    compression: Compression | None = None
    encoding: Encoding | None = None
    delimiter: str | None = None
    quoting: Quoting | None = None
    export: Export | None = None


class RowProblem(Frozen):
    """Something worth knowing about rows: `rows` are the first row indexes concerned, `count` is all of them.

    `names` are the columns, roles or labels that it is about.
    """

    code: ProblemCode
    count: int
    rows: tuple[int, ...]
    message: str
    names: tuple[str, ...] = ()


class DerivedFrom(Frozen):
    """The manifest of a data set that a review made: from which rows, by which version, and what became of them."""

    dataset_id: str
    review_id: str
    review_version: int
    rows_in: int
    rows_out: int
    removed: int
    relabelled: int
    reviewers: tuple[str, ...] = ()
    at: datetime


class Dataset(Record):
    """An accepted data set. `statistics` holds counts (labels, characters), `problems` what looks wrong.

    The id stands for the rows with their metadata, their kind, the label names and `columns`. `metadata_columns` play
    no role: they stay with the rows, and no model reads them. `derived_from` is there when a review made it of another
    one.
    """

    name: str | None = None
    kind: RowKind
    columns: dict[str, str]
    metadata_columns: dict[str, MetadataType] = Field(default_factory=dict)
    rows: int
    bytes: int
    label_names: tuple[str, ...] | None = None
    format: DatasetFormat | None = None
    statistics: Json
    problems: tuple[RowProblem, ...] = ()
    derived_from: DerivedFrom | None = None

    @property
    def implied_loss(self) -> LossScope | None:
        """Where the loss falls by what the columns are, whatever is usual for the kind: a completion set apart."""
        readings = ROW_FORMS[self.kind].of_lists
        is_apart = any(self.columns.keys() >= set(reading.needed) for reading in readings)
        return "completion" if is_apart else None


class DatasetRow(Frozen):
    """One row as the API shows it; `metadata` is what its columns without a role hold, by name."""

    row_index: int
    row_id: str
    row: Json
    metadata: Json | None = None


class RowPage(Frozen):
    """Rows in the order asked for, out of `rows` that fit; pass `next` back as `offset` for the following ones."""

    data: list[DatasetRow]
    has_more: bool
    next: int | None = None
    rows: int
