"""Whatever rows people send: a refusal that names the place, or every value stays or is named as left out."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.intake.datasets import accept_dataset
from app.intake.tables.limits import TableLimits
from influence.contracts.dataset import Dataset
from influence.errors import DatainfError
from influence.rows.file import RowFile
from influence.rows.metadata import can_be_named, escaped
from influence.rows.roles import CONTEXT, ROLES, SYNONYMS, UNREADABLE

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-99, 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.text(max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
NAMES = st.one_of(
    st.sampled_from(sorted({*ROLES, *UNREADABLE, *(name for names in SYNONYMS.values() for name in names)})),
    st.sampled_from(["source", "score", "weight", "from", "", "x" * 300, "\0"]),
    TEXT,
)
EXTRAS = st.dictionaries(NAMES, VALUES, max_size=4)
SPEAKERS = st.sampled_from(["user", "assistant", "system", "tool", "developer", "function", "Human", "gpt", "model"])
MESSAGE = st.fixed_dictionaries(
    {"role": SPEAKERS, "content": st.one_of(TEXT, st.just([{"type": "text", "text": "part"}]))},
    optional={
        "name": TEXT,
        "tool_calls": st.lists(st.dictionaries(TEXT, VALUES, max_size=2), max_size=2),
        "reasoning_content": TEXT,
        "weight": st.sampled_from([0, 1]),
    },
)
MESSAGES = st.lists(MESSAGE, min_size=1, max_size=3)
SHAREGPT = st.lists(st.fixed_dictionaries({"from": SPEAKERS, "value": TEXT}), min_size=1, max_size=3)
OBJECTS = st.lists(st.dictionaries(TEXT, VALUES, max_size=2), max_size=2)
#: The contents that make a row, each with what may stand beside it.
CONTENTS: list[st.SearchStrategy[dict[str, Any]]] = [
    st.fixed_dictionaries({"text": TEXT, "label": st.sampled_from([0, 1, 2.0])}),
    st.fixed_dictionaries({"review": TEXT, "label": st.sampled_from(["ham", "spam"])}, optional={"label_text": TEXT}),
    st.fixed_dictionaries({"text": TEXT, "label": st.booleans()}),
    st.fixed_dictionaries({"premise": TEXT, "hypothesis": TEXT, "label": st.just(1)}),
    st.fixed_dictionaries({"prompt": TEXT, "completion": TEXT}, optional={"history": st.just([])}),
    st.fixed_dictionaries({"instruction": TEXT, "output": TEXT}, optional={"input": TEXT}),
    st.fixed_dictionaries({"messages": MESSAGES}, optional={"tools": OBJECTS, "documents": OBJECTS, "system": TEXT}),
    st.fixed_dictionaries({"conversations": SHAREGPT}, optional={"system": TEXT, "tools": OBJECTS.map(json.dumps)}),
    st.fixed_dictionaries({"prompt": MESSAGES, "completion": MESSAGES}, optional={"tools": OBJECTS}),
    st.fixed_dictionaries({"text": TEXT}),
]
KINDS_OF_ROWS = st.one_of(
    [
        st.lists(st.tuples(EXTRAS, content).map(lambda parts: {**parts[0], **parts[1]}), min_size=1, max_size=4)
        for content in CONTENTS
    ]
)


def leaves(value: Any) -> Iterator[Any]:
    """Every scalar inside a value but null."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif value is not None:
        yield value


def spoken(value: Any) -> Any:
    """A value without what is read under another name: roles."""
    if isinstance(value, list):
        return [spoken(item) for item in value]
    if isinstance(value, dict):
        return {key: spoken(item) for key, item in value.items() if key not in ("role", "from", "type")}
    return value


def is_in(value: Any, row: dict[str, Any]) -> bool:
    """Whether all of a column of content is in the normal form of its row."""
    if isinstance(value, str) and value.startswith("["):
        value = json.loads(value) if value.endswith("]") else value
    kept = [str(leaf) for leaf in leaves(row)]
    return all(any(str(leaf) in text for text in kept) for leaf in leaves(spoken(value)))


def check(rows: list[dict[str, Any]], dataset: Dataset, kept: list[dict[str, Any]]) -> None:
    named = {name for problem in dataset.problems for name in problem.names}
    for source, row in zip(rows, kept, strict=True):
        metadata, content = row.get("metadata", {}), {name: row[name] for name in row if name != "metadata"}
        for column, value in source.items():
            if not list(leaves(value)) or value != value:
                continue
            if column in metadata:
                assert list(leaves(metadata[column])) == list(leaves(value))
            elif column == dataset.columns.get("label"):
                assert row["label"] == (value if isinstance(value, str) else int(value))
            elif column in dataset.columns.values():
                assert is_in(value, content), (column, value, row)
            elif column in ("label_text", "label_name", "label_names") and dataset.label_names:
                assert dataset.label_names[row["label"]] == value
            else:
                assert escaped(column) in named or not can_be_named(column), (column, value, dataset.problems)


def check_refusal(error: DatainfError) -> None:
    """It says where, and what to do."""
    assert error.hint != type(error).default_hint
    places = {"row_index", "row_indexes", "columns_seen"} & error.extra.keys()
    assert places or error.detail == "The rows have no columns.", error.detail


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=KINDS_OF_ROWS)
def test_every_value_is_kept_or_named_or_the_row_is_refused(rows: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as scratch:
        path, root = Path(scratch) / "a.jsonl", Path(scratch) / "kept"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        root.mkdir()
        try:
            dataset = accept_dataset(path, limits=TableLimits(), destination_root=root)
        except DatainfError as error:
            check_refusal(error)
            return
        with RowFile(root / dataset.id) as file:
            check(rows, dataset, list(file))


@pytest.mark.parametrize("role", CONTEXT)
def test_what_a_template_reads_is_never_passed_over_beside_a_plain_prompt(tmp_path: Path, role: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "p", "completion": "c", role: "set"}))
    with pytest.raises(DatainfError, match=f"Row 0: column '{role}'") as caught:
        accept_dataset(path, limits=TableLimits(), destination_root=tmp_path)
    assert f'"{role}": ""' in caught.value.hint
    dataset = accept_dataset(path, limits=TableLimits(), destination_root=tmp_path, columns={role: ""})
    assert dataset.metadata_columns == {role: "string"}
