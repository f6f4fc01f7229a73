"""Whatever JSON people send as rows or examples, the answer is a data set or one of our errors that JSON can carry."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.intake.datasets import accept_dataset
from app.intake.tables.limits import TableLimits
from influence.contracts.dataset import RowKind
from influence.errors import ColumnsAmbiguous, DatainfError
from influence.rows.columns import choose_columns
from influence.rows.examples import normalise_examples
from influence.rows.file import RowFile
from influence.rows.roles import ROLES, SYNONYMS

NAMES = sorted(
    {name for names in SYNONYMS.values() for name in names} | set(ROLES) | {"role", "content", "from", "value"}
)
ANY_TEXT = st.text(st.characters(), max_size=8)
FIELDS = st.one_of(st.sampled_from(NAMES), ANY_TEXT)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT, st.sampled_from(["user", "gpt", "hello"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(FIELDS, inner, max_size=4)),
    max_leaves=8,
)
OBJECTS = st.dictionaries(FIELDS, VALUES, max_size=6)
COLUMNS = st.one_of(st.none(), st.dictionaries(st.one_of(st.sampled_from(ROLES), ANY_TEXT), FIELDS, max_size=3))


def as_response(error: DatainfError) -> bytes:
    """What the API makes of an error; raises where it cannot be sent."""
    return json.dumps(error.problem(), ensure_ascii=False, allow_nan=False).encode()


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(OBJECTS, max_size=4), columns=COLUMNS, names=st.one_of(st.none(), st.lists(ANY_TEXT, max_size=3)))
@example(rows=[{"tokens": None}], columns=None, names=None)
@example(rows=[{"answer": {"tokens": 5}}], columns=None, names=None)
def test_any_json_rows_are_accepted_or_refused(
    rows: list[dict[str, Any]], columns: dict[str, str] | None, names: list[str] | None
) -> None:
    with TemporaryDirectory() as scratch:
        path, root = Path(scratch) / "a.jsonl", Path(scratch) / "kept"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        root.mkdir()
        try:
            dataset = accept_dataset(
                path, columns=columns, label_names=names, limits=TableLimits(), destination_root=root
            )
        except DatainfError as error:
            as_response(error)
            leftovers = list(root.iterdir())
        else:
            dataset.model_dump_json().encode()
            with RowFile(root / dataset.id) as file:
                file.verify()
            leftovers = [folder for folder in root.iterdir() if folder.name != dataset.id]
        assert leftovers == []


@settings(max_examples=100, deadline=None)
@given(
    examples=st.lists(st.one_of(OBJECTS, VALUES), max_size=3),
    kind=st.sampled_from(["classification", "completion", "conversation", "text"]),
    columns=st.one_of(st.none(), st.dictionaries(st.sampled_from(ROLES), FIELDS, max_size=3)),
)
def test_any_examples_are_normalised_or_refused(
    examples: list[Any], kind: RowKind, columns: dict[str, str] | None
) -> None:
    try:
        rows = normalise_examples(examples, kind, columns)
    except DatainfError as error:
        as_response(error)
    else:
        json.dumps(rows, ensure_ascii=False, allow_nan=False).encode()


def test_a_thousand_columns_of_one_name_are_refused_without_labour() -> None:
    seen = [" " * place + name for place in range(250) for name in ("text", "label", "premise", "hypothesis")]
    with pytest.raises(ColumnsAmbiguous) as caught:
        choose_columns(seen)
    assert len(as_response(caught.value)) < 50_000
