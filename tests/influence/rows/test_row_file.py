"""The row file: what goes in comes out, and damage is noticed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from influence.errors import EmptyFile, Internal, NotFound
from influence.rows.file import RowFile, RowFileSummary, dataset_digest, write_rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ROWS = st.lists(
    st.fixed_dictionaries({"id": TEXT, "text": TEXT, "label": st.one_of(st.none(), st.integers(0, 99), TEXT)}),
    min_size=1,
    max_size=20,
)
EXAMPLE = [{"id": f"r{place}", "text": "words " * place, "label": place % 2} for place in range(50)]


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, data=st.data())
def test_rows_come_back_as_they_were_written(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    with TemporaryDirectory() as scratch:
        summary = write_rows(Path(scratch) / "rows", iter(rows))
        with RowFile(Path(scratch) / "rows") as file:
            assert (len(file), file.summary) == (len(rows), summary)
            assert list(file) == rows
            indexes = data.draw(st.lists(st.integers(0, len(rows) - 1)))
            assert file.read_many(indexes) == [rows[index] for index in indexes]
            start, stop = data.draw(st.integers(-5, 25)), data.draw(st.integers(-5, 25))
            assert file.read(start, stop) == rows[start:stop]
            file.verify()


def test_the_digest_counts_content_and_order(tmp_path: Path) -> None:
    digests = {
        write_rows(tmp_path / name, rows).digest
        for name, rows in {"a": EXAMPLE, "b": EXAMPLE, "c": EXAMPLE[::-1], "d": EXAMPLE[:-1]}.items()
    }
    assert len(digests) == 3


def test_the_address_counts_kind_label_names_and_columns() -> None:
    summary = RowFileSummary(1, 10, "d" * 40)
    addresses = {
        dataset_digest("text", None, {}, summary),
        dataset_digest("classification", None, {}, summary),
        dataset_digest("classification", None, {"text": "body"}, summary),
        dataset_digest("classification", ["a", "b"], {}, summary),
        dataset_digest("classification", ["b", "a"], {}, summary),
    }
    assert len(addresses) == 5
    assert dataset_digest("classification", ("a", "b"), {}, summary) in addresses


def test_row_digests_leave_id_and_metadata_out(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "a", "text": "t"},
        {"id": "b", "text": "t", "metadata": {"x": 1}},
        {"id": "a", "text": "u"},
    ]
    write_rows(tmp_path / "rows", rows)
    with RowFile(tmp_path / "rows") as file:
        digests = file.row_digests()
    assert (digests.shape, digests.dtype) == ((3, 16), np.dtype("uint8"))
    assert (digests[0] == digests[1]).all()
    assert (digests[0] != digests[2]).any()


def test_no_rows_are_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(EmptyFile):
        write_rows(tmp_path / "rows", [])
    assert list(tmp_path.iterdir()) == []


def test_a_failure_halfway_leaves_nothing_behind(tmp_path: Path) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield EXAMPLE[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(tmp_path / "rows", failing())
    assert list(tmp_path.iterdir()) == []


def test_rows_outside_the_file_are_not_found(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows", EXAMPLE)
    with RowFile(tmp_path / "rows") as file:
        for index in (-1, 50):
            with pytest.raises(NotFound):
                file.read_many([index])
    with pytest.raises(NotFound):
        RowFile(tmp_path / "absent")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["rows.jsonl", "offsets.i64", "hashes.b16", "summary.json"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_damage_is_noticed(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    write_rows(tmp_path / "rows", EXAMPLE)
    damage(tmp_path / "rows" / name)
    with pytest.raises((Internal, NotFound)) as caught, RowFile(tmp_path / "rows") as file:
        file.verify()
    assert "again" in caught.value.hint
